"""The measurements, each on running clusters of the peers in turn: A B A B, so that a slow minute meets both."""

import contextlib
import time

from side import compaction, groups, sizes
from side.load import Failed, Topic
from side.peers import Kafka, KlammInOne, Unavailable

SMALL = ("linger.ms=0", "batch.num.messages=1", "max.in.flight=5")
BULK = ("linger.ms=5",)
SMALL_RATES = {1: (5000, 15000), 3: (2000, 6000)}  # requests a second offered
REQUESTS = ((64, 5), (32, 20))  # connections, and requests in flight on each
LATENCY_RATE = 1000
KIB = 1024
# What was wanted of one node and of three: times Kafka's, but for what is a bound of its own.
BYTES = {1: 5, 3: 3}
SMALL_REQUESTS = {1: 20, 3: 10}
IDLE_MEMORY = {1: ("ratio", 40), 3: ("most", 10)}
PROCESSES = " --processes"


class Plan:
    """How long and how often; `quick` is for a first look."""

    def __init__(self, quick):
        self.repeats = 1 if quick else 5
        self.small_repeats = 1 if quick else 3
        self.bulk_s = 30  # at most; as many bytes for both
        megabytes = (200, 400, 100, 150) if quick else (400, 1000, 300, 400)
        self.bulk_mb = dict(zip(((1, 100), (1, KIB), (3, 100), (3, KIB)), megabytes))
        self.small_s = 4 if quick else 8
        self.small_rates = {nodes: rates[:1] if quick else rates for nodes, rates in SMALL_RATES.items()}
        self.latency_s = 5 if quick else 10
        self.warm_s = 2 if quick else 6
        self.idle_s = 4 if quick else 20
        self.groups = 3 if quick else 10
        self.starts = 5
        self.kafka_starts = 0 if quick else 4  # beside the clusters that the other figures need
        self.compactions = 1 if quick else 3
        self.kills = 2 if quick else 6
        self.kafka_kills = 1 if quick else 2


