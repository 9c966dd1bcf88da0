"""Memberships of unmodified clients: a static member that is back within its session disturbs nobody, and Java's cooperative
assignor takes from a member only what another is given."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from nodes import wait_for_members
from test_java import CONSUMER, java  # noqa: F401  (a fixture)
from test_retention import Broker

PARTITIONS = 4


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    b = Broker(tmp_path, "group.initial.rebalance.delay.ms=0", "offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1")
    yield b
    b.process.kill()
    b.process.wait()
    b.log.close()


def create(broker: Broker, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)


def produce(broker: Broker, topic: str, values: range) -> None:
    producer = Producer({"bootstrap.servers": broker.address})
    for i in values:
        producer.produce(topic, b"%d" % i, partition=i % PARTITIONS)
    assert producer.flush(30) == 0


class Member(threading.Thread):
    """Reads until it is told to stop, and notes each assignment that it was given."""

    def __init__(self, broker: Broker, topic: str, instance: str | None) -> None:
        super().__init__(daemon=True)
        self.stop, self.assigned = threading.Event(), list[set[int]]()
        self.values: list[int] = []
        named = {"group.instance.id": instance} if instance else {}
        self.consumer = Consumer({
            "bootstrap.servers": broker.address, "group.id": topic, "auto.offset.reset": "earliest", "partition.assignment.strategy": "range",
            "session.timeout.ms": 45_000, "heartbeat.interval.ms": 100, **named})
        self.consumer.subscribe([topic], on_assign=self.on_assign)

    def on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.assigned.append({p.partition for p in partitions})

    def run(self) -> None:
        while not self.stop.is_set():
            self.values += [int(m.value()) for m in self.consumer.consume(100, 0.05) if not m.error()]
        self.consumer.close()

    def end(self) -> None:
        self.stop.set()
        self.join(30)
        assert not self.is_alive()


def wait_for(what: object, condition: object) -> None:
    until = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, what
        time.sleep(0.02)


@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
def test_a_restart_within_the_session(broker: Broker, static: bool) -> None:
    """Of a static member: the other keeps its partitions without a word. Of a dynamic one: it is given all, and then half again."""
    topic = "some"
    create(broker, topic)
    first = Member(broker, topic, "one" if static else None)
    first.start()
    wait_for_members(broker.address, topic, 1)
    second = Member(broker, topic, "two" if static else None)
    second.start()
    members = [first, second]
    try:
        wait_for(members, lambda: all(m.assigned and len(m.assigned[-1]) == PARTITIONS // 2 for m in members))
        before = [list(m.assigned) for m in members]
        second.end()
        if not static:
            wait_for(first.assigned, lambda: len(first.assigned[-1]) == PARTITIONS)
        members[1] = Member(broker, topic, "two" if static else None)
        members[1].start()
        wait_for(members, lambda: all(m.assigned and len(m.assigned[-1]) == PARTITIONS // 2 for m in members))
        produce(broker, topic, range(100))
        wait_for(members, lambda: sum(len(m.values) for m in members) >= 100)
        assert sorted(v for m in members for v in m.values) == list(range(100))
        if static:
            assert first.assigned == before[0]
            assert members[1].assigned == [before[1][-1]]
        else:
            assert len(first.assigned) == len(before[0]) + 2
    finally:
        for m in members:
            m.end()


def taken(log: str) -> list[set[int]]:
    """The partitions that were taken from a member of Java's, as it says itself."""
    return [{int(p) for p in re.findall(r"some-(\d)", which)} for which in re.findall(r"Revoke previously assigned partitions \[(.*?)\]", log)]


@pytest.mark.parametrize("assignor", ["CooperativeStickyAssignor", "RangeAssignor"])
def test_two_of_javas_members(broker: Broker, java: list[str], tmp_path: Path, assignor: str) -> None:  # noqa: F811
    """What the first member keeps is not taken from it in between, where its assignor is cooperative."""
    topic = "some"
    create(broker, topic)
    talkative = [word.replace("defaultLogLevel=error", "defaultLogLevel=info") for word in java]
    command = [*talkative, CONSUMER, "--bootstrap-server", broker.address, "--topic", topic, "--group", topic, "--from-beginning",
               "--command-property", f"partition.assignment.strategy=org.apache.kafka.clients.consumer.{assignor}",
               "--command-property", "heartbeat.interval.ms=100"]
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    members: list[subprocess.Popen[str]] = []
    try:
        for count, log in enumerate(logs, 1):
            with open(log, "w") as out:
                members.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=out, text=True))
            wait_for_members(broker.address, topic, count)
        admin = AdminClient({"bootstrap.servers": broker.address})

        def shares() -> list[int]:
            told = admin.describe_consumer_groups([topic])[topic].result(20)
            return [len(m.assignment.topic_partitions) for m in told.members] if told.state.name == "STABLE" else []

        wait_for("two shares", lambda: shares() == [2, 2])
        produce(broker, topic, range(100))
        outputs = []
        for m in members:
            assert m.stdout
            outputs.append([int(m.stdout.readline()) for _ in range(50)])
        assert sorted(outputs[0] + outputs[1]) == list(range(100))
        shared = [{v % PARTITIONS for v in values} for values in outputs]
        assert [len(s) for s in shared] == [2, 2]
        assert taken(logs[0].read_text()) == [shared[1] if assignor.startswith("Cooperative") else set(range(PARTITIONS))]
        assert not taken(logs[1].read_text())
    finally:
        for m in members:
            m.kill()
            m.wait()
