"""The simulator's speed and the engine's small parts, by Google Benchmark: build/release/bench/klamm_micro."""

import json
import subprocess

from side.peers import ROOT

BINARY = ROOT / "build/release/bench/klamm_micro"
TO_NS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


def benchmarks(pattern, repetitions, min_time=None):
    """Every run as Google Benchmark tells it: CPU times of one thread."""
    command = [str(BINARY), f"--benchmark_filter={pattern}", "--benchmark_format=json", f"--benchmark_repetitions={repetitions}"]
    if min_time:
        command.append(f"--benchmark_min_time={min_time}")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-300:] or f"exit {done.returncode}")
    runs = json.loads(done.stdout)["benchmarks"]
    for run in runs:
        if run.get("error_occurred"):
            raise RuntimeError(run["error_message"])
    return [run for run in runs if run["run_type"] == "iteration"]


def world(figures, repetitions):
    for run in benchmarks("^world_", repetitions):
        name = run["run_name"]
        ns = run["cpu_time"] * TO_NS[run["time_unit"]]
        if name.startswith("world_seed"):

            def add(key, label, unit, value, better="more", wanted=()):
                figures.figure(f"sim.{key}", f"simulator: {label}", unit, better, wanted).add("Klamm", value)

            add("speed", "simulated over CPU time of one core", "times", run["times_real_time"], wanted=("least", 300))
            add("event", "an event", "ns", run["event_s"] * 1e9, "less")
            add("events", "events of a simulated second", "", run["events_per_simulated_s"], "less")
            add("seeds", "seeds of a core second", "", run["seeds_per_core_s"])
        else:
            label = {"world_fork": "fork of the world under load", "world_fork_and_go_on": "the fork and its first 10 ms",
                     "world_state_hash": "state hash of all its machines"}[name]
            wanted = ("most", 5) if name == "world_fork" else ()
            figures.figure(f"sim.{name}", f"simulator: {label}", "ms", "less", wanted).add("Klamm", ns / 1e6)


def micro(figures, repetitions):
    for run in benchmarks("-^world_", repetitions, 0.2):
        ns = run["cpu_time"] * TO_NS[run["time_unit"]]
        figures.figure(f"micro.{run['run_name']}", run["run_name"].replace("_", " "), "ns", "less").add("Klamm", ns)


def run(name, figures, quick, say):
    say("the simulator's speed" if name == "sim" else "micro benchmarks")
    try:
        (world if name == "sim" else micro)(figures, 1 if quick else 3)
    except (RuntimeError, OSError) as why:
        say(f"  failed: {why}")
