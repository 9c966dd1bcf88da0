"""kcat, librdkafka on the command line."""

from __future__ import annotations

import subprocess
import time

from nodes import Nodes, check_log, create_topic, leader_of, wait_for_members


def kcat(cluster: Nodes, *arguments: str, text: str = "", timeout: float = 60) -> str:
    command = ["kcat", "-b", cluster.brokers, *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_produce_and_consume(cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic)
    lines = [f"key-{i % 7}:value-{i}" for i in range(500)]
    kcat(cluster, "-P", "-t", topic, "-K", ":", "-z", "snappy", text="\n".join(lines) + "\n")
    read = kcat(cluster, "-C", "-t", topic, "-K", ":", "-o", "beginning", "-e", "-q")
    assert read.splitlines() == lines


def test_lists_the_cluster(cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic, partitions=5)
    told = kcat(cluster, "-L", "-t", topic)
    assert "3 brokers" in told and f'topic "{topic}" with 5 partitions' in told


def test_group_of_two(cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic, partitions=4)
    options = ["-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000", "-u", "-q"]
    command = ["kcat", "-b", cluster.brokers, "-G", topic, *options, topic]
    members = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(2)]
    try:
        wait_for_members(cluster.brokers, topic, 2)
        for p in range(4):
            kcat(cluster, "-P", "-t", topic, "-p", str(p), text="".join(f"{p}-{i}\n" for i in range(25)))
        time.sleep(2)
    finally:
        for m in members:
            m.terminate()
    outputs = [m.communicate(timeout=20)[0].splitlines() for m in members]
    assert sorted(outputs[0] + outputs[1]) == sorted(f"{p}-{i}" for p in range(4) for i in range(25))
    assert [len(o) for o in outputs] == [50, 50]


def test_kill_of_the_leader_under_load(cluster: Nodes, topic: str, load: int) -> None:
    create_topic(cluster.brokers, topic)
    leader = leader_of(cluster.brokers, topic)
    options = ["-X", "enable.idempotence=true", "-X", "acks=all", "-X", "linger.ms=1"]
    command = ["kcat", "-b", cluster.brokers, "-P", "-t", topic, *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
    assert process.stdin
    for i in range(load):
        if i == load // 4:
            cluster.kill(leader)
        process.stdin.write(f"{i}\n")
        time.sleep(1.0 / load)
    _, errors = process.communicate(timeout=60)  # kcat leaves once all is delivered, and fails if anything was not
    cluster.restart(leader)
    assert process.returncode == 0, errors
    check_log(cluster.brokers, topic, [b"%d" % i for i in range(load)])
