"""A group of eight whose members come and go, die and stand still under load: each record is read, in the order of its
partition, and what is committed never goes back."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict

import pytest
from confluent_kafka import OFFSET_INVALID, Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from nodes import Nodes, create_topic

MEMBERS, PARTITIONS = 8, 12
PASSED_ON = (KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError._NO_OFFSET,
             KafkaError._ASSIGNMENT_LOST)


class Seen:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.values: dict[int, dict[int, int]] = defaultdict(dict)  # partition -> offset -> value

    def add(self, partition: int, offset: int, value: int) -> None:
        with self.lock:
            assert self.values[partition].setdefault(offset, value) == value

    def count(self) -> int:
        with self.lock:
            return sum(len(v) for v in self.values.values())


def commit(consumer: Consumer) -> None:
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as e:  # the partitions have gone on to another member, which reads them again
        if e.args[0].code() not in PASSED_ON:
            raise


class Member(threading.Thread):
    """Reads and commits what it has read, until it is told to leave."""

    def __init__(self, brokers: str, group: str, topic: str, strategy: str, seen: Seen) -> None:
        super().__init__(daemon=True)
        self.leave, self.seen, self.error = threading.Event(), seen, ""
        self.consumer = Consumer({
            "bootstrap.servers": brokers, "group.id": group, "partition.assignment.strategy": strategy, "auto.offset.reset": "earliest",
            "enable.auto.commit": False, "session.timeout.ms": 6000, "heartbeat.interval.ms": 300})
        self.consumer.subscribe([topic])

    def run(self) -> None:
        try:
            while not self.leave.is_set():
                messages = self.consumer.consume(200, 0.1)
                for message in messages:
                    if message.error():
                        raise KafkaException(message.error())
                    self.seen.add(message.partition(), message.offset(), int(message.value()))
                if messages:
                    commit(self.consumer)
            self.consumer.close()
        except Exception as e:  # told by the test, which waits for it
            self.error = repr(e)


def committed(admin: AdminClient, group: str, topic: str) -> list[int]:
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in range(PARTITIONS)])
    told = admin.list_consumer_group_offsets([asked])[group].result(20)
    return [p.offset for p in sorted(told.topic_partitions, key=lambda p: p.partition)]


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_members_come_and_go(cluster: Nodes, topic: str, strategy: str, load: int) -> None:
    topic = topic.replace("[", "-").replace("]", "")
    create_topic(cluster.brokers, topic, PARTITIONS)
    admin, seen, chance = AdminClient({"bootstrap.servers": cluster.brokers}), Seen(), random.Random(8)
    acknowledged: list[int] = []
    producer = Producer({"bootstrap.servers": cluster.brokers, "enable.idempotence": True, "linger.ms": 5})
    stop = threading.Event()

    def produce() -> None:
        number = 0
        while not stop.is_set():
            for _ in range(20):
                producer.produce(topic, b"%d" % number, partition=number % PARTITIONS,
                                 on_delivery=lambda error, message: acknowledged.append(int(message.value())) if not error else None)
                number += 1
            producer.poll(0.01)

    writer = threading.Thread(target=produce, daemon=True)
    writer.start()
    members = [Member(cluster.brokers, topic, topic, strategy, seen) for _ in range(MEMBERS)]
    gone: list[Member] = []
    for m in members:
        m.start()
    before = [OFFSET_INVALID] * PARTITIONS  # nothing is committed
    for _ in range(load // 500):
        time.sleep(0.5)
        leaver = members.pop(chance.randrange(len(members)))
        leaver.leave.set()
        gone.append(leaver)
        if chance.random() < 0.7 or len(members) < 3:
            members.append(Member(cluster.brokers, topic, topic, strategy, seen))
            members[-1].start()
        now = committed(admin, topic, topic)
        assert all(n >= b for n, b in zip(now, before)), (before, now)
        before = now
    stop.set()
    writer.join(30)
    assert producer.flush(60) == 0
    until = time.monotonic() + 60
    while seen.count() < len(acknowledged):
        assert time.monotonic() < until, (seen.count(), len(acknowledged), [m.error for m in members])
        time.sleep(0.05)
    for m in [*members, *gone]:
        m.leave.set()
        m.join(30)
        assert not m.is_alive() and not m.error, m.error
    assert sorted(v for values in seen.values.values() for v in values.values()) == sorted(acknowledged)
    for partition, values in seen.values.items():
        assert sorted(values) == list(range(len(values))), partition
        in_order = [values[o] for o in range(len(values))]
        assert in_order == sorted(in_order), partition
    ends = committed(admin, topic, topic)
    assert all(e >= b for e, b in zip(ends, before)), (before, ends)


class Process:
    """A member that can be killed, or stopped and let go on: a process of its own, which says what it reads before it commits."""

    def __init__(self, brokers: str, group: str, topic: str, name: str, seen: Seen) -> None:
        self.name, self.seen = name, seen
        self.process = subprocess.Popen([sys.executable, __file__, brokers, group, topic, name], stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.endswith("\n"):  # else its end came in the middle
                self.seen.add(*map(int, line.split()))

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join(30)


def names_of(admin: AdminClient, group: str) -> set[str]:
    """The clients of a group's members, where it is stable."""
    told = admin.describe_consumer_groups([group])[group].result(20)
    return {m.client_id for m in told.members} if told.state.name == "STABLE" else set()


