"""The load generator as a function, and one measured run of it on a cluster."""

import itertools
import json
import subprocess
import sys

from side.peers import ROOT

BINARY = ROOT / "build/release/bench/klamm_load"
_topics = itertools.count(1)


class Failed(Exception):
    pass


def load(mode, cluster, topic, timeout=180, config=(), **options):
    command = [str(BINARY), mode, "--brokers", cluster.bootstrap, "--topic", topic]
    for key, value in options.items():
        command += ["--" + key.replace("_", "-"), str(value)]
    for pair in config:
        command += ["--config", pair]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise Failed(f"{cluster.name}: load {mode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


class Topic:
    """A topic for one run, gone afterwards."""

    def __init__(self, cluster, partitions=6):
        self.cluster, self.partitions, self.name = cluster, partitions, f"bench-{next(_topics)}"

    def __enter__(self):
        self.seen = load("create", self.cluster, self.name, partitions=self.partitions, replicas=min(3, self.cluster.nodes))
        return self

    def __exit__(self, *_):
        try:
            load("delete", self.cluster, self.name)
        except Failed as why:
            print(f"bench: {why}", file=sys.stderr)

    def run(self, mode, config=(), **options):
        """The load's own result, with the CPU seconds that the brokers spent on it."""
        before = self.cluster.cpu()
        result = load(mode, self.cluster, self.name, partitions=self.partitions, config=config, **options)
        result["broker_cpu"] = self.cluster.cpu() - before
        return result
