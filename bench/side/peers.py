"""The clusters that are compared. Each node is a process: its CPU and memory are read from /proc."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from side import wire

ROOT = pathlib.Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")


class Unavailable(Exception):
    """This peer cannot be started here."""


def stat(pid):
    """The fields of /proc/PID/stat after the command's name."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def cpu_seconds(pid):
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Cluster:
    """One running cluster: `addresses` of its brokers, `pids` by node id, `ready_ms` since the first spawn."""

    name = ""

    def __init__(self, nodes, folder, config=()):
        self.nodes, self.folder, self.config = nodes, pathlib.Path(folder), dict(config)
        self.addresses, self.pids, self.ready_ms = [], {}, 0.0

    @property
    def bootstrap(self):
        return ",".join(self.addresses)

    def cpu(self):
        return sum(cpu_seconds(pid) for pid in self.pids.values() if alive(pid))

    def resident(self):
        return [resident_mib(pid) for pid in self.pids.values() if alive(pid)]

    def post_mortem(self):
        """Which nodes have died, and their last words; their logs are kept beside the results."""
        words = ""
        for node, pid in self.pids.items():
            if alive(pid):
                continue
            words += f"\n  {self.name}'s node {node} has died"
            for log in self.folder.glob(f"node*{node}*.log"):
                shutil.copy(log, ROOT / "build/bench" / f"died-{self.name}-{log.name}")
                words += "".join(f"\n    {line}" for line in log.read_text(errors="replace").splitlines() if "ERROR" in line)
        return words

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def alive(pid):
    try:
        return stat(pid)[0] != "Z"
    except FileNotFoundError:
        return False


class Klamm(Cluster):
    """`klamm cluster N --processes --json`, see docs: one line says who runs where."""

    name = "Klamm"
    binary = ROOT / "build/release/klamm"
    processes = True  # as Kafka's nodes are
    process = None

    def start(self):
        if not self.binary.exists():
            raise Unavailable(f"{self.binary} is not built")
        command = [str(self.binary), "cluster", str(self.nodes), "--json", "--dir", str(self.folder), "--config", "auto.create.topics.enable=false"]
        if self.processes:
            command.append("--processes")
        for pair in self.config.items():
            command += ["--config", "=".join(pair)]
        self.log = open(self.folder / "log", "wb")
        spawned = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline()
        if not line:
            raise Unavailable("klamm cluster ended at once: " + (self.folder / "log").read_text()[-500:])
        told = json.loads(line)
        self.addresses = told["brokers"].split(",")
        wire.wait_ready(self.addresses)
        self.ready_ms = (time.monotonic() - spawned) * 1000
        self.pids = {node["id"]: node["pid"] for node in told["nodes"]}

    def stop(self):
        if not self.process:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


class KlammInOne(Klamm):
    """All nodes in one process: `klamm cluster N` as people type it."""

    processes = False


class Kafka(Cluster):
    """Apache Kafka by the script in the folder of peers."""

    name = "Kafka"
    next_port = int(os.environ.get("KLAMM_BENCH_KAFKA_PORT", "24092"))  # below what the kernel gives to clients
    environment = None

    def script(self, *arguments):
        done = subprocess.run([str(self.tool), *arguments], env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(f"kafka {' '.join(arguments)}: {(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout

    def start(self):
        self.tool = kafka_script()
        jars = pathlib.Path(self.script("jars").strip()).parent  # fetched once, for all runs
        (self.folder / "lib").symlink_to(jars)
        port, Kafka.next_port = Kafka.next_port, Kafka.next_port + 10
        self.environment = dict(os.environ, KAFKA_PEER=str(self.folder), KAFKA_PORT=str(port), KAFKA_AUTO_TOPICS="0",
                                KAFKA_OPTS_EXTRA=" ".join(map("=".join, {"log.segment.delete.delay.ms": "1000", **self.config}.items())))
        lines = dict(line.split() for line in self.formatted_start().splitlines())
        answered = time.monotonic()
        self.addresses = lines["bootstrap"].split(",")
        wire.wait_ready(self.addresses)
        self.ready_ms = float(lines["ready"]) + (time.monotonic() - answered) * 1000
        self.pids = {int(i): int(pid) for i, pid in (line.split() for line in self.script("pids").splitlines())}

    def formatted_start(self):
        """The script draws a cluster id; one in 64 begins with '-', and Kafka's own tool takes it for an option."""
        while True:
            try:
                return self.script("start", str(self.nodes))
            except Unavailable as why:
                if "--cluster-id/-t: expected one argument" not in str(why):
                    raise

    def stop(self):
        if self.environment:
            self.script("stop")


def kafka_script():
    named = os.environ.get("KLAMM_PEERS")
    places = [pathlib.Path(named)] if named else [up / "shared/peers" for up in ROOT.parents]
    for place in places:
        if (place / "kafka").exists():
            return place / "kafka"
    raise Unavailable("no folder of peers with a script `kafka` (KLAMM_PEERS=FOLDER names it)")


def peer(spec):
    """`kafka`, `klamm`, or `klamm:BINARY` for another build of it."""
    kind, _, binary = spec.partition(":")
    if kind == "kafka":
        return Kafka
    if kind != "klamm":
        raise SystemExit(f"bench: no peer is called '{kind}'")
    if not binary:
        return Klamm
    return type("Klamm", (Klamm,), {"binary": pathlib.Path(binary).resolve(), "name": f"Klamm({binary})"})
