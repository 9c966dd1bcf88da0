"""One node of Klamm with much to hold: connections, partitions, a gigabyte."""

import contextlib
import os
import pathlib
import resource
import shutil
import signal
import socket
import struct
import subprocess
import time

from side import wire
from side.load import Failed, load
from side.peers import cpu_seconds

CONNECTIONS, PARTITIONS, BULK_MB, BATCHES = 10_000, 10_000, 1000, 1_000_000
CREATE_TOPICS = 19


class Node:
    """`klamm serve` on a folder; may be started again on it."""

    def __init__(self, binary, name, folder):
        self.binary, self.name, self.folder = binary, name, pathlib.Path(folder)
        with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
            self.port, self.other = a.getsockname()[1], b.getsockname()[1]
        self.bootstrap = self.address = f"127.0.0.1:{self.port}"

    def start(self):
        """Seconds until it answers."""
        listeners = f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{self.other}"
        command = [str(self.binary), "serve", "--config", f"listeners={listeners}", "--config", f"log.dirs={self.folder}"]
        started = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wire.wait_ready([self.address])
        return time.monotonic() - started

    def end(self, how=signal.SIGTERM):
        """Seconds until it was gone."""
        started = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(60)
        return time.monotonic() - started

    def own_memory(self):
        """Bytes that are no file's."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu(self):
        return cpu_seconds(self.process.pid)


@contextlib.contextmanager
def node(binary, name, folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    n = Node(binary, name, folder)
    n.start()
    try:
        yield n
    finally:
        n.end(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def create_topic(address, partitions, timeout=60):
    body = struct.pack(">i", 1) + struct.pack(">h", 4) + b"many" + struct.pack(">ihiiib", partitions, 1, 0, 0, timeout * 1000, 0)
    answer = wire.call(address, CREATE_TOPICS, 2, body, timeout)
    if answer[-4:-2] != b"\0\0":
        raise TimeoutError(f"no topic: {answer!r}")


def connections(n, figures):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    count = min(CONNECTIONS, limits[1] - 500)
    before = n.own_memory()
    crowd = [wire.Connection(n.address, 30) for _ in range(count)]
    for one in crowd:
        one.call(18, 0)
    figures.figure("size.connection", f"own memory an idle connection of {count:,}", "KiB", "less", ("most", 8)).add(
        n.name, (n.own_memory() - before) / count / 1024)
    for one in crowd:
        one.socket.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def partitions(n, figures):
    before, used, started = n.own_memory(), n.cpu(), time.monotonic()
    create_topic(n.address, PARTITIONS)
    figures.figure("size.create", f"a topic of {PARTITIONS:,} partitions made", "s", "less", ("most", 1)).add(n.name, time.monotonic() - started)
    time.sleep(2)
    figures.figure("size.create.cpu", f"a topic of {PARTITIONS:,} partitions: CPU", "s", "less").add(n.name, n.cpu() - used)
    figures.figure("size.partition", f"own memory an idle partition of {PARTITIONS:,}", "KiB", "less", ("most", 4)).add(
        n.name, (n.own_memory() - before) / PARTITIONS / 1024)
    restarts(n, figures, "partitions", f"{PARTITIONS:,} partitions", leads_all)


def leads_all(n):
    """Until each partition of the topic has a leader."""
    give_up = time.monotonic() + 60
    while wire.leaders(n.address, b"many") < PARTITIONS:
        if time.monotonic() > give_up:
            raise TimeoutError("partitions without a leader")
        time.sleep(0.01)


def restarts(n, figures, key, what, then=None):
    def start(how, after):
        seconds = n.start()
        figures.figure(f"restart.{key}.{how}", f"start after {after}, {what}", "s", "less").add(n.name, seconds)
        if then:
            began = time.monotonic()
            then(n)
            figures.figure(f"restart.{key}.{how}.leads", f"start after {after}, {what}: all led", "s", "less").add(
                n.name, seconds + time.monotonic() - began)

    figures.figure(f"restart.{key}.stop", f"orderly stop with {what}", "s", "less").add(n.name, n.end())
    start("clean", "an orderly stop")
    n.end(signal.SIGKILL)
    start("crash", "kill -9")


def bulk(n, figures):
    load("create", n, "bulk", partitions=6)
    load("produce", n, "bulk", partitions=6, size=1024, messages=BULK_MB * 1000, seconds=120)
    restarts(n, figures, "bulk", f"{BULK_MB:,} MB in 6 partitions")


def small_batches(n, figures):
    """All of a record each, in one partition; what recovery opens is read back."""
    load("create", n, "small", partitions=1)
    acked = 0
    while acked < BATCHES:
        acked += load("requests", n, "small", partitions=1, size=100, seconds=2, connections=32, in_flight=20)["acked"]
    restarts(n, figures, "batches", f"{BATCHES:,} small batches")
    got = load("consume", n, "small", partitions=1, messages=acked, seconds=60)["messages"]
    if got < acked:
        raise Failed(f"{n.name}: {got:,} of {acked:,} records came back after kill -9")


def measure(binary, name, disk, figures):
    for what in (connections, partitions, bulk, small_batches):
        with node(binary, name, f"{disk}/sizes") as n:
            what(n, figures)
