"""The simulator's speed and the micro benchmarks: build/release/bench/klamm_micro, by Google Benchmark's JSON."""


def run(name, figures, quick, say):
    say(f"{name}: not there yet")
