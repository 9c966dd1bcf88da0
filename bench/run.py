#!/usr/bin/env python3
"""Klamm beside Apache Kafka in one run, and the simulator's own speed. See docs/performance.md.

Writes build/bench/results.json (every value of every run) and build/bench/table.md.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from side import ballast, simulator  # noqa: E402
from side.figures import Figures  # noqa: E402
from side.measure import Bench, Plan  # noqa: E402
from side.peers import ROOT, peer  # noqa: E402

NAMES = ("ready", "idle", "groups", "produce", "small", "latency", "sizes", "compaction", "failover", "sim", "micro")
OUT = ROOT / "build/bench"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short run of each: three to four minutes, not twenty")
    parser.add_argument("--only", action="append", choices=NAMES, default=[], metavar="NAME", help="one of " + ", ".join(NAMES) + "; repeatable")
    parser.add_argument("--nodes", action="append", type=int, choices=(1, 3), default=[], help="only clusters of this size")
    parser.add_argument("--peers", default="klamm,kafka", help="two of kafka, klamm, klamm:BINARY; the first is compared with the second")
    parser.add_argument("--no-build", action="store_true", help="measure what build/release holds")
    parser.add_argument("--data", default="/dev/shm", help="where the clusters' data lie: in memory, so that a disk's mood is not measured")
    parser.add_argument("--ballast", type=int, metavar="MIB", help="see bench/side/ballast.py; default: where it is needed")
    return parser.parse_args()


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "commit": commit, "load_before": os.getloadavg()[0],
            "when": time.strftime("%Y-%m-%d %H:%M:%S")}


def build():
    targets = ("klamm", "klamm_load", "klamm_micro")
    for command in (("cmake", "--preset", "release", "-DKLAMM_BENCH=ON"), ("cmake", "--build", "--preset", "release", "--target", *targets)):
        if subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode != 0:
            sys.exit("bench: that does not build")


def measure(bench, asked, figures, say):
    if bench.wants("ready"):
        bench.ready(asked.nodes or (1, 3), str(OUT / "data"))
    if bench.wants("idle", "groups", "produce", "small", "latency"):
        for nodes in asked.nodes or (1, 3):
            bench.on_clusters(nodes)
    if bench.wants("sizes"):
        bench.sizes(str(OUT / "data"))
    if bench.wants("compaction"):
        bench.compaction()
    if bench.wants("failover"):
        bench.failover()
    for name in ("sim", "micro"):
        if bench.wants(name):
            simulator.run(name, figures, asked.quick, say)


def main():
    asked = arguments()
    if not asked.no_build:
        build()
    started = time.monotonic()

    def say(text):
        print(f"[{time.monotonic() - started:6.1f} s] {text}", file=sys.stderr, flush=True)

    peers = [peer(spec) for spec in asked.peers.split(",")]
    OUT.mkdir(parents=True, exist_ok=True)
    figures, about = Figures(), machine()
    try:
        with contextlib.ExitStack() as stack:
            data = stack.enter_context(tempfile.TemporaryDirectory(dir=asked.data, prefix="klamm-bench-"))
            bench = Bench(peers, Plan(asked.quick), figures, data, asked.only, say)
            if bench.wants("produce", "small", "latency"):
                about["ballast_mib"] = stack.enter_context(ballast.held(asked.ballast, say))
            measure(bench, asked, figures, say)
    finally:
        table = figures.table(peers[0].name, peers[-1].name)
        about["took_s"] = round(time.monotonic() - started, 1)
        (OUT / "results.json").write_text(json.dumps({"machine": about, "quick": asked.quick, "figures": figures.as_json()}, indent=1) + "\n")
        (OUT / "table.md").write_text(table + "\n")
        print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}; {about['commit']}; {about['took_s']:.0f} s\n")
        print(table)


if __name__ == "__main__":
    main()
