"""Compaction on real files: what clients read afterwards, Kafka's own reading of what is left, and Apache Kafka 4.3.1
going on where Klamm ended, and the other way round."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from test_exchange import Place
from test_java import java  # noqa: F401  (a fixture)
from test_retention import Broker, dump, files, size

SEGMENT, KEYS, RECORDS = 16_384, 50, 4_000
CHECKPOINT = "cleaner-offset-checkpoint"


# A log is cleaned as far as a file says that it is durable.
OFTEN = ["log.cleaner.backoff.ms=100", "replica.high.watermark.checkpoint.interval.ms=200"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    b = Broker(tmp_path, *OFTEN)
    yield b
    b.process.kill()
    b.process.wait()
    b.log.close()


def create(broker: Broker | Place, topic: str, **config: object) -> None:
    all_of = {"internal.segment.bytes": SEGMENT, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": 0.01}
    texts = {k: str(v) for k, v in (all_of | {k.replace("_", "."): v for k, v in config.items()}).items()}
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(topic, 1, 1, config=texts)])[topic].result(30)


Record = tuple[bytes, bytes | None]


def produce(broker: Broker | Place, topic: str, records: list[Record], codec: str) -> None:
    options = {"enable.idempotence": True, "batch.num.messages": 30, "compression.codec": codec, "linger.ms": 5}
    producer = Producer({"bootstrap.servers": broker.address, **options})
    failed: list[object] = []
    for key, value in records:
        producer.produce(topic, value, key, partition=0, on_delivery=lambda e, _: failed.append(e) if e else None)
    assert producer.flush(30) == 0 and not failed, failed


def read(broker: Broker | Place, topic: str) -> dict[int, Record]:
    """All that is there, by offset."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "nobody", "enable.auto.commit": False})
    found: dict[int, Record] = {}
    try:
        start, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
        consumer.assign([TopicPartition(topic, 0, start)])
        until = time.monotonic() + 30
        while end - 1 not in found:  # the last record is in the active segment
            assert time.monotonic() < until, f"read {len(found)}"
            for message in consumer.consume(1000, 0.2):
                assert message.error() is None, message.error()
                assert not found or message.offset() > max(found)
                found[message.offset()] = (message.key(), message.value())
        return found
    finally:
        consumer.close()


def values(found: dict[int, Record]) -> dict[bytes, bytes]:
    last: dict[bytes, bytes | None] = {}
    for _, (key, value) in sorted(found.items()):
        last[key] = value
    return {k: v for k, v in last.items() if v is not None}


def cleaned_to(broker: Broker | Place, topic: str) -> int:
    path = broker.data / CHECKPOINT
    if not path.exists():
        return 0
    lines = [line.split() for line in path.read_text().splitlines()[2:]]
    return next((int(offset) for name, _, offset in lines if name == topic), 0)


def wait_until_clean(broker: Broker | Place, topic: str, smaller_than: int) -> None:
    """All closed segments have been compacted, and the checkpoint says so."""
    folder = broker.data / f"{topic}-0"
    until = time.monotonic() + 60
    while True:
        active = int(files(folder, ".log")[-1].name.split(".")[0])
        if cleaned_to(broker, topic) == active and size(folder) < smaller_than:
            return
        assert time.monotonic() < until, (cleaned_to(broker, topic), sorted(p.name for p in folder.iterdir()))
        time.sleep(0.05)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_each_keys_last_value_is_left(broker: Broker, java: list[str], codec: str) -> None:  # noqa: F811
    topic = "table"
    create(broker, topic)
    filler = bytes(range(256))
    records: list[Record] = [(b"k%d" % (i % KEYS), b"%06d" % i + filler) for i in range(RECORDS)]
    records += [(b"k%d" % i, None) for i in range(10)]
    records += [(b"other%d" % (i % 7), b"%06d" % i + filler) for i in range(RECORDS)]
    produce(broker, topic, records, codec)
    wait_until_clean(broker, topic, smaller_than=8 * SEGMENT)

    found = read(broker, topic)
    assert all(records[offset] == record for offset, record in found.items())
    expected = values(dict(enumerate(records)))
    assert values(found) == expected and len(expected) == KEYS - 10 + 7
    assert len(found) < RECORDS / 2
    tombstones = [key for key, value in found.values() if value is None]
    assert len(tombstones) == 10  # for delete.retention.ms they are seen

    broker.stop()
    for suffix in (".log", ".index", ".timeindex", ".snapshot"):
        for path in files(broker.data / f"{topic}-0", suffix):
            if path.stat().st_size > 0:
                dump(java, path)
    broker.start()
    assert read(broker, topic) == found


def test_tombstones_go_and_old_segments_too(broker: Broker) -> None:
    topic = "both"
    create(broker, topic, delete_retention_ms=100, cleanup_policy="compact,delete", retention_bytes=-1)
    filler = bytes(300)
    produce(broker, topic, [(b"gone", b"value"), (b"kept", b"value"), (b"gone", None)], "none")
    first: list[Record] = [(b"k%d" % (i % 5), b"%06d" % i + filler) for i in range(500)]
    for _ in range(4):  # the first cleaning dates a tombstone, a later one takes it
        produce(broker, topic, first, "none")
        wait_until_clean(broker, topic, smaller_than=6 * SEGMENT)
        time.sleep(0.2)
    found = read(broker, topic)
    assert b"gone" not in [key for key, _ in found.values()]
    assert found[1] == (b"kept", b"value")


