"""Kafka's console producer and consumer, the Java client."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from nodes import ROOT, Nodes, check_log, create_topic, leader_of, wait_for_members

PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
RANGE = "org.apache.kafka.clients.consumer.RangeAssignor"


@pytest.fixture(scope="session")
def java() -> list[str]:
    """The command that runs a class; its jars are copied once, below build/."""
    if not shutil.which("mvn") or not shutil.which("java"):
        pytest.fail("Maven and a Java 17 runtime are needed: apt-get install maven openjdk-17-jre-headless")
    jars = ROOT / "build" / "client-jars"
    pom = Path(__file__).with_name("pom.xml")
    stamp = jars / "complete"
    if not stamp.exists() or stamp.stat().st_mtime < pom.stat().st_mtime:
        copy = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        subprocess.run(copy, check=True, timeout=600)
        stamp.touch()
    quiet = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-XX:TieredStopAtLevel=1", "-Xmx256m"]
    return ["java", *quiet, "-cp", f"{jars}/*"]


def consume(java: list[str], cluster: Nodes, topic: str, count: int, *more: str) -> list[str]:
    limits = ["--max-messages", str(count), "--timeout-ms", "60000"]
    command = [*java, CONSUMER, "--bootstrap-server", cluster.brokers, "--topic", topic, "--from-beginning", *limits]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_produce_and_consume(cluster: Nodes, topic: str, java: list[str]) -> None:
    create_topic(cluster.brokers, topic)
    lines = [f"value-{i}" for i in range(200)]
    command = [*java, PRODUCER, "--bootstrap-server", cluster.brokers, "--topic", topic]
    subprocess.run(command, input="\n".join(lines) + "\n", text=True, check=True, timeout=60)
    assert consume(java, cluster, topic, 200) == lines


def test_group_of_two(cluster: Nodes, topic: str, java: list[str]) -> None:
    create_topic(cluster.brokers, topic, partitions=4)
    outputs: list[list[str]] = [[], []]
    command = [*java, CONSUMER, "--bootstrap-server", cluster.brokers, "--topic", topic, "--group", topic]
    # The console consumer ends by itself after this long without a message.
    command += ["--timeout-ms", "8000", "--command-property", "partition.assignment.strategy=" + RANGE]

    def run(i: int) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        outputs[i] = done.stdout.splitlines()

    members = [threading.Thread(target=run, args=[i]) for i in range(2)]
    for m in members:
        m.start()
    wait_for_members(cluster.brokers, topic, 2)
    producer = [*java, PRODUCER, "--bootstrap-server", cluster.brokers, "--topic", topic]
    # Round robin, so that every partition gets its share.
    producer += ["--command-property", "partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner"]
    subprocess.run(producer, input="".join(f"{i}\n" for i in range(100)), text=True, check=True, timeout=60)
    for m in members:
        m.join()
    assert sorted(outputs[0] + outputs[1], key=int) == [str(i) for i in range(100)]
    assert outputs[0] and outputs[1]


def test_kill_of_the_leader_under_load(cluster: Nodes, topic: str, java: list[str], load: int) -> None:
    create_topic(cluster.brokers, topic)
    leader = leader_of(cluster.brokers, topic)
    command = [*java, PRODUCER, "--bootstrap-server", cluster.brokers, "--topic", topic, "--request-required-acks", "all"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
    assert process.stdin
    time.sleep(1.5)  # the virtual machine starts
    for i in range(load):
        if i == load // 4:
            cluster.kill(leader)
        process.stdin.write(f"{i}\n")
        time.sleep(1.0 / load)
    _, errors = process.communicate(timeout=90)
    cluster.restart(leader)
    assert process.returncode == 0 and "Error when sending" not in errors, errors
    check_log(cluster.brokers, topic, [b"%d" % i for i in range(load)])