class Bench:
    """Runs what was asked for and collects figures; `say` tells a person how far it is."""

    def __init__(self, peers, plan, figures, data, only, say):
        self.peers, self.plan, self.figures, self.data, self.only, self.say = peers, plan, figures, data, only, say

    def wants(self, *names):
        return not self.only or any(name in self.only for name in names)

    def alternate(self, clusters, what, once, repeats=None):
        repeats = repeats or self.plan.repeats
        for repeat in range(repeats):
            for cluster in clusters:
                self.say(f"{what}: {cluster.name}, {repeat + 1} of {repeats}")
                try:
                    once(cluster)
                except (Failed, TimeoutError) as why:
                    self.say(f"  failed: {why}{cluster.post_mortem()}")

    # ---- on running clusters

    def on_clusters(self, nodes):
        """All peers' clusters of this size up at once; the idle one disturbs little and the runs can alternate."""
        with contextlib.ExitStack() as stack:
            clusters = []
            for kind in self.peers:
                try:
                    clusters.append(stack.enter_context(kind(nodes, f"{self.data}/{kind.name}-{nodes}")))
                    if kind is Kafka:
                        self.ready_figure(nodes, "tmpfs", PROCESSES).add(kind.name, clusters[-1].ready_ms)
                except (Unavailable, TimeoutError) as why:
                    self.say(f"{kind.name} with {nodes} nodes cannot be measured: {why}")
            if self.wants("idle"):
                self.idle(clusters, nodes)
            if self.wants("groups") and nodes == 1:
                self.groups(clusters)
            if self.wants("produce", "small", "latency"):
                for cluster in clusters:
                    self.warm_up(cluster)
            if self.wants("produce"):
                self.bulk(clusters, nodes, 100)
                self.bulk(clusters, nodes, KIB)
            if self.wants("small"):
                for rate in self.plan.small_rates[nodes]:
                    self.small(clusters, nodes, rate)
                for connections, in_flight in REQUESTS if nodes == 1 else ():
                    self.requests(clusters, connections, in_flight)
            if self.wants("latency"):
                self.latency(clusters, nodes)
                if nodes == 1:
                    self.direct(clusters)
            if self.wants("idle"):
                figure = self.figures.figure(f"loaded.rss.{nodes}", f"resident memory after load, a node of {nodes}", "MiB", "less")
                for cluster in clusters:
                    figure.add(cluster.name, max(cluster.resident(), default=0))

    def warm_up(self, cluster):
        """Just-in-time compilers have seen every path before anything counts."""
        self.say(f"warming up {cluster.name}, {cluster.nodes} node(s)")
        with Topic(cluster) as topic:
            topic.run("produce", BULK, size=100, seconds=self.plan.warm_s, messages=self.plan.warm_s * 1_000_000)
            topic.run("produce", SMALL, size=100, seconds=self.plan.warm_s, rate=SMALL_RATES[cluster.nodes][0])
            if cluster.nodes == 1:
                topic.run("requests", size=100, seconds=self.plan.warm_s, connections=64, in_flight=5)
            topic.run("produce", BULK, size=KIB, seconds=self.plan.warm_s / 2, messages=self.plan.warm_s * 50_000)

    def idle(self, clusters, nodes):
        self.say(f"idle, {nodes} node(s): {self.plan.idle_s} s")
        time.sleep(2)
        resident = self.figures.figure(f"idle.rss.{nodes}", f"resident memory idle, a node of {nodes}", "MiB", "less", IDLE_MEMORY[nodes])
        cpu = self.figures.figure(f"idle.cpu.{nodes}", f"idle CPU, {nodes} node(s)", "% of a core", "less")
        before = [cluster.cpu() for cluster in clusters]
        time.sleep(self.plan.idle_s)
        for cluster, used in zip(clusters, before):
            cpu.add(cluster.name, (cluster.cpu() - used) / self.plan.idle_s * 100)
            resident.add(cluster.name, max(cluster.resident()))

    def groups(self, clusters):
        label = "first message through a new group"
        first = self.figures.figure("group.first", f"{label}, the cluster's first", "ms", "less", ("most", 10))
        later = self.figures.figure("group.later", label, "ms", "less", ("most", 10))
        for cluster in clusters:
            self.say(f"{label}: {cluster.name}")
            with Topic(cluster, partitions=1) as topic:
                topic.run("produce", size=100, messages=1, seconds=5)
                for i in range(1 + self.plan.groups):
                    figure = later if i else first
                    figure.add(cluster.name, groups.first_message(cluster.addresses[0], topic.name, f"group-{i}"))

    def bulk(self, clusters, nodes, size):
        label = f"produce {size} B, RF {nodes}"
        per_cpu = self.figures.figure(f"produce.{size}.{nodes}.per_cpu", f"{label}: bytes per broker CPU second", "MB", "more", ("ratio", BYTES[nodes]))
        rate = self.figures.figure(f"produce.{size}.{nodes}.rate", f"{label}: throughput", "msg/s")
        read = None
        if nodes == 1:
            read = self.figures.figure(f"consume.{size}.per_cpu", f"consume {size} B: bytes per broker CPU second", "MB", "more", ("ratio", BYTES[nodes]))

        def once(cluster):
            with Topic(cluster) as topic:
                got = topic.run("produce", BULK, size=size, seconds=self.plan.bulk_s, messages=self.plan.bulk_mb[nodes, size] * 1_000_000 // size)
                self.check(cluster, got)
                per_cpu.add(cluster.name, got["acked"] * size / 1e6 / max(got["broker_cpu"], 0.01))
                rate.add(cluster.name, got["rate"])
                if read:
                    back = topic.run("consume", messages=got["acked"], seconds=self.plan.bulk_s * 4)
                    if back["messages"] < got["acked"]:
                        self.say(f"  {cluster.name}: only {back['messages']:,} of {got['acked']:,} messages came back")
                    read.add(cluster.name, back["bytes"] / 1e6 / max(back["broker_cpu"], 0.01))

        self.alternate(clusters, label, once)

    def small(self, clusters, nodes, offered):
        label = f"a request a message, RF {nodes}, {offered:,} a second offered"
        per_cpu = self.figures.figure(f"small.{nodes}.{offered}.per_cpu", f"{label}: per broker CPU second", "requests", "more", ("ratio", SMALL_REQUESTS[nodes]))
        rate = self.figures.figure(f"small.{nodes}.{offered}.rate", f"{label}: done", "requests/s")

        def once(cluster):
            with Topic(cluster) as topic:
                got = topic.run("produce", SMALL, size=100, rate=offered, seconds=self.plan.small_s)
                self.check(cluster, got)
                per_cpu.add(cluster.name, got["acked"] / max(got["broker_cpu"], 0.01))
                rate.add(cluster.name, got["rate"])

        self.alternate(clusters, label, once, self.plan.small_repeats)

    def requests(self, clusters, connections, in_flight):
        label = f"a request a message, flat out, {connections} connections with {in_flight} in flight"
        name = f"requests.{connections}.{in_flight}"
        per_cpu = self.figures.figure(f"{name}.per_cpu", f"{label}: per broker CPU second", "requests", "more", ("ratio", 20))
        rate = self.figures.figure(f"{name}.rate", f"{label}: done", "requests/s")

        def once(cluster):
            with Topic(cluster) as topic:
                topic.run("requests", size=100, seconds=1)  # its leaders have begun
                got = topic.run("requests", size=100, seconds=self.plan.small_s, connections=connections, in_flight=in_flight)
                self.check(cluster, got)
                per_cpu.add(cluster.name, got["acked"] / max(got["broker_cpu"], 0.01))
                rate.add(cluster.name, got["rate"])

        self.alternate(clusters, label, once, self.plan.small_repeats)

    def latency(self, clusters, nodes):
        label = f"end to end at {LATENCY_RATE:,} msg/s, RF {nodes}"
        self.quantiles(clusters, "latency", f"latency.{nodes}", label, ("ratio", 10) if nodes == 1 else ())

    def direct(self, clusters):
        """The same with a client that costs next to nothing: what the broker makes of it."""
        label = f"end to end at {LATENCY_RATE:,} msg/s, RF 1, no client library"
        self.quantiles(clusters, "direct", "direct", label, ("ratio", 10))

    def quantiles(self, clusters, mode, name, label, wanted):
        figures = {q: self.figures.figure(f"{name}.{q}", f"{label}: {q}", "ms", "less", wanted if q == "p99" else ())
                   for q in ("p50", "p99", "p99.9")}

        def once(cluster):
            with Topic(cluster, partitions=1) as topic:
                got = topic.run(mode, size=100, rate=LATENCY_RATE, seconds=self.plan.latency_s)
                if got["missing"] or got["failed"]:
                    self.say(f"  {cluster.name}: {got['missing']} messages missing, {got['failed']} failed")
                for q, figure in figures.items():
                    figure.add(cluster.name, got[q])

        self.alternate(clusters, label, once)

    def check(self, cluster, got):
        if got["failed"]:
            self.say(f"  {cluster.name}: {got['failed']} messages failed")

    # ---- on clusters of their own

    def ready_figure(self, nodes, place, how=""):
        wanted = {(3, "tmpfs", ""): ("most", 20), (1, "tmpfs", PROCESSES): ("ratio", 200)}.get((nodes, place, how), ())
        return self.figures.figure(f"ready.{nodes}{how}.{place}", f"time to ready, cluster {nodes}{how}, {place}: best", "ms", "less", wanted, best=True)

    def ready(self, sizes, disk):
        """From the spawn to the answers of all brokers. Kafka's seconds are the same wherever the data lie."""
        ours = [kind for kind in self.peers if kind is not Kafka]
        ways = [(kind, PROCESSES) for kind in ours] + ([(KlammInOne, "")] if ours else [])
        for nodes in sizes:
            for place, folder in (("tmpfs", self.data), ("disk", disk)):
                self.say(f"start {nodes} node(s) on {place}, {self.plan.starts} times")
                for _ in range(self.plan.starts):
                    for kind, how in ways:
                        self.start_once(kind, nodes, folder, self.ready_figure(nodes, place, how))
            for repeat in range(self.plan.kafka_starts if Kafka in self.peers else 0):
                self.say(f"start {nodes} node(s): Kafka, {repeat + 1} of {self.plan.kafka_starts}")
                self.start_once(Kafka, nodes, self.data, self.ready_figure(nodes, "tmpfs", PROCESSES))

    def start_once(self, kind, nodes, folder, figure):
        try:
            with kind(nodes, f"{folder}/start") as cluster:
                figure.add(cluster.name, cluster.ready_ms)
        except (Unavailable, TimeoutError) as why:
            self.say(f"  failed: {why}")

    def sizes(self, disk):
        """What Klamm alone is asked for: memory a connection and a partition, and starts with much on the disk."""
        for kind in self.peers:
            if kind is Kafka:
                continue
            self.say(f"sizes: {kind.name}")
            sizes.measure(kind.binary, kind.name, disk, self.figures)

    def compaction(self):
        for kind in self.peers:
            self.say(f"compaction: {kind.name}")
            try:
                compaction.measure(kind, f"{self.data}/compaction", self.plan.compactions, self.figures)
            except (Failed, Unavailable, TimeoutError) as why:
                self.say(f"  failed: {why}")

    def failover(self):
        figure = self.figures.figure("failover", "kill -9 of a leader to the next acknowledged write, defaults", "ms", "less", ("most", 300))
        for kind in self.peers:
            for repeat in range(self.plan.kafka_kills if kind is Kafka else self.plan.kills):
                victim = repeat % 3 + 1  # node 1 is also the quorum's leader where the lowest id campaigns first
                self.say(f"kill -9 of node {victim}: {kind.name}")
                try:
                    figure.add(kind.name, self.kill_once(kind, victim))
                except (Failed, Unavailable, TimeoutError) as why:
                    self.say(f"  failed: {why}")

    def kill_once(self, kind, victim):
        with kind(3, f"{self.data}/kill") as cluster, Topic(cluster) as topic:
            led = [int(p) for p, leader in topic.seen["leaders"].items() if leader == victim]
            if not led:
                raise Failed(f"node {victim} leads none of {topic.seen['leaders']}")
            got = topic.run("failover", partition=led[0], victim=cluster.pids[victim], seconds=30)
            if got["gap_ms"] is None:
                raise Failed(f"no write was acknowledged within 30 s of the kill of node {victim}: {got}")
            self.say(f"  {got['gap_ms']:.0f} ms, {got['failed']} of {got['sent']} messages failed")
            return got["gap_ms"]
