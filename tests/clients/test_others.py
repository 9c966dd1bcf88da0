"""Clients of other languages and families, each behind the same small command line (others/): with --all."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nodes import ROOT, Nodes, check_log, create_topic, leader_of, wait_for_members

OTHERS = Path(__file__).with_name("others")
BUILD = ROOT / "build" / "clients"
CODECS = {
    "franz-go": ("none", "gzip", "snappy", "lz4", "zstd"),
    "sarama": ("none", "gzip", "snappy", "lz4", "zstd"),
    "kafkajs": ("none", "gzip", "snappy"),
    "kafka-python": ("none", "gzip"),
}


def built(folder: str, tool: str, *command: str) -> Path:
    """A copy of others/FOLDER below build/ in which `command` was run."""
    if not shutil.which(tool):
        pytest.fail(f"{tool} is needed")
    target = BUILD / folder
    shutil.copytree(OTHERS / folder, target, dirs_exist_ok=True)
    done = subprocess.run(command, cwd=target, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="session")
def go() -> list[str]:
    target = built("go", "go", "sh", "-c", "go mod tidy && go build -o client .")
    return [str(target / "client")]


@pytest.fixture(scope="session")
def js() -> list[str]:
    return ["node", str(built("js", "npm", "npm", "install", "--no-audit", "--no-fund") / "client.js")]


@pytest.fixture(params=CODECS)
def client(request: pytest.FixtureRequest) -> list[str]:
    if not request.config.getoption("--all"):
        pytest.skip("with --all")
    name = request.param
    if name == "kafkajs":
        return [*request.getfixturevalue("js"), name]
    if name == "kafka-python":
        return [sys.executable, str(OTHERS / "kafka_python.py"), name]
    return [*request.getfixturevalue("go"), name]


def values(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def run(client: list[str], *arguments: str) -> list[str]:
    done = subprocess.run([*client, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_codec_there_and_back(cluster: Nodes, topic: str, client: list[str]) -> None:
    for codec in CODECS[client[-1]]:
        name = f"{topic}-{codec}".replace("[", "-").replace("]", "")
        create_topic(cluster.brokers, name)
        assert run(client, "produce", cluster.brokers, name, "300", "0", codec) == values(300)
        assert run(client, "consume", cluster.brokers, name, name, "2") == values(300)


def test_group_of_two(cluster: Nodes, topic: str, client: list[str]) -> None:
    name = topic.replace("[", "-").replace("]", "")
    create_topic(cluster.brokers, name, partitions=4)
    command = [*client, "consume", cluster.brokers, name, name, "8"]
    members = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        wait_for_members(cluster.brokers, name, 2)
        for p in range(4):
            lines = "".join(f"{p}-{i}\n" for i in range(25))
            kcat = ["kcat", "-b", cluster.brokers, "-P", "-t", name, "-p", str(p)]
            subprocess.run(kcat, input=lines, text=True, check=True)
        outputs = [m.communicate(timeout=60)[0].splitlines() for m in members]
    finally:
        for m in members:
            m.kill()
    assert sorted(outputs[0] + outputs[1]) == sorted(f"{p}-{i}" for p in range(4) for i in range(25))
    assert [len(o) for o in outputs] == [50, 50]


def test_kill_of_the_leader_under_load(cluster: Nodes, topic: str, client: list[str], load: int) -> None:
    name = topic.replace("[", "-").replace("]", "")
    create_topic(cluster.brokers, name)
    leader = leader_of(cluster.brokers, name)
    command = [*client, "produce", cluster.brokers, name, str(load), "4", "none"]
    producer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert producer.stdout
    first = producer.stdout.readline()  # it is under way
    time.sleep(0.2)
    cluster.kill(leader)
    rest = producer.stdout.read()  # not communicate(): it would miss what readline() has taken from the pipe
    assert producer.wait(120) == 0
    cluster.restart(leader)
    acknowledged = [first.strip(), *rest.splitlines()]
    assert sorted(acknowledged, key=int) == values(load)
    check_log(cluster.brokers, name, [v.encode() for v in values(load)])
