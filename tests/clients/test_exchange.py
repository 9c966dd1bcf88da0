"""One directory, opened in turns by Klamm and by Apache Kafka 4.3.1: a single combined node. Each finds what the other has
written (topics, configs, records, producers, committed offsets, a snapshot of the metadata) and goes on writing; what only
Kafka has a use for (the voters of a dynamic quorum, quotas, access rights) comes through Klamm's hands unharmed."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from nodes import BINARY
from test_java import java  # noqa: F401  (a fixture)

COUNT = 500


class Place:
    """A directory, and the properties under which either broker serves it."""

    def __init__(self, folder: Path, java: list[str], *more: str, standalone: bool = False) -> None:  # noqa: F811
        with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
            port, other = a.getsockname()[1], b.getsockname()[1]
        self.folder, self.java, self.address = folder, java, f"127.0.0.1:{port}"
        self.data = folder / "data"
        self.properties = folder / "server.properties"
        self.standalone = standalone
        quorum = f"controller.quorum.{'bootstrap.servers=' if standalone else 'voters=1@'}127.0.0.1:{other}"
        self.properties.write_text(f"""
process.roles=broker,controller
node.id=1
{quorum}
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

    def format(self, *more: str) -> None:
        """As a user of Kafka begins."""
        command = [*self.java, "kafka.tools.StorageTool", "format", "-t", "abcdefghijklmnopqrstuw", "-c", str(self.properties)]
        command += [*(["--standalone"] if self.standalone else []), *more]
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
            if name == "kafka":
                self.wait_for_leaders()
            yield
            process.terminate()
            assert process.wait(30) in (0, 143), log.read_text()[-3000:]  # Java's exit code tells the signal
        finally:
            process.kill()
            process.wait()

    def wait_for_leaders(self) -> None:
        """Kafka says that it has started a moment before it leads."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "nobody"})
        until = time.monotonic() + 30
        partitions = [TopicPartition(t.topic, p) for t in consumer.list_topics(timeout=20).topics.values() for p in t.partitions]
        while partitions:
            try:
                consumer.get_watermark_offsets(partitions[0], timeout=20)
                partitions.pop(0)
            except KafkaException as e:
                assert e.args[0].code() == KafkaError.NOT_LEADER_FOR_PARTITION and time.monotonic() < until, e
                time.sleep(0.05)
        consumer.close()


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


def run_tool(place: Place, *command: str) -> str:
    done = subprocess.run([*place.java, *command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("standalone", [False, True], ids=["voters", "standalone"])
def test_what_kafka_formatted_and_nobody_has_served(tmp_path: Path, java: list[str], standalone: bool) -> None:  # noqa: F811
    """The levels and credentials that `kafka-storage format` was told are what the cluster begins with."""
    place = Place(tmp_path, java, standalone=standalone)
    place.format("--release-version", "4.1", "--add-scram", "SCRAM-SHA-256=[name=alice,password=of-no-use]")
    features = ["org.apache.kafka.tools.FeatureCommand", "--bootstrap-server", place.address]
    configs = ["kafka.admin.ConfigCommand", "--bootstrap-server", place.address, "--entity-type", "users"]
    level = re.compile(r"metadata.version\s.*FinalizedVersionLevel: (\S+)")
    with place.served_by("klamm"):
        create(place)
        go_on(place, 0)
        assert level.search(run_tool(place, *features, "describe"))[1] == "4.1-IV1"
        run_tool(place, *features, "upgrade", "--feature", "metadata.version=30")
        assert level.search(run_tool(place, *features, "describe"))[1] == "4.3-IV0"
    with place.served_by("kafka"):
        go_on(place, 1)
        assert level.search(run_tool(place, *features, "describe"))[1] == "4.3-IV0"
        assert "SCRAM-SHA-256" in run_tool(place, *configs, "--entity-name", "alice", "--describe")
    with place.served_by("klamm"):
        go_on(place, 2)


@pytest.mark.parametrize("served", [False, True], ids=["formatted", "served"])
def test_a_level_above_ours_is_refused(tmp_path: Path, java: list[str], served: bool) -> None:  # noqa: F811
    """A metadata.version that Kafka 4.3.1 knows and does not call stable: in what its formatter left, and in its metadata log."""
    place = Place(tmp_path, java, "unstable.feature.versions.enable=true")
    place.format("--feature", "metadata.version=31")
    if served:
        with place.served_by("kafka"):
            create(place)
        (place.data / "bootstrap.checkpoint").unlink()
    done = subprocess.run([str(BINARY), "serve", str(place.properties)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2, done
    assert "metadata.version=31" in done.stdout + done.stderr, done


def test_what_klamm_has_no_use_for_is_kept(tmp_path: Path, java: list[str]) -> None:  # noqa: F811
    """As Kafka's quick start formats a directory: its voters are in the metadata, and in no property."""
    authorizer = ("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:ANONYMOUS")
    place = Place(tmp_path, java, "metadata.max.retention.bytes=2000", *authorizer, standalone=True)
    place.format()
    configs = ["kafka.admin.ConfigCommand", "--bootstrap-server", place.address, "--entity-type", "users"]
    acls = ["org.apache.kafka.tools.AclCommand", "--bootstrap-server", place.address]
    with place.served_by("kafka"):
        create(place)
        go_on(place, 0)
        run_tool(place, *configs, "--entity-name", "alice", "--alter", "--add-config", "producer_byte_rate=123456")
        run_tool(place, *acls, "--add", "--allow-principal", "User:alice", "--operation", "Read", "--topic", "t")
        before = snapshots(place)[-1]
    with place.served_by("klamm"):
        go_on(place, 1)
        grow_metadata(place)
        wait_for_snapshot(place, before)
    log = max(place.folder.glob("klamm-*.log")).read_text()
    assert "access control entries (ACLs), client quotas: they are kept but have NO EFFECT" in log, log
    assert "NOTHING IS AUTHORIZED" in log, log
    text = dump(place, snapshots(place)[-1])
    for word in ('KRaftVersion {"version":0,"kRaftVersion":1}', "KRaftVoters", '"voterId":1', "CLIENT_QUOTA_RECORD", "ACCESS_CONTROL_ENTRY_RECORD"):
        assert word in text, text
    with place.served_by("kafka"):
        go_on(place, 2)
        assert "producer_byte_rate=123456" in run_tool(place, *configs, "--entity-name", "alice", "--describe")
        assert "User:alice" in run_tool(place, *acls, "--list")
    with place.served_by("klamm"):
        go_on(place, 3)
