"""Starts the klamm binary as its users do."""
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
KLAMM = os.environ.get("KLAMM", str(ROOT / "build/release/klamm"))


class Serve:
    """One `klamm serve` process whose output goes to a file. `file_size`: its files cannot grow beyond that."""

    def __init__(self, directory, *arguments, env=None, file_size=None):
        limit = file_size and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size)))
        self.log = directory / f"serve-{time.monotonic_ns()}.log"
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([KLAMM, "serve", *arguments], stdout=out, stderr=subprocess.STDOUT,
                                            cwd=directory, env={**os.environ, **(env or {})}, preexec_fn=limit)

    def text(self):
        return self.log.read_text()

    def wait_for(self, line, seconds=10):
        until = time.monotonic() + seconds
        while line not in self.text():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.text()}"
            assert time.monotonic() < until, f"no '{line}' in:\n{self.text()}"
            time.sleep(0.005)
        return self

    def ready(self):
        return self.wait_for("Kafka Server started")

    def end(self, number=signal.SIGTERM):
        """(exit code, seconds it took)"""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(10), time.monotonic() - started


class Cluster:
    """`klamm cluster N --json`; nodes by their id."""

    def __init__(self, directory, *arguments):
        self.directory = directory
        self.process = subprocess.Popen([KLAMM, "cluster", "--json", *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line, f"no cluster: exit code {self.process.wait()}"
        self.description = json.loads(line)
        self.brokers = self.description["brokers"]
        self.nodes = {n["id"]: n for n in self.description["nodes"]}
        self.restarted = []

    def kill(self, node):
        os.kill(self.nodes[node]["pid"], signal.SIGKILL)

    def restart(self, node, **more):
        self.restarted.append(Serve(self.directory, self.nodes[node]["properties"], **more))
        return self.restarted[-1].ready()

    def end(self):
        started = time.monotonic()
        self.process.stdin.close()
        return self.process.wait(10), time.monotonic() - started


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture
def serve(tmp_path):
    """serve(*arguments) starts a node on free ports."""
    started = []

    def start(*arguments, ports=None, **more):
        broker, controller = ports or free_ports(2)
        listeners = f"listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}"
        node = Serve(tmp_path, "--config", listeners, *arguments, **more)
        node.port, node.ports = broker, (broker, controller)
        started.append(node)
        return node

    yield start
    for node in started:
        node.end(signal.SIGKILL)


@pytest.fixture
def cluster(tmp_path):
    started = []

    def start(*arguments):
        started.append(Cluster(tmp_path, *arguments))
        return started[-1]

    yield start
    for c in started:
        for node in c.restarted:
            node.end(signal.SIGKILL)
        if c.process.poll() is None:
            c.end()
