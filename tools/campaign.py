#!/usr/bin/env python3
"""Looks for what nobody has seen yet, for as long as it is let: fresh seeds, the detection of every historic flaw,
the properties of the units with more cases than a test run gives them, and fuzzing. Each round is a row of
docs/campaign.md, which also sums up the fuzzing of each target; the next run goes on after the last one's seeds, and
with the corpora that it left.

    ./run campaign --only fuzz --fuzz-minutes 20    # CPU minutes, a target
    ./run campaign --only fuzz --fuzz-until 20      # what each target lacks of 20, by the ledger
"""
import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import corpus

ROOT = pathlib.Path(__file__).resolve().parent.parent
KLAMM = ROOT / "build/release/klamm"
UNITS = ROOT / "build/release/tests/klamm_engine_tests"
LEDGER = ROOT / "docs/campaign.md"
KEPT = ROOT / "campaign"  # corpora and findings, not in the repository
FUZZ_LIMITS = ("-rss_limit_mb=2048", "-malloc_limit_mb=256", "-timeout=10")
FUZZ_SLICE = 120  # seconds; the ledger is brought up to date after each
HEAD = """# Campaigns

`./run campaign` plays fresh seeds, counts in how many of them each historic flaw is found when it is put back, plays
the properties of the units, and fuzzes what reads bytes from outside. It goes on where the last row ended. A failing seed
is run again by `klamm sim --seed N --trace` on the row's commit, a failing property by the `RC_PARAMS` of its row.
`./run campaign --only fuzz --fuzz-minutes 20` fuzzes each target for 20 CPU minutes more, `--fuzz-until 20` for what it lacks
of 20 in this table. Corpora grow in `campaign/`; after a run each is minimised, and its small inputs, up to 160 KiB a target,
are what `tests/fuzz/corpus` holds.

## Fuzzing, all in all

| target | CPU minutes | inputs | crashes | corpus | last |
|---|---|---|---|---|---|

## Rounds

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
    """The folder of the targets; the corpora begin with the seeds and what the repository holds."""
    build = ROOT / "build/fuzz"
    if not (build / "build.ninja").exists():
        subprocess.run(["cmake", "--preset", "fuzz"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    targets = [*(f"fuzz_{target}" for target in corpus.TARGETS), "fuzz_seeds"]
    subprocess.run(["cmake", "--build", "--preset", "fuzz", "--target", *targets], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([build / "tests/fuzz/fuzz_seeds", KEPT / "corpus"], check=True)
    corpus.unpack(KEPT / "corpus")
    return build / "tests/fuzz"


def fuzz(folder, target, seconds):
    """(inputs tried, whether it crashed, CPU seconds)"""
    findings = KEPT / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile("w+") as said:
        p = subprocess.Popen([folder / f"fuzz_{target}", KEPT / "corpus" / target, f"-max_total_time={seconds}",
                              f"-artifact_prefix={findings}/{target}-", "-print_final_stats=1", *FUZZ_LIMITS],
                             stderr=said, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        tried = re.search(r"number_of_executed_units:\s*(\d+)", said.read())
    return int(tried.group(1)) if tried else 0, p.returncode != 0, used.ru_utime + used.ru_stime


def fuzzed_minutes(target):
    row = re.search(rf"^\| {target} \| ([\d.]+) \|", ledger_text(), re.M)
    return float(row.group(1)) if row else 0.0


def note_fuzzing(target, cpu_seconds, tried, crashes):
    """Adds to the target's row of the ledger."""
    head, rest = ledger_text().split("## Rounds")
    row = re.search(rf"^\| {target} \| ([\d.]+) \| ([\d,]+) \| (\d+) \|.*\n", head, re.M)
    if row:
        cpu_seconds += float(row.group(1)) * 60
        tried += int(row.group(2).replace(",", ""))
        crashes += int(row.group(3))
        head = head.replace(row.group(0), "")
    files = [f.stat().st_size for f in (KEPT / "corpus" / target).iterdir()]
    last = f"{datetime.date.today()} {commit()}"
    head = (f"{head.rstrip()}\n| {target} | {cpu_seconds / 60:.1f} | {tried:,} | {crashes} |"
            f" {len(files):,} files, {sum(files) / 1024:,.0f} KiB | {last} |\n\n")
    LEDGER.write_text(f"{head}## Rounds{rest}")


