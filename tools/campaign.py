#!/usr/bin/env python3
"""Looks for what nobody has seen yet, for as long as it is let: fresh seeds, the detection of every historic flaw,
the properties of the units with more cases than a test run gives them, and fuzzing. Each round is a row of docs/campaign.md; the next run goes on after the last one's seeds.
"""
import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KLAMM = ROOT / "build/release/klamm"
UNITS = ROOT / "build/release/tests/klamm_engine_tests"
LEDGER = ROOT / "docs/campaign.md"
KEPT = ROOT / "campaign"  # corpora and findings, not in the repository
FUZZERS = ("frame", "message", "batch")
HEAD = """# Campaigns

`./run campaign` plays fresh seeds, counts in how many of them each historic flaw is found when it is put back, plays
the properties of the units, and fuzzes the decoders. It goes on where the last row ended. A failing seed is run again by
`klamm sim --seed N --trace` on the row's commit, a failing property by the `RC_PARAMS` of its row.

| day | commit | seeds | broken | virtual time | wall time | found when put back | fuzzed inputs | crashes | properties |
|---|---|---|---|---|---|---|---|---|---|
"""


def say(text):
    print(f"{datetime.datetime.now():%H:%M:%S}  {text}", flush=True)


def sim(seeds, *arguments):
    """(the last line's totals, the failing seeds)"""
    command = [KLAMM, "sim", "--seeds", f"{seeds[0]}..{seeds[-1]}", "--jobs", str(os.cpu_count() or 1), "--json"]
    out = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False).stdout
    totals = json.loads(out.splitlines()[-1])
    return totals, totals["failures"]


def flaws():
    out = subprocess.run([KLAMM, "sim", "--list-flaws"], capture_output=True, text=True, check=True).stdout
    return [line.split("\t")[0] for line in out.splitlines()]


def properties():
    """The tests that RapidCheck plays, as the sources have them."""
    found = set()
    for source in (ROOT / "tests/engine").rglob("*_test.cc"):
        text = source.read_text()
        found.update(re.findall(r"^RC_GTEST_(?:FIXTURE_)?PROP\(\w+,\s*(\w+)", text, re.M))
        found.update(re.findall(r"^TEST\(\w+, (\w+)\) \{\n  EXPECT_TRUE\(rc::check\(", text, re.M))
    return sorted(found)


def play_property(name, parameters):
    """Whether it holds. What it says if not is kept."""
    p = subprocess.run([UNITS, f"--gtest_filter=*.{name}"], env={**os.environ, "RC_PARAMS": parameters},
                       capture_output=True, text=True, check=False)
    holds = p.returncode == 0 and "[  PASSED  ] 1 test." in p.stdout
    if not holds:
        findings = KEPT / "findings"
        findings.mkdir(parents=True, exist_ok=True)
        (findings / f"{name}-{parameters}.txt".replace(" ", "-")).write_text(p.stdout + p.stderr)
    return holds


def play_properties(seed, cases):
    """The cell of the row, and whether all hold."""
    parameters = f"max_success={cases} seed={seed}"
    names = properties()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        holds = pool.map(lambda name: play_property(name, parameters), names)
    broken = [name for name, well in zip(names, holds) if not well]
    return f"{len(names)}, {parameters}: {', '.join(broken) or 0} broken", not broken


def build_fuzzers():
    build = ROOT / "build/fuzz"
    if not (build / "build.ninja").exists():
        subprocess.run(["cmake", "--preset", "fuzz"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    targets = [*(f"fuzz_{target}" for target in FUZZERS), "fuzz_seeds"]
    subprocess.run(["cmake", "--build", "--preset", "fuzz", "--target", *targets], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    if not (KEPT / "corpus").exists():
        subprocess.run([build / "tests/fuzz/fuzz_seeds", KEPT / "corpus"], check=True)
    return build / "tests/fuzz"


def fuzz(folder, target, seconds):
    """(inputs tried, whether it crashed)"""
    findings = KEPT / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    p = subprocess.run([folder / f"fuzz_{target}", KEPT / "corpus" / target, f"-max_total_time={seconds}",
                        f"-artifact_prefix={findings}/{target}-", "-print_final_stats=1"],
                       stderr=subprocess.PIPE, text=True, check=False)
    tried = re.search(r"number_of_executed_units:\s*(\d+)", p.stderr)
    return int(tried.group(1)) if tried else 0, p.returncode != 0


def next_seed():
    if not LEDGER.exists():
        LEDGER.write_text(HEAD)
    ends = re.findall(r"^\| [\d-]+ \| \S+ \| \d+\.\.(\d+) \|", LEDGER.read_text(), re.M)
    return max(map(int, ends), default=0) + 1


def commit():
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True,
                          check=True).stdout.strip()


def play_round(options, fuzzers):
    first = next_seed()
    started = time.monotonic()
    totals, broken = sim(range(first, first + options.seeds))
    say(f"seeds {first}..{first + options.seeds - 1}: {len(broken)} broken {broken or ''}")
    found = []
    for flaw in flaws():
        hits = len(sim(range(first, first + options.flaw_seeds), "--flaw", flaw)[1])
        found.append(f"{flaw} {hits}/{options.flaw_seeds}")
    say("found when put back: " + ", ".join(found))
    said, hold = play_properties(first, options.property_cases) if options.property_cases else ("-", True)
    say(f"properties: {said}")
    tried, crashes = 0, 0
    for target in FUZZERS if fuzzers else ():
        n, crashed = fuzz(fuzzers, target, options.fuzz_seconds)
        tried, crashes = tried + n, crashes + crashed
        say(f"fuzz {target}: {n:,} inputs{', A CRASH' if crashed else ''}")
    hours = totals["simulated_ms"] / 3_600_000
    minutes = (time.monotonic() - started) / 60
    with LEDGER.open("a") as ledger:
        ledger.write(f"| {datetime.date.today()} | {commit()} | {first}..{first + options.seeds - 1} |"
                     f" {', '.join(map(str, broken)) or 0} | {hours:.1f} h | {minutes:.0f} min | {', '.join(found)} |"
                     f" {tried:,} | {crashes} | {said} |\n")
    return bool(broken or crashes or not hold)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=60, help="begin no round after these (60)")
    options.add_argument("--seeds", type=int, default=1000, help="fresh seeds a round (1000)")
    options.add_argument("--flaw-seeds", type=int, default=100, help="of these with each flaw put back (100)")
    options.add_argument("--property-cases", type=int, default=1000, help="a property and round; 0: none (1000)")
    options.add_argument("--fuzz-seconds", type=int, default=60, help="a target and round; 0: no fuzzing (60)")
    options = options.parse_args()
    fuzzers = build_fuzzers() if options.fuzz_seconds else None
    until = time.monotonic() + options.minutes * 60
    bad = False
    while time.monotonic() < until:
        bad = play_round(options, fuzzers) or bad
    say(f"the ledger is {LEDGER.relative_to(ROOT)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
