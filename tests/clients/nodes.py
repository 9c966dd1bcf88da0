"""A cluster of processes, started as users start it: `klamm cluster 3 --processes --json`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BINARY = Path(os.environ.get("KLAMM_BINARY", ROOT / "build" / "release" / "klamm"))


@dataclass
class Node:
    id: int
    pid: int
    port: int
    properties: str
    restarted: subprocess.Popen[bytes] | None = None


class Nodes:
    def __init__(self, folder: Path, count: int = 3) -> None:
        self._log = open(folder / "cluster.log", "wb")
        self._process = subprocess.Popen(
            [BINARY, "cluster", str(count), "--processes", "--json", "--dir", folder / "data"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"klamm cluster did not start; see {self._log.name}")
        told = json.loads(line)
        self.brokers: str = told["brokers"]
        self.nodes = {n["id"]: Node(n["id"], n["pid"], n["port"], n["properties"]) for n in told["nodes"]}

    def kill(self, node: int) -> None:
        """kill -9"""
        n = self.nodes[node]
        if n.restarted:
            n.restarted.kill()
            n.restarted.wait()
        else:
            os.kill(n.pid, signal.SIGKILL)

    def restart(self, node: int) -> None:
        n = self.nodes[node]
        n.restarted = subprocess.Popen([BINARY, "serve", n.properties], stdout=self._log, stderr=self._log)

    def close(self) -> None:
        for n in self.nodes.values():
            if n.restarted:
                n.restarted.terminate()
        self._process.terminate()
        for process in [self._process, *(n.restarted for n in self.nodes.values() if n.restarted)]:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()


def wait_for_brokers(brokers: str, count: int) -> None:
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": brokers})
    until = time.monotonic() + 60
    while len(admin.list_topics(timeout=10).brokers) != count:
        if time.monotonic() > until:
            raise TimeoutError(f"there are not {count} brokers")
        time.sleep(0.05)


def leader_of(brokers: str, topic: str, partition: int = 0) -> int:
    """As librdkafka is told."""
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": brokers})
    until = time.monotonic() + 30
    while time.monotonic() < until:  # any broker may be asked: the news may still be on its way to it
        known = admin.list_topics(topic, 10).topics[topic].partitions
        if partition in known and known[partition].leader >= 0:
            return int(known[partition].leader)
        time.sleep(0.02)
    raise TimeoutError(f"{topic} has no leader")


def create_topic(brokers: str, topic: str, partitions: int = 1, config: dict[str, str] | None = None) -> None:
    """Replicated threefold, acknowledged by two, with leaders before it returns."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": brokers})
    wanted = NewTopic(topic, partitions, 3, config={"min.insync.replicas": "2", **(config or {})})
    admin.create_topics([wanted])[topic].result(30)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = admin.list_topics(timeout=10).topics.get(topic)
        if found and len(found.partitions) == partitions and all(p.leader >= 0 for p in found.partitions.values()):
            return
        time.sleep(0.02)
    raise TimeoutError(f"{topic} has no leaders")


def wait_for_members(brokers: str, group: str, count: int) -> None:
    """Until the group is stable with that many: DescribeGroups tells."""
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": brokers})
    until = time.monotonic() + 40
    while time.monotonic() < until:
        told = admin.describe_consumer_groups([group])[group].result(10)
        if len(told.members) == count and told.state.name == "STABLE":
            return
        time.sleep(0.1)
    raise TimeoutError(f"{group} has not {count} members")


def read_all(brokers: str, topic: str, partition: int = 0) -> list[bytes]:
    """Every value of a partition, up to its end of now."""
    from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "nobody", "enable.auto.commit": False})
    try:
        end, until = -1, time.monotonic() + 60
        while end < 0:
            try:
                _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
            except KafkaException as e:  # a new leader does not know yet what is committed (KIP-207); librdkafka passes it on
                assert e.args[0].code() == KafkaError.OFFSET_NOT_AVAILABLE and time.monotonic() < until, e
        consumer.assign([TopicPartition(topic, partition, 0)])
        values: list[bytes] = []
        position = 0
        while position < end:
            assert time.monotonic() < until, f"read {position} of {end}"
            for message in consumer.consume(1000, 0.2):
                assert message.error() is None, message.error()
                values.append(message.value())
                position = message.offset() + 1
        return values
    finally:
        consumer.close()


def check_log(brokers: str, topic: str, acknowledged: list[bytes]) -> None:
    """Every acknowledged value is there once, and in the order in which they were produced."""
    log = read_all(brokers, topic)
    there = set(acknowledged)
    assert [v for v in log if v in there] == acknowledged
