#!/usr/bin/env python3
"""Plays the recorded conversations with Apache Kafka 4.3.1 against one node and shows the score by area.

A conversation that differs and is not named in known.txt is a regression; one that is named there and passes must be
struck from the list. Both fail the run. Exit 0 with a message where the conversations (shared/oracle) are absent.
Standard library only."""
import argparse
import collections
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KNOWN = pathlib.Path(__file__).with_name("known.txt")
BASE = """process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
num.partitions=4
auto.create.topics.enable=true
group.initial.rebalance.delay.ms=0
broker.rack=r1
replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def find_oracle():
    for base in [os.environ.get("KLAMM_SHARED", ""), *(p / "shared" for p in ROOT.parents)]:
        if base and (pathlib.Path(base) / "oracle" / "play.py").exists():
            return pathlib.Path(base) / "oracle" / "play.py"
    return None


def start(binary, folder):
    port, controller = free_ports(2)
    properties = folder / "server.properties"
    properties.write_text(BASE + f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
                          f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n"
                          f"controller.quorum.voters=1@127.0.0.1:{controller}\nlog.dirs={folder}/data\n")
    log = open(folder / "log", "wb")
    node = subprocess.Popen([binary, "serve", str(properties)], stdout=log, stderr=log)
    deadline = time.monotonic() + 20
    while b"Kafka Server started" not in (folder / "log").read_bytes():
        if node.poll() is not None or time.monotonic() > deadline:
            print((folder / "log").read_text(errors="replace"))
            sys.exit("oracle: the node did not start")
        time.sleep(0.01)
    return node, port, controller


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=str(ROOT / "build/release/klamm"))
    parser.add_argument("--area", action="append", default=[])
    parser.add_argument("--name")
    parser.add_argument("-v", action="store_true", help="show what differs")
    parser.add_argument("--accept", action="store_true", help="write what differs now to known.txt")
    options = parser.parse_args()
    play = find_oracle()
    if not play:
        print("oracle: shared/oracle is not here; the conversations are left out")
        return 0
    with tempfile.TemporaryDirectory(prefix="klamm-oracle-") as name:
        folder = pathlib.Path(name)
        node, port, controller = start(options.binary, folder)
        command = [sys.executable, str(play), "--bootstrap", f"127.0.0.1:{port}", "--controller", f"127.0.0.1:{controller}",
                   "--advertised-only", "--json", str(folder / "out.json")]
        command += [x for a in options.area for x in ("--area", a)] + (["--name", options.name] if options.name else [])
        played = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        alive = node.poll() is None
        node.send_signal(signal.SIGTERM)
        node.wait(5)
        if options.v or not (folder / "out.json").exists() or not alive:
            print(played.stdout)
        if not alive:
            print((folder / "log").read_text(errors="replace")[-4000:])
            print("oracle: the node died")
            return 1
        results = json.loads((folder / "out.json").read_text())
    states = collections.defaultdict(set)
    for r in results:
        states[r["name"]].add(r["state"])
    differ = {n for n, s in states.items() if "failed" in s}
    score = collections.defaultdict(collections.Counter)
    for n, s in states.items():
        kind = "differs" if "failed" in s else "passed" if "passed" in s else "skipped" if "skipped" in s else "unsupported"
        score[n.split("/")[0]][kind] += 1
    print(f"{'area':26}{'passed':>8}{'differs':>9}{'unsupported':>13}{'skipped':>9}")
    for area in sorted(score):
        print(f"{area:26}" + "".join(f"{score[area][k]:>{w}}" for k, w in (("passed", 8), ("differs", 9), ("unsupported", 13), ("skipped", 9))))
    if options.accept:
        KNOWN.write_text("".join(n + "\n" for n in sorted(differ)))
    known = set(KNOWN.read_text().split()) if KNOWN.exists() else set()
    regressions = sorted(differ - known)
    stale = sorted(n for n in known - differ if "passed" in states.get(n, ()))
    for n in regressions:
        print(f"differs and is not known to: {n}")
    for n in stale:
        print(f"passes now, strike it from known.txt: {n}")
    total = sum(1 for s in states.values() if "passed" in s and "failed" not in s)
    print(f"{total} conversations as Kafka, {len(differ)} differ ({len(known)} known)")
    return 1 if regressions or stale else 0


if __name__ == "__main__":
    sys.exit(main())
