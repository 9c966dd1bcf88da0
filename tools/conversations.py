#!/usr/bin/env python3
"""Plays the recorded conversations with Apache Kafka against a Klamm node, and compares the outcome with what
docs/conversations.md says still differs.

A conversation that fails and is not listed there is a regression: exit code 1. --write states the outcome anew.
"""
import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORACLE = ROOT.parent / "shared/oracle/play.py"
DOCUMENT = ROOT / "docs/conversations.md"
KLAMM = os.environ.get("KLAMM", str(ROOT / "build/release/klamm"))
WANTED = ("create-topics", "fetch", "framing", "idempotence", "list-offsets", "metadata", "produce")
BASE = ("num.partitions=4", "broker.rack=r{id}",
        "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector")
THREE = BASE + ("default.replication.factor=3", "min.insync.replicas=2")


class Cluster:
    """klamm cluster N with the set-up that the conversations were recorded with."""

    def __init__(self, nodes, properties):
        command = [KLAMM, "cluster", str(nodes), "--json"]
        for p in properties:
            command += ["--config", p]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return json.loads(self.process.stdout.readline())

    def __exit__(self, *unused):
        self.process.stdin.close()
        self.process.wait()


def play(cluster, *arguments):
    node = cluster["nodes"][0]
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        subprocess.run([ORACLE, "--bootstrap", f"127.0.0.1:{node['port']}", "--controller",
                        f"127.0.0.1:{node['controller_port']}", "--advertised-only", "-j", "24", "--json", out.name,
                        *arguments], stdout=subprocess.DEVNULL, check=False)
        return by_name(json.load(open(out.name)))


def by_name(plays):
    """A conversation is played at several versions: the worst play is its outcome."""
    worst = {}
    order = ("passed", "skipped", "unsupported", "failed")
    for r in plays:
        known = worst.get(r["name"])
        if known is None or order.index(r["state"]) > order.index(known["state"]):
            worst[r["name"]] = r
    return worst


def play_all():
    with Cluster(1, BASE) as one:
        results = play(one)
        for name in [n for n, r in results.items() if r["state"] == "failed" and n not in listed()]:  # once more
            results.update(play(one, "--name", name.split("/")[1], "--area", name.split("/")[0]))
    with Cluster(3, THREE) as three:
        results.update(play(three, "--area", "cluster"))
    return results


def by_area(results):
    areas = collections.defaultdict(collections.Counter)
    for name, r in results.items():
        areas[name.split("/")[0]][r["state"]] += 1
    return dict(sorted(areas.items()))


def table(results):
    yield "| area | as Kafka answers | differs | needs an API that is not advertised, or another set-up |"
    yield "|---|---|---|---|"
    for area, c in by_area(results).items():
        yield f"| {area} | {c['passed']} | {c['failed']} | {c['unsupported'] + c['skipped']} |"


def first_difference(result):
    version = f"version {result['version']}, " if result.get("version") is not None else ""
    for d in result.get("differences") or ():
        return f"{version}step {result.get('step')}, {d['path']}: Kafka {d['kafka']}, here {d['here']}"[:300]
    return version + result["text"]


def document(results):
    failed = sorted(n for n, r in results.items() if r["state"] == "failed")
    lines = ["# Conversations with Apache Kafka",
             "", "What `tools/conversations.py --write` found when it played the recorded conversations (`../shared/oracle`,",
             "`--advertised-only`) against a Klamm node. `./run test` fails where a conversation differs that is not listed here.",
             "", *table(results), "", "## What still differs", ""]
    lines += [f"- `{name}`" for name in failed]
    return "\n".join(lines) + "\n"


def listed():
    if not DOCUMENT.exists():
        return set()
    return {line[3:].split("`")[0] for line in DOCUMENT.read_text().splitlines() if line.startswith("- `")}


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", action="store_true", help="write docs/conversations.md")
    arguments = options.parse_args()
    started = time.monotonic()
    results = play_all()
    print("\n".join(table(results)))
    failed = {n for n, r in results.items() if r["state"] == "failed"}
    for name in sorted(failed):
        print(f"differs: {name}: {first_difference(results[name])}")
    passed = sum(r["state"] == "passed" for r in results.values())
    wanted = sum(by_area(results)[a]["passed"] for a in WANTED), sum(
        by_area(results)[a][s] for a in WANTED for s in ("passed", "failed"))
    print(f"in the areas of the thin path {wanted[0]} of {wanted[1]}; {time.monotonic() - started:.0f} s")
    if arguments.write:
        DOCUMENT.write_text(document(results))
        return 0
    regressions = sorted(failed - listed())
    for name in regressions:
        print(f"REGRESSION: {name} differs, and docs/conversations.md does not say so")
        print(f"  {first_difference(results[name])}")
    print(f"score: {passed} as Kafka answers, {len(failed)} differ, {len(regressions)} of them not known")
    return 1 if regressions else 0


if __name__ == "__main__":
    sys.exit(main())
