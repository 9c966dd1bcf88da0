#!/usr/bin/env python3
"""Plays the recorded conversations with Apache Kafka against a Klamm node, and compares the outcome with what
docs/conversations.md says still differs.

A conversation that differs and is not named there is a regression; one that is named there and no longer differs must be
struck out; and a line of the score that is another than there tells of conversations that are no longer played. Each is
exit code 1. --write writes the score anew; the reasons are written by hand.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORACLE = ROOT.parent / "shared/oracle/play.py"
OURS = ROOT / "tests/conversations"  # recorded for this project, in the same form
DOCUMENT = ROOT / "docs/conversations.md"
KLAMM = os.environ.get("KLAMM", str(ROOT / "build/release/klamm"))
SCORE = "## The score"
WANTED = ("create-topics", "fetch", "framing", "idempotence", "list-offsets", "metadata", "produce")
BASE = ("num.partitions=4", "auto.create.topics.enable=true", "group.initial.rebalance.delay.ms=0", "broker.rack=r{id}",
        "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector")
# Those of area short-limits.
SHORT = ("auto.create.topics.enable=false", "group.max.size=2", "group.min.session.timeout.ms=100",
         "group.consumer.max.size=2", "group.consumer.session.timeout.ms=1000",
         "group.consumer.min.session.timeout.ms=500", "group.consumer.heartbeat.interval.ms=400",
         "group.consumer.min.heartbeat.interval.ms=100")
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
        # Every change of client metrics lets every client ask anew, so these are not played beside conversations that do.
        results.update(play(one, "--area", "telemetry"))
        results.update(play(one, str(OURS)))
    with Cluster(1, BASE + SHORT) as one:
        stated = [part for p in SHORT for part in ("--property", p)]
        results.update(play(one, "--area", "short-limits", *stated))
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


def parts(text):
    """The document before its score, the lines of the score, and what follows them."""
    head, rest = text.split(SCORE + "\n\n", 1)
    end = rest.index("\n\n## ")
    return head + SCORE + "\n\n", rest[:end].splitlines(), rest[end:]


def with_score(text, results):
    head, _, tail = parts(text)
    return head + "\n".join(table(results)) + tail


def listed(text):
    """The names in the first column of the tables of reasons."""
    rows = re.findall(r"^\| (`.*?) \|", text, re.M)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def complaints(results, text):
    """Where what was played is not what the document says."""
    failed = {n for n, r in results.items() if r["state"] == "failed"}
    for name in sorted(failed - listed(text)):
        yield f"REGRESSION: {name} differs, and docs/conversations.md does not say so"
        yield f"  {first_difference(results[name])}"
    for name in sorted(listed(text) - failed):
        yield f"STALE: {name} does not differ, and docs/conversations.md says that it does"
    here, there = list(table(results)), parts(text)[1]
    for line in there:
        if line not in here:
            yield f"SCORE: docs/conversations.md says {line}"
    for line in here:
        if line not in there:
            yield f"SCORE: it was {line}; if that is right, --write it"
            area = line.split(" | ")[0].removeprefix("| ")
            for name, r in sorted(results.items()):
                if name.split("/")[0] == area and r["state"] in ("unsupported", "skipped"):
                    yield f"  not played: {name}: {r['text']}"


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", action="store_true", help="write the score into docs/conversations.md")
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
    text = DOCUMENT.read_text()
    if arguments.write:
        DOCUMENT.write_text(with_score(text, results))
        return 0
    wrong = list(complaints(results, text))
    print("\n".join(wrong + [f"score: {passed} as Kafka answers, {len(failed)} differ, "
                             f"{len(failed - listed(text))} of them not known"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
