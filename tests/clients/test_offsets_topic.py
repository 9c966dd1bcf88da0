"""__consumer_offsets of one node: Apache Kafka's own tools print it, it is compacted, and a kill -9 costs nothing of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from test_java import java  # noqa: F401  (a fixture)
from test_retention import Broker, files, size

INTERNAL = "__consumer_offsets"
TOOLS = "org.apache.kafka.tools."
PARTITIONS, COUNT = 3, 120
# One partition of the coordinator, so that a test knows which files to look at; cleaned as far as a file says that it is durable.
OPTIONS = ["group.initial.rebalance.delay.ms=0", "offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1",
           "log.cleaner.backoff.ms=100", "replica.high.watermark.checkpoint.interval.ms=200"]
Key = tuple[str, str, int]
Printed = dict[str, Any]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    b = Broker(tmp_path, *OPTIONS)
    yield b
    b.process.kill()
    b.process.wait()
    b.log.close()


def create(broker: Broker, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)


def fill(broker: Broker, topic: str, values: range) -> None:
    producer = Producer({"bootstrap.servers": broker.address, "enable.idempotence": True})
    for i in values:
        producer.produce(topic, b"%d" % i, partition=i % PARTITIONS)
    assert producer.flush(30) == 0


def consumer_of(broker: Broker, group: str) -> Consumer:
    return Consumer({"bootstrap.servers": broker.address, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                     "partition.assignment.strategy": "range", "client.id": f"client-of-{group}"})


def take(consumer: Consumer, count: int) -> list[int]:
    """The next so many values; no more are asked for, so that the position is behind the last of them."""
    values: list[int] = []
    until = time.monotonic() + 60
    while len(values) < count:
        assert time.monotonic() < until, f"{len(values)} of {count}"
        for message in consumer.consume(count - len(values), 0.2):
            assert not message.error(), message.error()
            values.append(int(message.value()))
    return values


def committed(consumer: Consumer, topic: str) -> dict[int, int]:
    until = time.monotonic() + 30
    while True:
        try:
            return {p.partition: p.offset for p in consumer.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=30)}
        except KafkaException as e:  # a node that has just started does not lead yet; librdkafka passes that on
            starting = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE)
            assert e.args[0].code() in starting and time.monotonic() < until, e
            time.sleep(0.05)


def read_and_commit(broker: Broker, group: str, topic: str, count: int, behind: int = 0) -> dict[int, int]:
    """What is committed then, by partition, where the group had read `behind` values before."""
    consumer = consumer_of(broker, group)
    try:
        consumer.subscribe([topic])
        take(consumer, count)
        consumer.commit(asynchronous=False)
        offsets = committed(consumer, topic)
        assert sum(o for o in offsets.values() if o > 0) == behind + count
        return {p: o for p, o in offsets.items() if o >= 0}
    finally:
        consumer.close()


def formatted(java: list[str], broker: Broker, formatter: str, enough: Callable[[list[Printed]], bool]) -> list[Printed]:  # noqa: F811
    """The keys and values that a formatter of Kafka's prints, until they are `enough`."""
    command = [*java, TOOLS + "consumer.ConsoleConsumer", "--bootstrap-server", broker.address, "--topic", INTERNAL, "--from-beginning",
               "--timeout-ms", "30000", "--formatter", TOOLS + f"consumer.{formatter}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    text, told = "", list[Printed]()
    try:
        assert process.stdout and process.stderr
        while more := os.read(process.stdout.fileno(), 65536):
            text += more.decode()
            with contextlib.suppress(json.JSONDecodeError):  # the rest of a record is still to come; there is nothing between two
                while text:
                    record, length = json.JSONDecoder().raw_decode(text)
                    told.append(record)
                    text = text[length:].lstrip()
            if enough(told):
                return told
        raise AssertionError((told, text, process.stderr.read()))
    finally:
        process.kill()
        process.wait()


def offsets_in(told: list[Printed]) -> dict[Key, int]:
    """The last offset of each key; that of a tombstone is not there."""
    found: dict[Key, int] = {}
    for record in told:
        data = record["key"]["data"]
        key = (data["group"], data["topic"], data["partition"])
        found.pop(key, None)
        if record["value"]:
            found[key] = record["value"]["data"]["offset"]
    return found


def generations_in(told: list[Printed], group: str) -> list[Printed]:
    return [r["value"]["data"] for r in told if r["key"]["data"]["group"] == group and r["value"]]


def test_kafkas_own_formatters_print_it(broker: Broker, java: list[str]) -> None:  # noqa: F811
    group, topic = "readers", "some"
    create(broker, topic)
    fill(broker, topic, range(COUNT))
    read_and_commit(broker, group, topic, 30)
    offsets = read_and_commit(broker, group, topic, 50, behind=30)

    admin = AdminClient({"bootstrap.servers": broker.address})
    resource = ConfigResource(ResourceType.TOPIC, INTERNAL)
    configs = admin.describe_configs([resource])[resource].result(30)
    assert configs["cleanup.policy"].value == "compact"

    wanted = {(group, topic, p): o for p, o in offsets.items()}
    told = formatted(java, broker, "OffsetsMessageFormatter", lambda t: offsets_in(t) == wanted)
    assert all(r["key"]["type"] in (0, 1) for r in told)
    told = formatted(java, broker, "GroupMetadataMessageFormatter", lambda t: len(g := generations_in(t, group)) and g[-1]["generation"] >= 4)
    generations = generations_in(told, group)
    assert [g["generation"] for g in generations] == sorted(g["generation"] for g in generations)
    full = [g for g in generations if g["members"]]
    assert {g["protocolType"] for g in full} == {"consumer"} and {g["protocol"] for g in full} == {"range"}
    assert all(g["members"][0]["clientId"] == f"client-of-{group}" and g["leader"] == g["members"][0]["memberId"] for g in full)

    broker.stop()
    (log,) = files(broker.data / f"{INTERNAL}-0", ".log")
    command = [*java, TOOLS + "DumpLogSegments", "--offsets-decoder", "--files", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "isvalid: false" not in done.stdout, done.stdout + done.stderr
    dumped = [{"key": json.loads(m[1]), "value": json.loads(m[2]) if m[2].startswith("{") else None}
              for m in re.finditer(r"key: (\{.*?\}) payload: (.*)", done.stdout)]
    ours = [r for r in dumped if r["key"]["data"]["group"] == group]
    assert offsets_in([r for r in ours if "topic" in r["key"]["data"]]) == wanted, done.stdout
    assert [g["generation"] for g in generations_in([r for r in ours if "topic" not in r["key"]["data"]], group)][:len(generations)] == [
        g["generation"] for g in generations], done.stdout


Row = tuple[str, ...]


def described(java: list[str], broker: Broker, group: str) -> list[Row]:  # noqa: F811
    """Topic, partition, current offset, log end offset and lag of each row."""
    command = [*java, TOOLS + "consumer.group.ConsumerGroupCommand", "--bootstrap-server", broker.address, "--describe", "--group", group]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    header = next((line for line in lines if line[0] == "GROUP"), None)
    assert done.returncode == 0 and header, done.stdout + done.stderr
    columns = [header.index(c) for c in ("TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG")]
    return sorted(tuple(line[c] for c in columns) for line in lines if line[0] == group)


def kill(broker: Broker) -> None:
    broker.process.kill()
    broker.process.wait()


def test_a_kill_costs_no_offset(broker: Broker, java: list[str]) -> None:  # noqa: F811
    """Of a group that has left, and of a group whose member is there all the time."""
    topic = "some"
    create(broker, topic)
    fill(broker, topic, range(COUNT))
    offsets = read_and_commit(broker, "left", topic, 50)
    member = consumer_of(broker, "there")
    try:
        member.subscribe([topic])
        values = take(member, COUNT)
        member.commit(asynchronous=False)
        before = {g: described(java, broker, g) for g in ("left", "there")}
        end = COUNT // PARTITIONS
        assert before["left"] == [(topic, str(p), str(o), str(end), str(end - o)) for p, o in offsets.items()]
        assert before["there"] == [(topic, str(p), str(end), str(end), "0") for p in range(PARTITIONS)]

        kill(broker)
        broker.start()
        assert {g: described(java, broker, g) for g in ("left", "there")} == before

        fill(broker, topic, range(COUNT, COUNT + 30))
        values += take(member, 30)
        assert sorted(values) == list(range(COUNT + 30))
        member.commit(asynchronous=False)
        assert committed(member, topic) == {p: end + 10 for p in range(PARTITIONS)}
    finally:
        member.close()
    again = consumer_of(broker, "left")
    try:
        again.subscribe([topic])
        rest = [i for i in range(COUNT + 30) if i // PARTITIONS >= offsets.get(i % PARTITIONS, 0)]
        assert sorted(take(again, COUNT + 30 - 50)) == rest
    finally:
        again.close()


def test_it_is_compacted_and_read_back_after_a_kill(broker: Broker) -> None:
    topic, group, segment, rounds = "some", "busy", 16_384, 1_500
    create(broker, topic)
    consumer = consumer_of(broker, group)
    try:
        consumer.commit(offsets=[TopicPartition(topic, 2, 7)], asynchronous=False)  # once only: it is in the first segment
        admin = AdminClient({"bootstrap.servers": broker.address})
        changes = {"internal.segment.bytes": str(segment), "min.cleanable.dirty.ratio": "0.01"}
        resource = ConfigResource(ResourceType.TOPIC, INTERNAL, incremental_configs=[
            ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in changes.items()])
        admin.incremental_alter_configs([resource])[resource].result(30)
        folder = broker.data / f"{INTERNAL}-0"
        for i in range(1, rounds + 1):
            consumer.commit(offsets=[TopicPartition(topic, 0, i), TopicPartition(topic, 1, 2 * i)], asynchronous=i < rounds)
            consumer.poll(0)
        until = time.monotonic() + 60
        while size(folder) > 3 * segment or cleaned(broker) == 0:
            assert time.monotonic() < until, (size(folder), cleaned(broker))
            time.sleep(0.05)
        end = int(files(folder, ".log")[-1].name.split(".")[0])
        assert cleaned(broker) > 0 and end > 0
        assert committed(consumer, topic) == {0: rounds, 1: 2 * rounds, 2: 7}
        kill(broker)
        broker.start()
        assert committed(consumer, topic) == {0: rounds, 1: 2 * rounds, 2: 7}
    finally:
        consumer.close()


def cleaned(broker: Broker) -> int:
    path = broker.data / "cleaner-offset-checkpoint"
    if not path.exists():
        return 0
    lines = [line.split() for line in path.read_text().splitlines()[2:]]
    return next((int(offset) for name, _, offset in lines if name == INTERNAL), 0)
