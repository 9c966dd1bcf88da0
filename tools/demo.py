#!/usr/bin/env python3
"""The main job in half a minute: a cluster of three processes, a real client, a broker killed with -9; then the same
engine in simulated time, with faults that no test bench of machines could arrange.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = pathlib.Path(__file__).resolve().parent.parent
KLAMM = os.environ.get("KLAMM", str(ROOT / "build/release/klamm"))
TOPIC, PARTITIONS, RATE, SECONDS = "gorge", 3, 5_000, 8
KILL_AT, RESTART_AT = 2.5, 5.0
ON_TERMINAL = sys.stdout.isatty()


def bold(text):
    return f"\033[1m{text}\033[0m" if ON_TERMINAL else text


def say(text=""):
    print(("\r\033[K" if ON_TERMINAL else "") + text, flush=True)


def live(text):
    if ON_TERMINAL:
        print("\r\033[K  " + text, end="", flush=True)


class Cluster:
    def __init__(self, directory):
        self.directory = directory
        self.process = subprocess.Popen([KLAMM, "cluster", "3", "--processes", "--json", "--dir", directory],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the cluster did not start")
        self.description = json.loads(line)
        self.brokers = self.description["brokers"]
        self.nodes = {n["id"]: n for n in self.description["nodes"]}
        self.restarted = []

    def kill(self, node):
        os.kill(self.nodes[node]["pid"], signal.SIGKILL)

    def restart(self, node):
        log = open(f"{self.directory}/node-{node}.log", "ab")
        p = subprocess.Popen([KLAMM, "serve", self.nodes[node]["properties"]], stdout=log, stderr=log)
        self.restarted.append(p)
        self.nodes[node]["pid"] = p.pid

    def resident_mib(self):
        sizes = []
        for n in self.nodes.values():
            status = pathlib.Path(f"/proc/{n['pid']}/status").read_text()
            sizes.append(int(next(l for l in status.splitlines() if l.startswith("VmRSS")).split()[1]) / 1024)
        return sizes

    def end(self):
        self.process.stdin.close()
        for p in self.restarted:
            p.terminate()
        for p in [self.process, *self.restarted]:
            p.wait(5)


class Load:
    """One idempotent producer with acks=all, and one consumer. Remembers what was acknowledged and what came back."""

    def __init__(self, brokers):
        self.brokers = brokers
        self.acknowledged = [[] for _ in range(PARTITIONS)]  # values by partition, in order
        self.consumed = [[] for _ in range(PARTITIONS)]
        self.failed = 0
        self.acknowledged_at = []  # monotonic seconds
        self.sending = True
        self.receiving = True
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self.produce, self.consume)]

    def start(self):
        for t in self.threads:
            t.start()

    def on_delivery(self, error, message):
        if error:
            self.failed += 1
            return
        self.acknowledged[message.partition()].append(int(message.value()))
        self.acknowledged_at.append(time.monotonic())

    def produce(self):
        producer = Producer({"bootstrap.servers": self.brokers, "acks": "all", "enable.idempotence": True,
                             "linger.ms": 5, "log_level": 0})
        started, number = time.monotonic(), 0
        while self.sending:
            while number < (time.monotonic() - started) * RATE:
                try:
                    producer.produce(TOPIC, str(number), partition=number % PARTITIONS, on_delivery=self.on_delivery)
                    number += 1
                except BufferError:
                    break
            producer.poll(0.002)
        producer.flush(30)

    def consume(self):
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "demo", "auto.offset.reset": "earliest",
                             "enable.auto.commit": False, "log_level": 0, "fetch.wait.max.ms": 20})
        consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)])
        while self.receiving:
            for m in consumer.consume(1000, 0.1):
                if not m.error():
                    self.consumed[m.partition()].append(int(m.value()))
        consumer.close()

    def count(self, lists):
        return sum(map(len, lists))

    def finish(self):
        """All that was acknowledged has been consumed, or ten seconds have passed."""
        self.sending = False
        self.threads[0].join()
        until = time.monotonic() + 10
        while self.count(self.consumed) < self.count(self.acknowledged) and time.monotonic() < until:
            time.sleep(0.02)
        self.receiving = False
        self.threads[1].join()

    def verdict(self):
        lost = sum(len(set(a) - set(c)) for a, c in zip(self.acknowledged, self.consumed))
        twice = sum(len(c) - len(set(c)) for c in self.consumed)
        disordered = sum(c != sorted(c) for c in self.consumed)
        return lost, twice, disordered

    def longest_gap_after(self, instant):
        times = [t for t in self.acknowledged_at if t >= instant - 0.1]
        return max((b - a for a, b in zip(times, times[1:])), default=0)


def leader_of(admin, partition):
    return admin.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions[partition].leader


def in_sync(admin):
    return min(len(p.isrs) for p in admin.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions.values())


def real_cluster(directory):
    say(bold("A cluster on real sockets"))
    cluster = Cluster(directory)
    say(f"  three brokers, a process each, serve after {cluster.description['ready_ms']:.0f} ms"
        f" with {max(cluster.resident_mib()):.0f} MiB each: {cluster.brokers}")
    admin = AdminClient({"bootstrap.servers": cluster.brokers, "log_level": 0})
    topic = NewTopic(TOPIC, PARTITIONS, 3, config={"min.insync.replicas": "2"})
    admin.create_topics([topic])[TOPIC].result(10)
    say(f"  topic '{TOPIC}': {PARTITIONS} partitions on three replicas, acks=all, {RATE:,} records a second for {SECONDS} s")
    load = Load(cluster.brokers)
    load.start()
    started, killed_at, victim, restarted = time.monotonic(), None, None, False
    while (now := time.monotonic() - started) < SECONDS:
        if killed_at is None and now > KILL_AT:
            victim = leader_of(admin, 0)
            killed_at = time.monotonic()
            cluster.kill(victim)
            say(f"  kill -9 of broker {victim}, leader of partition 0")
        if killed_at and not restarted and now > RESTART_AT:
            cluster.restart(victim)
            restarted = True
            say(f"  broker {victim} starts again on what its disk holds")
        live(f"{load.count(load.acknowledged):,} acknowledged, {load.count(load.consumed):,} consumed")
        time.sleep(0.05)
    load.finish()
    until = time.monotonic() + 10
    while in_sync(admin) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    lost, twice, disordered = load.verdict()
    say(f"  {load.count(load.acknowledged):,} records acknowledged, {load.count(load.consumed):,} consumed:"
        f" {lost} lost, {twice} twice, {disordered} partitions out of order")
    say(f"  longest silence around the kill: {load.longest_gap_after(killed_at) * 1000:.0f} ms;"
        f" in sync again: {in_sync(admin)} of 3 replicas")
    cluster.end()
    return not (lost or twice or disordered)


def simulated_cluster(seeds):
    say()
    say(bold("The same engine in simulated time"))
    jobs = str(os.cpu_count() or 1)
    started = time.monotonic()
    totals, done, failed = {}, 0, []
    with subprocess.Popen([KLAMM, "sim", "--seeds", f"1..{seeds}", "--jobs", jobs, "--json"], stdout=subprocess.PIPE,
                          text=True) as p:
        for line in p.stdout:
            row = json.loads(line)
            if "seed" in row:
                done += 1
                if not row["ok"]:
                    failed.append(row["seed"])
                live(f"{done} of {seeds} worlds")
            else:
                totals = row
    wall = time.monotonic() - started
    simulated = totals.get("simulated_ms", 0) / 1000
    say(f"  {done} worlds of three brokers, {simulated:,.0f} s of their time in {wall:.1f} s of ours"
        f" ({simulated / wall:,.0f} times as fast)")
    fired = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in sorted(totals.get("fired", {}).items()) if n)
    say(f"  faults: {fired or 'none'}")
    within, beyond = totals.get("lost_within", 0), totals.get("beyond", 0)
    say(f"  {totals.get('acknowledged', 0):,} records acknowledged; {within} lost in the {done - beyond} worlds whose faults the"
        f" settings survive,")
    say(f"  {totals.get('lost', 0) - within:,} in the {beyond} whose faults go beyond that: told, not promised")
    say(f"  every world is the same when it is run again: klamm sim --seed {failed[0] if failed else 7} --trace")
    if failed:
        say(f"  {bold('broken promises')} in worlds {failed}")
    return not failed


def main():
    with tempfile.TemporaryDirectory(prefix="klamm-demo-") as directory:
        kept = real_cluster(directory)
    kept = simulated_cluster(40) and kept
    say()
    say(bold("All promises kept." if kept else "A promise was broken."))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
