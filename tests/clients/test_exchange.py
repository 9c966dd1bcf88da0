"""One directory, opened in turns by Klamm and by Apache Kafka 4.3.1: a single combined node. Each finds what the other has
written (topics, configs, records, producers, committed offsets, a snapshot of the metadata) and goes on writing."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from nodes import BINARY
from test_java import java  # noqa: F401  (a fixture)

COUNT = 500


class Place:
    """A directory, and the properties under which either broker serves it."""

    def __init__(self, folder: Path, java: list[str], *more: str) -> None:  # noqa: F811
        with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
            port, other = a.getsockname()[1], b.getsockname()[1]
        self.folder, self.java, self.address = folder, java, f"127.0.0.1:{port}"
        self.data = folder / "data"
        self.properties = folder / "server.properties"
        self.properties.write_text(f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{other}
listeners=PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{other}
advertised.listeners=PLAINTEXT://{self.address}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={self.data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
group.initial.rebalance.delay.ms=0
metadata.log.max.record.bytes.between.snapshots=2000
""" + "\n".join(more))

    def format(self) -> None:
        """As a user of Kafka begins."""
        command = [*self.java, "kafka.tools.StorageTool", "format", "-t", "abcdefghijklmnopqrstuw", "-c", str(self.properties)]
        subprocess.run(command, check=True, timeout=60, capture_output=True)

    @contextlib.contextmanager
    def served_by(self, name: str) -> Iterator[None]:
        kafka = ["java", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=info", *self.java[-2:], "kafka.Kafka"]
        command = [*(kafka if name == "kafka" else [str(BINARY), "serve"]), str(self.properties)]
        log = self.folder / f"{name}-{time.monotonic_ns()}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            until = time.monotonic() + 60
            while b"Kafka Server started" not in log.read_bytes():
                assert process.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
                time.sleep(0.05)
            yield
            process.terminate()
            assert process.wait(30) in (0, 143), log.read_text()[-3000:]  # Java's exit code tells the signal
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def place(tmp_path: Path, java: list[str]) -> Place:  # noqa: F811
    return Place(tmp_path, java)


def create(place: Place) -> None:
    admin = AdminClient({"bootstrap.servers": place.address})
    admin.create_topics([NewTopic("t", 3, 1, config={"retention.ms": "86400000"})])["t"].result(30)


def retention_of(place: Place) -> str:
    admin = AdminClient({"bootstrap.servers": place.address})
    resource = ConfigResource(ResourceType.TOPIC, "t")
    return str(admin.describe_configs([resource])[resource].result(30)["retention.ms"].value)


def go_on(place: Place, turn: int) -> None:
    """Writes this turn's records; the group has read all before them, and reads them; from the start there are all."""
    producer = Producer({"bootstrap.servers": place.address, "enable.idempotence": True, "compression.type": "lz4"})
    for i in range(turn * COUNT, (turn + 1) * COUNT):
        producer.produce("t", b"%d" % i, key=b"%d" % i)
    assert producer.flush(30) == 0
    assert read(place, "readers", COUNT, commit=True) == list(range(turn * COUNT, (turn + 1) * COUNT))
    assert read(place, f"all-{turn}", (turn + 1) * COUNT) == list(range((turn + 1) * COUNT))
    assert retention_of(place) == "86400000"


def read(place: Place, group: str, count: int, commit: bool = False) -> list[int]:
    consumer = Consumer({"bootstrap.servers": place.address, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    values: list[int] = []
    try:
        consumer.subscribe(["t"])
        until = time.monotonic() + 60
        while len(values) < count:
            assert time.monotonic() < until, f"{group} read {len(values)} of {count}"
            for message in consumer.consume(1000, 0.2):
                assert message.error() is None, message.error()
                values.append(int(message.value()))
        if commit:
            consumer.commit(asynchronous=False)
        return sorted(values)
    finally:
        consumer.close()


def grow_metadata(place: Place) -> None:
    """A partition's record has more than 50 bytes: by more than a snapshot takes."""
    admin = AdminClient({"bootstrap.servers": place.address})
    admin.create_topics([NewTopic("many", 100, 1)])["many"].result(30)


def wait_for_snapshot(place: Place, after: Path) -> None:
    until = time.monotonic() + 60
    while snapshots(place)[-1] <= after:
        assert time.monotonic() < until, snapshots(place)
        time.sleep(0.05)


def snapshots(place: Place) -> list[Path]:
    return sorted((place.folder / "data" / "__cluster_metadata-0").glob("*-*.checkpoint"))


def dump(place: Place, snapshot: Path) -> str:
    """As Kafka's tool reads it."""
    command = [*place.java, "org.apache.kafka.tools.DumpLogSegments", "--cluster-metadata-decoder", "--files", str(snapshot)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Exception" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout


def test_from_klamm_to_kafka_and_back(place: Place) -> None:
    with place.served_by("klamm"):
        create(place)
        go_on(place, 0)
    ours = snapshots(place)
    text = dump(place, ours[-1])
    for word in ("SnapshotHeader", "FEATURE_LEVEL_RECORD", "REGISTER_BROKER_RECORD", '"name":"t"', "PARTITION_RECORD", "SnapshotFooter"):
        assert word in text, text
    with place.served_by("kafka"):
        go_on(place, 1)
        grow_metadata(place)
        wait_for_snapshot(place, ours[-1])
    with place.served_by("klamm"):
        go_on(place, 2)


def test_from_kafka_to_klamm_and_back(place: Place) -> None:
    place.format()
    with place.served_by("kafka"):
        create(place)
        go_on(place, 0)
    with place.served_by("klamm"):
        go_on(place, 1)
    with place.served_by("kafka"):
        go_on(place, 2)