def fuzz_target(folder, target, minutes, ledger):
    """(inputs, crashes) of so many CPU minutes; a crash ends it. `ledger` is an executor of one thread."""
    inputs, used = 0, 0.0
    while used < minutes * 60:
        tried, crashed, cpu = fuzz(folder, target, min(FUZZ_SLICE, max(1, round(minutes * 60 - used))))
        inputs, used = inputs + tried, used + cpu
        ledger.submit(note_fuzzing, target, cpu, tried, int(crashed)).result()
        if crashed:
            say(f"fuzz {target}: A CRASH after {inputs:,} inputs, see {KEPT.name}/findings")
            return inputs, 1
    say(f"fuzz {target}: {inputs:,} inputs in {used / 60:.1f} CPU minutes")
    return inputs, 0


def minimise(folder):
    """Each corpus becomes as small as reaches the same code; the repository's are made anew."""
    for target in corpus.TARGETS:
        kept, small = KEPT / "corpus" / target, KEPT / "corpus" / f"{target}.small"
        small.mkdir(exist_ok=True)
        subprocess.run([folder / f"fuzz_{target}", "-merge=1", small, kept], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        shutil.rmtree(kept)
        small.rename(kept)
    corpus.pack(KEPT / "corpus")


def ledger_text():
    return LEDGER.read_text() if LEDGER.exists() else HEAD


def next_seed():
    ends = re.findall(r"^\| [\d-]+ \| \S+ \| \d+\.\.(\d+) \|", ledger_text(), re.M)
    return max(map(int, ends), default=0) + 1


def commit():
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True,
                          check=True).stdout.strip()


def play_round(options, fuzzers):
    """Whether anything was found."""
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
    tried, crashes = fuzz_all(fuzzers, options) if fuzzers else (0, 0)
    hours = totals["simulated_ms"] / 3_600_000
    minutes = (time.monotonic() - started) / 60
    LEDGER.write_text(f"{ledger_text()}| {datetime.date.today()} | {commit()} | {first}..{first + options.seeds - 1} |"
                      f" {', '.join(map(str, broken)) or 0} | {hours:.1f} h | {minutes:.0f} min | {', '.join(found)} |"
                      f" {tried:,} | {crashes} | {said} |\n")
    return bool(broken or crashes or not hold)


def fuzz_all(folder, options):
    """(inputs, crashes) of all targets, as many at once as there are processors."""
    def minutes(target):
        return options.fuzz_minutes if options.fuzz_until is None else options.fuzz_until - fuzzed_minutes(target)

    with concurrent.futures.ThreadPoolExecutor(1) as ledger, concurrent.futures.ThreadPoolExecutor(
            os.cpu_count() or 1) as pool:
        ends = list(pool.map(lambda target: fuzz_target(folder, target, minutes(target), ledger), corpus.TARGETS))
    minimise(folder)
    return sum(inputs for inputs, _ in ends), sum(crashes for _, crashes in ends)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=60, help="begin no round after these (60)")
    options.add_argument("--only", choices=["fuzz"], help="one round of nothing else")
    options.add_argument("--seeds", type=int, default=1000, help="fresh seeds a round (1000)")
    options.add_argument("--flaw-seeds", type=int, default=100, help="of these with each flaw put back (100)")
    options.add_argument("--property-cases", type=int, default=1000, help="a property and round; 0: none (1000)")
    options.add_argument("--fuzz-minutes", type=float, default=1,
                         help="of CPU, a target and round; 0: no fuzzing (1)")
    options.add_argument("--fuzz-until", type=float, help="CPU minutes of a target that the ledger shall tell in all")
    options = options.parse_args()
    fuzzers = build_fuzzers() if options.fuzz_minutes else None
    if options.only == "fuzz":
        bad = fuzzers is not None and fuzz_all(fuzzers, options)[1] > 0
    else:
        until = time.monotonic() + options.minutes * 60
        bad = False
        while time.monotonic() < until:
            bad = play_round(options, fuzzers) or bad
    say(f"the ledger is {LEDGER.relative_to(ROOT)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
