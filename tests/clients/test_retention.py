"""Retention on real files, and Kafka's own reading of what is left."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from nodes import BINARY
from test_java import java  # noqa: F401  (a fixture)

SEGMENT, KEPT = 16_384, 40_000


class Broker:
    def __init__(self, folder: Path, *more: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
            port, other = a.getsockname()[1], b.getsockname()[1]
        self.data = folder / "data"
        self.address = f"127.0.0.1:{port}"
        listeners = f"listeners=PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{other}"
        voters = f"controller.quorum.voters=1@127.0.0.1:{other}"
        config = [listeners, voters, f"log.dirs={self.data}", "log.retention.check.interval.ms=200", *more]
        self.command = [str(BINARY), "serve", *(word for c in config for word in ("--config", c))]
        self.log = open(folder / "serve.log", "ab")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(10) == 0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    b = Broker(tmp_path)
    yield b
    b.process.kill()
    b.process.wait()
    b.log.close()


def produce(broker: Broker, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": broker.address, "enable.idempotence": True, "batch.num.messages": 20})
    failed: list[object] = []
    for value in values:
        producer.produce(topic, value, partition=0, on_delivery=lambda e, _: failed.append(e) if e else None)
    assert producer.flush(30) == 0 and not failed, failed


def start_of(broker: Broker, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "nobody"})
    try:
        low, _ = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
        return int(low)
    finally:
        consumer.close()


def read_from(broker: Broker, topic: str, offset: int, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "nobody", "enable.auto.commit": False})
    values: list[bytes] = []
    try:
        consumer.assign([TopicPartition(topic, 0, offset)])
        until = time.monotonic() + 30
        while len(values) < count:
            assert time.monotonic() < until, f"read {len(values)} of {count}"
            for message in consumer.consume(1000, 0.2):
                assert message.error() is None, message.error()
                values.append(message.value())
        return values
    finally:
        consumer.close()


def size(folder: Path) -> int:
    """Of the logs; one may go while it is looked at."""
    total = 0
    for log in files(folder, ".log"):
        with contextlib.suppress(FileNotFoundError):
            total += log.stat().st_size
    return total


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.name.endswith(suffix))


def test_small_retention_shrinks_the_directory(broker: Broker, java: list[str]) -> None:  # noqa: F811
    topic = "small"
    config = {"internal.segment.bytes": SEGMENT, "retention.bytes": KEPT, "file.delete.delay.ms": 500}
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(topic, 1, 1, config={k: str(v) for k, v in config.items()})])[topic].result(30)
    values = [b"%06d" % i + b"x" * 300 for i in range(2_000)]
    produce(broker, topic, values)

    folder = broker.data / f"{topic}-0"
    renamed = 0
    until = time.monotonic() + 40  # the first check comes soon after the start, then every 200 ms
    while size(folder) >= KEPT + SEGMENT or files(folder, ".deleted"):
        renamed = max(renamed, len(files(folder, ".log.deleted")))
        assert time.monotonic() < until, sorted(p.name for p in folder.iterdir())
        time.sleep(0.02)
    assert renamed > 0
    assert size(folder) >= KEPT

    start = start_of(broker, topic)
    assert start == int(files(folder, ".log")[0].name.split(".")[0]) > 0
    left = read_from(broker, topic, start, len(values) - start)
    assert left == values[start:]

    broker.stop()
    for suffix in (".log", ".index", ".timeindex", ".snapshot"):
        for path in files(folder, suffix):
            if path.stat().st_size > 0:
                dump(java, path)
    broker.start()
    assert start_of(broker, topic) == start
    assert read_from(broker, topic, start, len(values) - start) == values[start:]


# Kafka's words: the new start is written down at an orderly end and every now and then; a crash between may undo it.
@pytest.mark.parametrize("crash", [False, True])
def test_deleted_records_stay_deleted_after_a_restart(broker: Broker, crash: bool) -> None:
    AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=30)
    broker.stop()
    broker.command += ["--config", f"replica.high.watermark.checkpoint.interval.ms={200 if crash else 600_000}"]
    broker.start()
    topic, start = "some", 123
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    values = [b"%06d" % i for i in range(300)]
    produce(broker, topic, values)
    partition = TopicPartition(topic, 0, start)
    assert admin.delete_records([partition])[partition].result(30).low_watermark == start
    if crash:
        until = time.monotonic() + 20
        while f"{topic} 0 {start}" not in (broker.data / "log-start-offset-checkpoint").read_text().splitlines():
            assert time.monotonic() < until
            time.sleep(0.02)
        broker.process.kill()
        broker.process.wait()
    else:
        broker.stop()
    broker.start()
    assert start_of(broker, topic) == start
    assert read_from(broker, topic, start, len(values) - start) == values[start:]


def dump(java: list[str], path: Path) -> None:  # noqa: F811
    """As Kafka prints the file; it complains of what does not fit together."""
    command = [*java, "org.apache.kafka.tools.DumpLogSegments", "--files", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    text = done.stdout + done.stderr
    assert done.returncode == 0 and "Dumping" in text, text
    for complaint in ("Mismatches", "Non-consecutive", "Found timestamp mismatch", "out of order", "isvalid: false", "Exception"):
        assert complaint not in text, text


def test_old_records_go(broker: Broker) -> None:
    """Retention by time: a segment all of whose records are older goes, and what is younger stays."""
    topic, kept = "aged", 3_000
    config = {"internal.segment.bytes": SEGMENT, "retention.ms": kept, "file.delete.delay.ms": 100}
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(topic, 1, 1, config={k: str(v) for k, v in config.items()})])[topic].result(30)
    folder = broker.data / f"{topic}-0"
    values = [b"%06d" % i + b"x" * 300 for i in range(500)]
    began = time.monotonic()
    produce(broker, topic, values)
    before = [p.name for p in files(folder, ".log")]
    assert len(before) > 5

    until = time.monotonic() + 40
    while (start := start_of(broker, topic)) < len(values):
        assert time.monotonic() < until, start
        time.sleep(0.05)
    assert time.monotonic() - began > kept / 1000  # the last of them, made after that, had to age
    while not set(before).isdisjoint(p.name for p in folder.iterdir()) or files(folder, ".deleted"):
        assert time.monotonic() < until, sorted(p.name for p in folder.iterdir())
        time.sleep(0.05)
    later = [b"%06d" % i for i in range(20)]
    produce(broker, topic, later)
    assert read_from(broker, topic, start_of(broker, topic), len(later)) == later