def test_both_policies_together(broker: Broker) -> None:
    """What is compacted stays below retention.bytes too; what is left are the last values of the youngest keys."""
    topic, kept = "bounded", 4 * SEGMENT
    create(broker, topic, cleanup_policy="compact,delete", retention_bytes=kept, file_delete_delay_ms=100)
    filler = bytes(300)
    # Each key twice, one soon after the other: compaction halves what is there, and the rest is still more than is kept.
    records: list[Record] = [(b"k%d" % (i // 20 * 10 + i % 10), b"%06d" % i + filler) for i in range(RECORDS // 2)]
    produce(broker, topic, records, "none")
    wait_until_clean(broker, topic, smaller_than=kept + SEGMENT)
    found = read(broker, topic)
    start = min(found)
    assert start > 0 and all(records[offset] == record for offset, record in found.items())
    closed = int(files(broker.data / f"{topic}-0", ".log")[-1].name.split(".")[0])
    compacted = [key for offset, (key, _) in found.items() if offset < closed]
    assert len(compacted) == len(set(compacted)) > 0
    assert values(found) == values({o: r for o, r in enumerate(records) if o >= start})


def test_what_is_dirty_too_long_is_cleaned(broker: Broker) -> None:
    """By max.compaction.lag.ms alone: half of the log would have to be dirty, and it is not; nothing is written in between."""
    topic = "overdue"
    create(broker, topic, min_cleanable_dirty_ratio=0.01)
    filler = bytes(300)
    produce(broker, topic, [(b"old%d" % i, b"%06d" % i + filler) for i in range(500)], "none")
    wait_until_clean(broker, topic, smaller_than=20 * SEGMENT)
    admin = AdminClient({"bootstrap.servers": broker.address})
    set_configs(admin, topic, {"min.cleanable.dirty.ratio": "1.0"})
    cleaned = cleaned_to(broker, topic)
    produce(broker, topic, [(b"k%d" % (i % 5), b"%06d" % i + filler) for i in range(150)], "none")
    time.sleep(1)  # ten times the cleaner's pause: it does not want to
    assert cleaned_to(broker, topic) == cleaned
    set_configs(admin, topic, {"max.compaction.lag.ms": "2000"})
    wait_until_clean(broker, topic, smaller_than=20 * SEGMENT)
    assert cleaned_to(broker, topic) > cleaned
    found = read(broker, topic)
    assert len([key for key, _ in found.values() if key and key.startswith(b"k")]) < 150


def set_configs(admin: AdminClient, topic: str, changes: dict[str, str]) -> None:
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in changes.items()])
    admin.incremental_alter_configs([resource])[resource].result(30)


def printed(java: list[str], path: Path) -> dict[int, Record]:  # noqa: F811
    """The records of a segment as Kafka's tool prints them."""
    command = [*java, "org.apache.kafka.tools.DumpLogSegments", "--print-data-log", "--files", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "isvalid: false" not in done.stdout, done.stdout + done.stderr
    found: dict[int, Record] = {}
    for line in done.stdout.splitlines():
        if m := re.match(r"\| offset: (\d+) .*?valueSize: (-?\d+) .*?key: (\S+)(?: payload: (\S*))?", line):
            found[int(m[1])] = (m[3].encode(), None if m[2] == "-1" else m[4].encode())
    return found


def test_kafka_goes_on_where_klamm_ended_and_back(tmp_path: Path, java: list[str]) -> None:  # noqa: F811
    place, topic = Place(tmp_path, java, *OFTEN), "table"
    records: list[Record] = []

    def write() -> None:
        turn = len(records)
        new: list[Record] = [(b"k%d" % (i % KEYS), b"%06d" % (turn + i) + b"v" * 200) for i in range(RECORDS)]
        new += [(b"k%d" % (turn // RECORDS), None), (b"turn%d" % turn, b"done")]
        produce(place, topic, new, "zstd")
        records.extend(new)
        wait_until_clean(place, topic, smaller_than=8 * SEGMENT)

    def check(found: dict[int, Record]) -> None:
        assert all(records[offset] == record for offset, record in found.items())
        assert values(found) == values(dict(enumerate(records))) and len(found) < len(records) / 2

    with place.served_by("klamm"):
        create(place, topic)
        write()
        found = read(place, topic)
    check(found)
    dumped: dict[int, Record] = {}
    for path in files(place.data / f"{topic}-0", ".log"):
        dumped |= printed(java, path)
    assert dumped == found
    with place.served_by("kafka"):
        assert read(place, topic) == found
        write()
        found = read(place, topic)
    check(found)
    with place.served_by("klamm"):
        assert read(place, topic) == found
        write()
        check(read(place, topic))
