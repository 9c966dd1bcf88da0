"""Every command-line tool of Apache Kafka 4.3.1 that concerns what is built, judged by what it prints: a sample of
them in each run, all with --all."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from nodes import Nodes, create_topic, wait_for_brokers, wait_for_members
from test_java import java  # noqa: F401  (a fixture)
from test_retention import Broker

TOOLS = "org.apache.kafka.tools."
GROUPS = "consumer.group.ConsumerGroupCommand"
Tool = Callable[..., str]


@pytest.fixture
def tool(java: list[str], cluster: Nodes) -> Tool:  # noqa: F811
    """tool(class, arguments...): what it printed, standard error included; it must end well."""

    def run(name: str, *arguments: str, code: int = 0) -> str:
        place = ["--bootstrap-server", cluster.brokers]
        command = [*java, name if name.startswith("kafka.") else TOOLS + name]
        command += [*arguments, *place] if name == "ClusterTool" else [*place, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        text = done.stdout + done.stderr
        assert done.returncode == code, text
        return text

    return run


@pytest.fixture
def lone(java: list[str], tmp_path: Path) -> Iterator[Lone]:  # noqa: F811
    b = Broker(tmp_path, "group.initial.rebalance.delay.ms=0", "offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1")
    yield Lone(b, java)
    b.process.kill()
    b.process.wait()
    b.log.close()


class Lone:
    """One node, and the tools that ask it."""

    def __init__(self, broker: Broker, java: list[str]) -> None:  # noqa: F811
        self.broker, self.java = broker, java

    def tool(self, name: str, *arguments: str, code: int = 0) -> str:
        command = [*self.java, TOOLS + name, "--bootstrap-server", self.broker.address, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def rows(self, *arguments: str) -> list[dict[str, str]]:
        """What ConsumerGroupCommand shows, by the names of its columns; no two words are in one of the columns."""
        lines = [line.split() for line in self.tool(GROUPS, *arguments).splitlines() if line.strip()]
        header = next(i for i, line in enumerate(lines) if line[0] == "GROUP")
        return [dict(zip(lines[header], line)) for line in lines[header + 1:] if len(line) == len(lines[header])]


def fill(cluster: Nodes, topic: str, count: int, partitions: int = 1) -> None:
    producer, now = Producer({"bootstrap.servers": cluster.brokers}), int(time.time() * 1000)
    for i in range(count):
        producer.produce(topic, b"%d" % i, key=b"k%d" % i, partition=i % partitions, timestamp=now + i)
    assert producer.flush(30) == 0


def test_topics(tool: Tool, topic: str) -> None:
    create = ["--create", "--topic", topic, "--partitions", "2", "--replication-factor", "3", "--config", "retention.ms=600000"]
    assert f"Created topic {topic}." in tool("TopicCommand", *create)
    assert "already exists" in tool("TopicCommand", *create, code=1)
    assert "Created" not in tool("TopicCommand", *create, "--if-not-exists")
    assert topic in tool("TopicCommand", "--list").splitlines()
    told = tool("TopicCommand", "--describe", "--topic", topic)
    assert re.search(r"PartitionCount: 2\s+ReplicationFactor: 3\s+Configs: .*retention.ms=600000", told), told
    assert len(re.findall(r"Leader: [123]\s+Replicas: [123],[123],[123]\s+Isr: [123],[123],[123]", told)) == 2, told
    tool("TopicCommand", "--alter", "--topic", topic, "--partitions", "5")
    assert "PartitionCount: 5" in tool("TopicCommand", "--describe", "--topic", topic)
    assert tool("TopicCommand", "--describe", "--under-replicated-partitions").strip() == ""
    assert "PartitionCount" in tool("TopicCommand", "--describe", "--topics-with-overrides")
    tool("TopicCommand", "--delete", "--topic", topic)
    assert topic not in tool("TopicCommand", "--list").splitlines()
    assert "does not exist" in tool("TopicCommand", "--describe", "--topic", topic, code=1)


def test_configs(tool: Tool, cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic)
    configs = "kafka.admin.ConfigCommand"
    one = ["--entity-type", "topics", "--entity-name", topic]
    assert "Completed updating config" in tool(configs, "--alter", *one, "--add-config", "segment.bytes=2000000,cleanup.policy=[compact,delete]")
    told = tool(configs, "--describe", *one)
    assert "segment.bytes=2000000" in told and "cleanup.policy=compact,delete" in told and "DYNAMIC_TOPIC_CONFIG" in told, told
    tool(configs, "--alter", *one, "--delete-config", "segment.bytes")
    assert "segment.bytes" not in tool(configs, "--describe", *one)
    assert "segment.bytes=1073741824" in tool(configs, "--describe", "--all", *one)
    refused = tool(configs, "--alter", *one, "--add-config", "segment.bytes=-5", code=1)
    assert "InvalidConfigurationException" in refused or "Invalid value" in refused, refused
    broker = ["--entity-type", "brokers", "--entity-name", "1"]
    tool(configs, "--alter", *broker, "--add-config", "log.cleaner.backoff.ms=14000")
    assert "log.cleaner.backoff.ms=14000" in tool(configs, "--describe", *broker)
    tool(configs, "--alter", *broker, "--delete-config", "log.cleaner.backoff.ms")
    every = ["--entity-type", "brokers", "--entity-default"]
    tool(configs, "--alter", *every, "--add-config", "message.max.bytes=1000012")
    assert "message.max.bytes=1000012" in tool(configs, "--describe", *every)
    tool(configs, "--alter", *every, "--delete-config", "message.max.bytes")
    group = ["--entity-type", "groups", "--entity-name", topic]
    tool(configs, "--alter", *group, "--add-config", "consumer.session.timeout.ms=50000")
    assert "consumer.session.timeout.ms=50000" in tool(configs, "--describe", *group)


def test_client_metrics(tool: Tool, topic: str) -> None:
    name = topic.replace("_", "-")
    added = tool("ClientMetricsCommand", "--alter", "--name", name, "--metrics", "org.apache.kafka.producer.", "--interval", "60000")
    assert "Altered client metrics config for" in added, added
    assert name in tool("ClientMetricsCommand", "--list").splitlines()
    told = tool("ClientMetricsCommand", "--describe", "--name", name)
    assert "interval.ms=60000" in told and "metrics=org.apache.kafka.producer." in told, told
    tool("ClientMetricsCommand", "--delete", "--name", name)
    assert name not in tool("ClientMetricsCommand", "--list").splitlines()


def test_consumer_groups(tool: Tool, cluster: Nodes, topic: str, java: list[str]) -> None:  # noqa: F811
    create_topic(cluster.brokers, topic, partitions=2)
    fill(cluster, topic, 100, partitions=2)
    groups, group = "consumer.group.ConsumerGroupCommand", ["--group", topic]
    command = [*java, TOOLS + "consumer.ConsoleConsumer", "--bootstrap-server", cluster.brokers, "--topic", topic, "--from-beginning", *group]
    command += ["--command-property", "auto.commit.interval.ms=100"]
    member = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert member.stdout
        assert sorted(int(member.stdout.readline()) for _ in range(100)) == list(range(100))
        wait_for_members(cluster.brokers, topic, 1)
        assert topic in tool(groups, "--list").splitlines()
        assert re.search(rf"{topic}\s+Stable", tool(groups, "--list", "--state"))
        both = re.compile(rf"{topic}\s+{topic}\s+[01]\s+-?\s*50\s+50\s+0\s+\S+")
        until = time.monotonic() + 30  # the member commits in its own time
        while len(both.findall(told := tool(groups, "--describe", *group))) != 2:
            assert time.monotonic() < until, told
        assert re.search(r"range\s+Stable\s+1", tool(groups, "--describe", *group, "--state"))
        assert "console-consumer" in tool(groups, "--describe", *group, "--members", "--verbose")
        reset = ["--reset-offsets", "--to-earliest", "--topic", topic, *group]
        assert "inactive" in tool(groups, *reset, "--execute")
    finally:
        member.send_signal(signal.SIGTERM)
        member.wait(30)
    assert re.search(rf"{topic}\s+{topic}\s+0\s+0", tool(groups, *reset, "--dry-run"))
    tool(groups, *reset, "--execute")
    assert len(re.findall(r"\s0\s+50\s+50\s", tool(groups, "--describe", *group))) == 2
    tool(groups, "--reset-offsets", "--shift-by", "7", "--topic", f"{topic}:1", *group, "--execute")
    assert re.search(r"\s1\s+-?\s*7\s+50\s+43\s", tool(groups, "--describe", *group))
    assert "Successful" in tool(groups, "--delete-offsets", "--topic", f"{topic}:0", *group)
    assert f"Deletion of requested consumer groups ('{topic}') was successful." in tool(groups, "--delete", *group)
    assert topic not in tool(groups, "--list").splitlines()
    assert f"Group {topic} not found." in tool(groups, "--describe", *group)


HOUR_MS = 3_600_000


def test_reset_of_offsets(lone: Lone, topic: str, tmp_path: Path) -> None:
    """By time, by duration, by a file that was exported before: each record of partition 0 is two hours old up to
    offset 30, and of now from there on; in partition 1 the step is at 10."""
    admin = AdminClient({"bootstrap.servers": lone.broker.address})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    now = int(time.time() * 1000)
    producer = Producer({"bootstrap.servers": lone.broker.address})
    for partition, step in enumerate((30, 10)):
        for i in range(50):
            producer.produce(topic, b"x", partition=partition, timestamp=now + i - (2 * HOUR_MS if i < step else 0))
    assert producer.flush(30) == 0
    consumer = Consumer({"bootstrap.servers": lone.broker.address, "group.id": topic})
    consumer.commit(offsets=[TopicPartition(topic, 0, 5), TopicPartition(topic, 1, 50)], asynchronous=False)
    consumer.close()

    def current() -> dict[str, tuple[str, ...]]:
        columns = ("TOPIC", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG")
        return {row["PARTITION"]: tuple(row[c] for c in columns) for row in lone.rows("--describe", "--group", topic)}

    assert current() == {"0": (topic, "5", "50", "45"), "1": (topic, "50", "50", "0")}
    reset = ["--reset-offsets", "--group", topic]
    exported = lone.tool(GROUPS, *reset, "--all-topics", "--to-current", "--export", "--dry-run")
    plan = tmp_path / "plan.csv"
    plan.write_text("".join(line + "\n" for line in exported.splitlines() if "," in line))
    assert sorted(line.replace('"', "") for line in plan.read_text().split()) == [f"{topic},0,5", f"{topic},1,50"]

    planned = {row["PARTITION"]: row["NEW-OFFSET"] for row in lone.rows(*reset, "--topic", topic, "--by-duration", "PT1H", "--execute")}
    assert planned == {"0": "30", "1": "10"}
    assert current() == {"0": (topic, "30", "50", "20"), "1": (topic, "10", "50", "40")}
    lone.tool(GROUPS, *reset, "--from-file", str(plan), "--execute")
    assert current() == {"0": (topic, "5", "50", "45"), "1": (topic, "50", "50", "0")}
    hour_ago = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now / 1000 - 3600))
    lone.tool(GROUPS, *reset, "--topic", f"{topic}:1", "--to-datetime", hour_ago, "--execute")
    assert current() == {"0": (topic, "5", "50", "45"), "1": (topic, "10", "50", "40")}


def test_what_is_shown_of_a_group(lone: Lone, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": lone.broker.address})
    admin.create_topics([NewTopic(topic, 3, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": lone.broker.address})
    for i in range(90):
        producer.produce(topic, b"x", partition=i % 3)
    assert producer.flush(30) == 0
    members = [Consumer({"bootstrap.servers": lone.broker.address, "group.id": topic, "client.id": f"client-{i}", "partition.assignment.strategy": "range",
                         "enable.auto.commit": False}) for i in range(2)]
    try:
        for m in members:
            m.subscribe([topic])
        until = time.monotonic() + 30
        while sorted(len(m.assignment()) for m in members) != [1, 2]:
            assert time.monotonic() < until
            for m in members:
                m.poll(0.05)
        holder = {p.partition: i for i, m in enumerate(members) for p in m.assignment()}
        for p, i in holder.items():
            members[i].commit(offsets=[TopicPartition(topic, p, 7 * (p + 1))], asynchronous=False)
        rows = lone.rows("--describe", "--group", topic)
        columns = ("GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "HOST", "CLIENT-ID")
        told = sorted(tuple(row[c] for c in columns) for row in rows)
        assert told == [(topic, topic, str(p), str(7 * (p + 1)), "30", str(30 - 7 * (p + 1)), "/127.0.0.1", f"client-{holder[p]}") for p in range(3)]
        shown = {row["CONSUMER-ID"]: (row["HOST"], row["CLIENT-ID"], row["#PARTITIONS"]) for row in lone.rows("--describe", "--group", topic, "--members")}
        assert sorted(shown.values()) == sorted(("/127.0.0.1", f"client-{i}", str(len(m.assignment()))) for i, m in enumerate(members))
        assert {row["CONSUMER-ID"] for row in rows} == set(shown) == {m.memberid() for m in members}
        state = lone.tool(GROUPS, "--describe", "--group", topic, "--state")
        assert re.search(rf"{topic}\s+{lone.broker.address}\s+\(1\)\s+range\s+Stable\s+2", state), state
        assert re.search(rf"{topic}\s+Classic\s+consumer", lone.tool("GroupsCommand", "--list"))
    finally:
        for m in members:
            m.close()


def test_groups(tool: Tool) -> None:
    assert "PROTOCOL" in tool("GroupsCommand", "--list")


def test_get_offsets(tool: Tool, cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic, partitions=2)
    fill(cluster, topic, 31, partitions=2)
    assert tool("GetOffsetShell", "--topic", topic).splitlines() == [f"{topic}:0:16", f"{topic}:1:15"]
    assert tool("GetOffsetShell", "--topic", topic, "--time", "earliest").splitlines() == [f"{topic}:0:0", f"{topic}:1:0"]
    assert f"{topic}:0:15" in tool("GetOffsetShell", "--topic-partitions", f"{topic}:0", "--time", "max-timestamp")


def test_delete_records(tool: Tool, cluster: Nodes, topic: str, tmp_path: Path) -> None:
    create_topic(cluster.brokers, topic)
    fill(cluster, topic, 20)
    wanted = tmp_path / "delete.json"
    wanted.write_text(json.dumps({"partitions": [{"topic": topic, "partition": 0, "offset": 12}], "version": 1}))
    assert re.search(r"low_watermark: 12", tool("DeleteRecordsCommand", "--offset-json-file", str(wanted)))
    assert tool("GetOffsetShell", "--topic", topic, "--time", "earliest").strip() == f"{topic}:0:12"


def test_log_dirs(tool: Tool, cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic)
    fill(cluster, topic, 20)
    told = tool("LogDirsCommand", "--describe", "--topic-list", topic)
    brokers = json.loads(next(line for line in told.splitlines() if line.startswith("{")))["brokers"]
    assert sorted(b["broker"] for b in brokers) == [1, 2, 3]
    for b in brokers:
        (directory,) = b["logDirs"]
        (partition,) = directory["partitions"]
        assert directory["error"] is None and partition["partition"] == f"{topic}-0" and partition["size"] > 0, b


def test_performance_tools(tool: Tool, cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic, partitions=2)
    sent = tool("ProducerPerformance", "--topic", topic, "--num-records", "20000", "--record-size", "100", "--throughput", "-1", "--command-property", "acks=all")
    assert re.search(r"20000 records sent, .* 99\.9th", sent), sent
    got = tool("ConsumerPerformance", "--topic", topic, "--num-records", "20000", "--timeout", "20000")
    assert re.search(r", 20000, ", got), got


def test_end_to_end_latency(tool: Tool, cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic)
    told = tool("EndToEndLatency", "--topic", topic, "--num-records", "200", "--producer-acks", "all", "--record-size", "100")
    assert "Percentiles: 50th" in told, told


def test_verifiable_producer_and_consumer(tool: Tool, cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic, partitions=2)
    consumed: list[str] = []
    reader = threading.Thread(target=lambda: consumed.extend(tool(
        "VerifiableConsumer", "--topic", topic, "--group-id", topic, "--reset-policy", "earliest", "--max-messages", "500", "--verbose").splitlines()))
    reader.start()
    told = [json.loads(x) for x in tool("VerifiableProducer", "--topic", topic, "--max-messages", "500", "--acks", "-1").splitlines() if x.startswith("{")]
    assert sum(e["name"] == "producer_send_success" for e in told) == 500
    assert not any(e["name"] == "producer_send_error" for e in told)
    reader.join(90)
    events = [json.loads(x) for x in consumed if x.startswith("{")]
    values = [int(e["value"]) for e in events if e["name"] == "record_data"]
    assert sorted(values) == list(range(500))
    assert any(e["name"] == "offsets_committed" and e["success"] for e in events)
    assert not any(e["name"] == "offsets_committed" and not e["success"] for e in events), events


def test_cluster_id(tool: Tool) -> None:
    assert re.search(r"Cluster ID: \S{22}", tool("ClusterTool", "cluster-id"))
    told = tool("ClusterTool", "list-endpoints")
    assert len(re.findall(r"(?m)^\s*[123]\s+127\.0\.0\.1\s+\d+", told)) == 3, told


def test_features(tool: Tool) -> None:
    told = tool("FeatureCommand", "describe")
    assert re.search(r"Feature: metadata\.version\s+SupportedMinVersion: \S+\s+SupportedMaxVersion: 4\.3\S*\s+FinalizedVersionLevel: 4\.3", told), told


def test_levels_of_features(lone: Lone) -> None:
    level = re.compile(r"Feature: group\.version\s.*FinalizedVersionLevel: (\d)")
    features = "FeatureCommand"
    assert level.search(lone.tool(features, "describe"))[1] == "1"  # type: ignore[index]
    assert "metadata.version=27" in lone.tool(features, "version-mapping", "--release-version", "4.1")
    assert "group.version was downgraded to 0." in lone.tool(features, "downgrade", "--feature", "group.version=0")
    assert level.search(lone.tool(features, "describe"))[1] == "0"  # type: ignore[index]
    assert "group.version was upgraded to 1." in lone.tool(features, "upgrade", "--feature", "group.version=1")
    refused = lone.tool(features, "downgrade", "--feature", "metadata.version=27", code=1)
    assert "Could not downgrade metadata.version to 27" in refused and "Invalid update version 27 for feature metadata.version" in refused
    told = lone.tool(features, "describe")
    assert level.search(told)[1] == "1" and "FinalizedVersionLevel: 4.3-IV0" in told, told  # type: ignore[index]


def test_a_broker_that_is_gone_is_unregistered(tool: Tool, cluster: Nodes) -> None:
    def listed() -> dict[str, str]:
        told = tool("ClusterTool", "list-endpoints", "--include-fenced-brokers")
        return dict(re.findall(r"(?m)^\s*(\d)\s.*\s(fenced|unfenced)\s", told))

    assert listed() == {"1": "unfenced", "2": "unfenced", "3": "unfenced"}
    cluster.kill(3)
    try:
        until = time.monotonic() + 60
        while (brokers := listed()) != {"1": "unfenced", "2": "unfenced", "3": "fenced"}:  # its session ends
            assert time.monotonic() < until and set(brokers) == {"1", "2", "3"}, brokers
        assert "Broker 3 is no longer registered." in tool("ClusterTool", "unregister", "--id", "3")
        assert listed() == {"1": "unfenced", "2": "unfenced"}
        assert "Broker ID 3 is not currently registered" in tool("ClusterTool", "unregister", "--id", "3", code=1)
    finally:
        cluster.restart(3)
    wait_for_brokers(cluster.brokers, 3)
    assert listed() == {"1": "unfenced", "2": "unfenced", "3": "unfenced"}


def test_quorum(tool: Tool) -> None:
    told = tool("MetadataQuorumCommand", "describe", "--status")
    assert re.search(r"LeaderId:\s+[123]", told) and "CurrentVoters:" in told and re.search(r"HighWatermark:\s+\d+", told), told
    told = tool("MetadataQuorumCommand", "describe", "--replication")
    assert len(re.findall(r"(?m)^[123]\s.*(Leader|Follower)", told)) == 3, told


def test_broker_api_versions(tool: Tool) -> None:
    told = tool("BrokerApiVersionsCommand")
    assert len(re.findall(r"\(id: [123] rack: null.*\) -> \(", told)) == 3, told
    assert "UNKNOWN" not in told
    assert re.search(r"Produce\(0\): \S+ to 13 \[usable: 13\]", told), told


def test_replica_verification(tool: Tool, cluster: Nodes, topic: str, java: list[str]) -> None:  # noqa: F811
    create_topic(cluster.brokers, topic)
    fill(cluster, topic, 1_000)
    command = [*java, TOOLS + "ReplicaVerificationTool", "--broker-list", cluster.brokers, "--topics-include", topic, "--report-interval-ms", "500"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout
        until = time.monotonic() + 30
        while time.monotonic() < until:
            line = process.stdout.readline()
            found = re.search(r"max lag is (\d+) for partition \S+ at offset (\S+) among (\d+) partitions", line)
            if found and int(found.group(3)) == 1:
                assert int(found.group(1)) == 0, line
                return
        raise AssertionError("no verdict")
    finally:
        process.kill()
        process.wait()