def test_members_die_and_stand_still(cluster: Nodes, topic: str, load: int) -> None:
    """One is killed; one is stopped until its session is over, and then goes on where it was."""
    create_topic(cluster.brokers, topic, PARTITIONS)
    admin, seen, chance = AdminClient({"bootstrap.servers": cluster.brokers}), Seen(), random.Random(9)
    acknowledged: list[int] = []
    producer = Producer({"bootstrap.servers": cluster.brokers, "enable.idempotence": True, "linger.ms": 5})
    stop = threading.Event()

    def produce() -> None:
        number = 0
        while not stop.is_set():
            for _ in range(PARTITIONS):
                producer.produce(topic, b"%d" % number, partition=number % PARTITIONS,
                                 on_delivery=lambda error, message: acknowledged.append(int(message.value())) if not error else None)
                number += 1
            producer.poll(0.01)

    before = [OFFSET_INVALID] * PARTITIONS

    def wait_for_names(members: list[Process]) -> None:
        nonlocal before
        until = time.monotonic() + 60
        while (names := names_of(admin, topic)) != {m.name for m in members}:
            assert time.monotonic() < until, names
            now = committed(admin, topic, topic)
            assert all(n >= b for n, b in zip(now, before)), (before, now)
            before = now
            time.sleep(0.1)

    writer = threading.Thread(target=produce, daemon=True)
    members = [Process(cluster.brokers, topic, topic, f"member-{i}", seen) for i in range(MEMBERS)]
    everyone = list(members)
    try:
        writer.start()
        wait_for_names(members)
        for turn in range(load // 4_000):
            killed, stopped = (members.pop(chance.randrange(len(members))) for _ in range(2))
            stopped.process.send_signal(signal.SIGSTOP)
            killed.end()
            members.append(Process(cluster.brokers, topic, topic, f"other-{turn}", seen))
            everyone.append(members[-1])
            wait_for_names(members)
            stopped.process.send_signal(signal.SIGCONT)
            members.append(stopped)
            wait_for_names(members)
        stop.set()
        writer.join(30)
        assert producer.flush(60) == 0
        until = time.monotonic() + 60
        while seen.count() < len(acknowledged) or sum(committed(admin, topic, topic)) < len(acknowledged):
            assert time.monotonic() < until, (seen.count(), len(acknowledged))
            time.sleep(0.1)
        assert all(m.process.poll() is None for m in members)
    finally:
        stop.set()
        for m in everyone:
            m.end()
    assert sorted(v for values in seen.values.values() for v in values.values()) == sorted(acknowledged)
    for partition, values in seen.values.items():
        in_order = [values[o] for o in range(len(values))]
        assert in_order == sorted(in_order), partition
    ends = committed(admin, topic, topic)
    assert ends == [len(seen.values[p]) for p in range(PARTITIONS)] and all(e >= b for e, b in zip(ends, before))


def member(brokers: str, group: str, topic: str, name: str) -> None:
    consumer = Consumer({
        "bootstrap.servers": brokers, "group.id": group, "client.id": name, "partition.assignment.strategy": "range", "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "session.timeout.ms": 6000, "heartbeat.interval.ms": 300})
    consumer.subscribe([topic])
    while True:
        messages = consumer.consume(200, 0.1)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            print(message.partition(), message.offset(), int(message.value()))
        sys.stdout.flush()
        if messages:
            commit(consumer)


if __name__ == "__main__":
    member(*sys.argv[1:])
