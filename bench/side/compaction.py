"""How fast a log is compacted: written as one that is only deleted, then its policy becomes `compact`."""

import time

from side.load import Topic, load

# bytes of a value, messages, keys
LOGS = ((100, 2_000_000, 200_000), (1000, 400_000, 40_000))
# Klamm tells how far it has come with its checkpoints, Kafka at once.
CONFIG = {"log.cleaner.backoff.ms": "200", "log.segment.bytes": str(64 << 20), "replica.high.watermark.checkpoint.interval.ms": "100"}
LIMIT_S = 120


def cleaned_to(cluster, topic):
    """The offset up to which the log is known to be clean; -1: none."""
    for file in cluster.folder.rglob("cleaner-offset-checkpoint"):
        for line in file.read_text().splitlines():
            if line.startswith(f"{topic} 0 "):
                return int(line.split()[2])
    return -1


def segments(cluster, topic):
    return [file for folder in cluster.folder.rglob(f"{topic}-0") for file in folder.glob("*.log")]


def once(cluster, size, messages, keys, figures):
    with Topic(cluster, partitions=1) as topic:
        topic.run("produce", size=size, messages=messages, keys=keys, seconds=60, config=("linger.ms=5",))
        files = segments(cluster, topic.name)
        active = max(int(file.stem) for file in files)
        megabytes = sum(file.stat().st_size for file in files if int(file.stem) < active) / 1e6
        used, started = cluster.cpu(), time.monotonic()
        load("alter", cluster, topic.name, set="cleanup.policy=compact")
        while cleaned_to(cluster, topic.name) < active:
            if time.monotonic() > started + LIMIT_S:
                raise TimeoutError(f"not compacted within {LIMIT_S} s")
            time.sleep(0.02)
        took, used = time.monotonic() - started, cluster.cpu() - used
    label = f"compaction, values of {size} B, a tenth of the messages is left"
    figures.figure(f"compaction.{size}.per_cpu", f"{label}: log per broker CPU second", "MB", "more").add(cluster.name, megabytes / max(used, 0.01))
    figures.figure(f"compaction.{size}.rate", f"{label}: log per second", "MB", "more").add(cluster.name, megabytes / took)


def measure(kind, folder, repeats, figures):
    with kind(1, folder, CONFIG) as cluster:
        for _ in range(repeats):
            for log in LOGS:
                once(cluster, *log, figures)
