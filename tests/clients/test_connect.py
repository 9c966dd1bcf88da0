"""Kafka Connect, distributed: its own group protocol, three compacted topics, a source and a sink: with --all."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes import Nodes
from test_others import built

WORKER = "org.apache.kafka.connect.cli.ConnectDistributed"
CONNECTORS = "org.apache.kafka.connect.file.FileStream"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Worker:
    def __init__(self, folder: Path, jars: Path, brokers: str, group: str) -> None:
        plugins = folder / "plugins"
        plugins.mkdir(exist_ok=True)
        for jar in jars.glob("connect-file-*.jar"):
            shutil.copy(jar, plugins)
        self.url = f"http://127.0.0.1:{free_port()}"
        converter = "org.apache.kafka.connect.storage.StringConverter"
        properties = {
            "bootstrap.servers": brokers,
            "group.id": group,
            "key.converter": converter,
            "value.converter": converter,
            "offset.flush.interval.ms": 500,
            "listeners": self.url,
            "plugin.path": plugins,
            "plugin.discovery": "service_load",
        }
        for topic, partitions in {"offset": 5, "config": 1, "status": 2}.items():
            properties[f"{topic}.storage.topic"] = f"{group}-{topic}"
            properties[f"{topic}.storage.replication.factor"] = 3
            if topic != "config":
                properties[f"{topic}.storage.partitions"] = partitions
        file = folder / "worker.properties"
        file.write_text("".join(f"{k}={v}\n" for k, v in properties.items()))
        quiet = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-XX:TieredStopAtLevel=1", "-Xmx400m"]
        self.log = folder / "worker.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(["java", *quiet, "-cp", f"{jars}/*", WORKER, file], stdout=log, stderr=log)

    def call(self, path: str, body: object = None) -> Any:
        """None: not yet."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return json.load(urllib.request.urlopen(request, timeout=30))
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        return None

    def when_there(self, path: str, body: object = None) -> Any:
        return eventually(lambda: self.call(path, body))

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def eventually(found: Any) -> Any:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if (it := found()) is not None and it is not False:
            return it
        time.sleep(0.2)
    pytest.fail("it did not come")


@pytest.fixture
def jars(request: pytest.FixtureRequest) -> Path:
    if not request.config.getoption("--all"):
        pytest.skip("with --all")
    copy = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
    return built("connect", "mvn", *copy) / "jars"


@pytest.fixture
def workers(tmp_path: Path, jars: Path, cluster: Nodes, topic: str) -> Iterator[Any]:
    begun: list[Worker] = []

    def begin() -> Worker:
        begun.append(Worker(tmp_path, jars, cluster.brokers, topic))
        return begun[-1]

    yield begin
    for worker in begun:
        if worker.process.poll() is None:
            worker.end()


def test_lines_go_from_file_to_file_and_on_after_a_restart(workers: Any, tmp_path: Path, topic: str) -> None:
    source, sink = tmp_path / "in.txt", tmp_path / "out.txt"
    lines = [f"line {i}" for i in range(1000)]
    source.write_text("".join(f"{line}\n" for line in lines[:500]))

    def arrived(count: int) -> bool:
        return sink.exists() and sink.read_text().count("\n") >= count

    worker = workers()
    worker.when_there("/connectors")
    name = f"{topic}-lines"
    for kind, more in {
        "Source": {"file": str(source), "topic": name},
        "Sink": {"file": str(sink), "topics": name, "consumer.override.auto.offset.reset": "earliest"},
    }.items():
        config = {"connector.class": f"{CONNECTORS}{kind}Connector", "tasks.max": "1", **more}
        worker.when_there("/connectors", {"name": kind.lower(), "config": config})
    eventually(lambda: arrived(500))
    worker.end()  # it has stored how far it was

    with source.open("a") as f:
        f.write("".join(f"{line}\n" for line in lines[500:]))
    worker = workers()
    eventually(lambda: arrived(1000))
    for kind in ("source", "sink"):
        status = worker.when_there(f"/connectors/{kind}/status")
        assert [t["state"] for t in status["tasks"]] == ["RUNNING"], status
    assert sink.read_text().splitlines() == lines
