"""The words for a cluster. Times are seconds: virtual ones in a Simulation, real ones in a Cluster."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple

from klamm import _engine as native

_PRODUCER = 1  # the client number of a cluster's own producer; consumers are numbered from 2
_BEGINNING, _END, _COMMITTED = -2, -1, -3
_TIMEOUT = 30.0


class KafkaError(Exception):
    """An error code of the protocol, by Kafka's name: NOT_ENOUGH_REPLICAS. REQUEST_TIMED_OUT also when no answer came.

    `maybe_written`: of a produced record, whether it may nevertheless be in the log.
    """

    def __init__(self, code: str, message: str = "", *, maybe_written: bool = False) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.maybe_written = maybe_written


class Produced(NamedTuple):
    partition: int
    offset: int  # -1: unknown, the answer was that of a duplicate


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: list[tuple[str, bytes | None]]


class Batch(NamedTuple):
    """A batch in a replica's log, as its segment files hold it."""

    base_offset: int
    last_offset: int
    leader_epoch: int
    records: list[tuple[bytes, bytes]]


class PartitionState(NamedTuple):
    leader: int | None
    leader_epoch: int
    isr: list[int]
    replicas: list[int]
    high_watermark: int | None  # None: there is no leader to ask
    logs: dict[int, list[Batch]]  # of each replica, dead ones too


class SeedResult(NamedTuple):
    seed: int
    digest: int
    ok: bool
    violation: str
    simulated_ms: int
    events: int
    acknowledged: int


def _check(code: str, message: str = "") -> None:
    if code != "NONE":
        raise KafkaError(code, message)


class Pending:
    """Records on their way."""

    def __init__(self, cluster: AnyCluster, tokens: range) -> None:
        self._cluster = cluster
        self._tokens = tokens
        self._answers: dict[int, tuple[str, bool, int, int]] = {}

    @property
    def done(self) -> bool:
        return self._collect(0.0)

    def _collect(self, timeout: float) -> bool:
        engine = self._cluster._engine
        limit = engine.now() + timeout
        for token in self._tokens:
            if token in self._answers:
                continue
            if not engine.wait(token, max(0.0, limit - engine.now())):
                return False
            self._answers[token] = native.produced(engine.take(token)[0])
        return True

    def acknowledged(self) -> list[Produced]:
        """Those that have been acknowledged so far, in the order of producing."""
        self._collect(0.0)
        answers = (self._answers.get(t) for t in self._tokens)
        return [Produced(a[2], a[3]) for a in answers if a is not None and a[0] == "NONE"]

    def results(self, timeout: float = _TIMEOUT) -> list[Produced]:
        """All of them; raises the first error."""
        if not self._collect(timeout):
            raise KafkaError("REQUEST_TIMED_OUT", "not all records have been answered", maybe_written=True)
        for token in self._tokens:
            code, maybe, _, _ = self._answers[token]
            if code != "NONE":
                raise KafkaError(code, maybe_written=maybe)
        return [Produced(self._answers[t][2], self._answers[t][3]) for t in self._tokens]


class Consumer:
    """Made by `consumer()` of a cluster. Assigned to all partitions of a topic, or with a group to its share."""

    def __init__(self, cluster: AnyCluster, topic: str, group: str, start: str) -> None:
        if start not in ("earliest", "latest"):
            raise ValueError("start is 'earliest' or 'latest'")
        self._cluster = cluster
        self._client = cluster._next_client()
        self._records: list[Record] = []
        self.assigned: list[tuple[str, int]] = []
        self.positions: dict[int, int] = {}
        self.closed = False
        engine = cluster._engine
        self._token = engine.open_consumer(self._client, group, start == "latest")
        if group:
            token = engine.subscribe(self._client, topic)
        else:
            partitions = range(len(cluster.describe(topic)))
            self.assigned = [(topic, p) for p in partitions]
            where = _END if start == "latest" else _BEGINNING
            token = engine.assign(self._client, topic, [(p, where) for p in partitions])
        _check(native.done(cluster._answer(token)))

    def poll(self, timeout: float = 1.0) -> list[Record]:
        """What has come; waits for something if there is nothing."""
        engine = self._cluster._engine
        limit = engine.now() + timeout
        while not self._records and engine.wait(self._token, max(0.0, limit - engine.now())):
            self._take()
        self._take()
        records, self._records = self._records, []
        return records

    def _take(self) -> None:
        for answer in self._cluster._engine.take(self._token):
            event = native.consumer_event(answer)
            if event["kind"] == "records":
                self.positions[event["partition"]] = event["next"]
                self._records += [Record(**r) for r in event["records"]]
            elif event["kind"] == "assigned":
                self.assigned = event["partitions"]
            elif event["kind"] == "revoked":
                self.assigned = []
            elif event["kind"] == "error":
                raise KafkaError(event["error"])

    def commit(self, timeout: float = _TIMEOUT) -> None:
        """Commits the positions behind everything that was handed over to this object."""
        token = self._cluster._engine.ask_client("commit", self._client)
        _check(native.done(self._cluster._answer(token, timeout)))

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._cluster._answer(self._cluster._engine.ask_client("close", self._client))
        self._cluster._engine.take(self._token)

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class AnyCluster:
    """What Simulation and Cluster have in common. Nodes are numbered from 1."""

    _engine: native.AnyCluster

    def __init__(self) -> None:
        self._clients = _PRODUCER
        self._producing = False

    def _wait_for_brokers(self, timeout: float = 60.0) -> None:
        def all_serve() -> bool:
            told = native.description(self._answer(self._engine.describe(-1), timeout))
            return len(told["brokers"]) == self._engine.nodes()

        self.run_until(all_serve, timeout)

    # ---- topics and records

    def create_topic(
        self,
        topic: str,
        partitions: int = 1,
        replication: int = -1,
        config: Mapping[str, object] | None = None,
        timeout: float = _TIMEOUT,
    ) -> str:
        """Makes a topic, waits until all its partitions have leaders, and returns its id. `replication` -1: the brokers' default."""
        settings = {key: str(value) for key, value in (config or {}).items()}
        token = self._engine.create_topic(topic, partitions, replication, settings)
        code, message, topic_id = native.topic_result(self._answer(token, timeout))
        _check(code, message)
        self.run_until(lambda: all(p["leader"] >= 0 for p in self.describe(topic)), timeout)
        return topic_id

    def delete_topic(self, topic: str, timeout: float = _TIMEOUT) -> None:
        code, message, _ = native.topic_result(self._answer(self._engine.delete_topic(topic), timeout))
        _check(code, message)

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        timeout: float = _TIMEOUT,
    ) -> Produced:
        """Produces one record with acks=all and waits for its acknowledgement."""
        return self.send(topic, [value], keys=[key], partition=partition).results(timeout)[0]

    def send(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        keys: Iterable[bytes | None] | None = None,
        partition: int = -1,
    ) -> Pending:
        """Hands records to the producer (idempotent, acks=all) and does not wait. `partition` -1: by the keys."""
        if not self._producing:
            _check(native.done(self._answer(self._engine.open_producer(_PRODUCER))))
            self._producing = True
        value_list = list(values)
        key_list = [None] * len(value_list) if keys is None else list(keys)
        if len(key_list) != len(value_list):
            raise ValueError("as many keys as values, please")
        first = self._engine.produce(_PRODUCER, topic, partition, list(zip(key_list, value_list)))
        return Pending(self, range(first, first + len(value_list)))

    def consumer(self, topic: str, *, group: str = "", start: str = "earliest") -> Consumer:
        return Consumer(self, topic, group, start)

    def consume(self, topic: str, count: int | None = None, timeout: float = _TIMEOUT) -> list[Record]:
        """Reads from the beginning: `count` records, or all up to the high watermarks of now."""
        ends = {}
        if count is None:
            ends = {p: self._offset(topic, p, _END, timeout) for p in range(len(self.describe(topic)))}
        records: list[Record] = []
        with self.consumer(topic) as consumer:

            def complete() -> bool:
                records.extend(consumer.poll(0.0))
                if count is not None:
                    return len(records) >= count
                return all(end == 0 or consumer.positions.get(p, 0) >= end for p, end in ends.items())

            self.run_until(complete, timeout)
        return records if count is None else records[:count]

    # ---- nodes and links

    @property
    def nodes(self) -> list[int]:
        return list(range(1, self._engine.nodes() + 1))

    def alive(self, node: int) -> bool:
        return self._engine.alive(node)

    def kill(self, node: int) -> None:
        """As kill -9 does: the process is gone, what it had written stays."""
        self._engine.kill(node)

    def restart(self, node: int) -> None:
        """Starts a dead node on its data."""
        self._engine.restart(node)

    def partition(self, some: int | Sequence[int], others: int | Sequence[int] | None = None) -> None:
        """Cuts nodes off from others (by default from all the rest), both ways, silently. Clients reach all of them."""
        a = [some] if isinstance(some, int) else list(some)
        b = [others] if isinstance(others, int) else others
        self._engine.partition(a, [n for n in self.nodes if n not in a] if b is None else list(b))

    def heal(self) -> None:
        """Mends every cut."""
        self._engine.heal()

    # ---- time

    @property
    def now(self) -> float:
        """Seconds since the cluster began."""
        return self._engine.now()

    def run_for(self, seconds: float) -> None:
        self._engine.run_for(seconds)

    def run_until(self, condition: Callable[[], bool], timeout: float = _TIMEOUT, every: float = 0.005) -> None:
        """Lets time pass until the condition holds; TimeoutError if it does not in time."""
        limit = self.now + timeout
        while not condition():
            if self.now >= limit:
                raise TimeoutError(f"the condition did not hold within {timeout} s")
            self.run_for(every)

    # ---- looking

    def describe(self, topic: str, node: int = -1, timeout: float = _TIMEOUT) -> list[native.PartitionDescription]:
        """Leader, leader_epoch, replicas and isr of each partition, as a node tells clients; empty: no such topic."""
        description = native.description(self._answer(self._engine.describe(node), timeout))
        _check(description["error"])
        found = description["topics"].get(topic)
        return found["partitions"] if found else []

    def state(self, topic: str, partition: int = 0) -> PartitionState:
        """The partition as the node tells it that knows most, and the logs as they lie on the nodes' disks."""
        views = []
        for node in self.nodes:
            if self.alive(node):
                try:
                    views += self.describe(topic, node)[partition : partition + 1]
                except KafkaError:  # it is starting
                    pass
        if not views:
            raise KafkaError("UNKNOWN_TOPIC_OR_PARTITION", f"{topic}-{partition}")
        told = max(views, key=lambda view: view["leader_epoch"])
        leader = told["leader"] if told["leader"] >= 0 else None
        end = self._offset(topic, partition, _END, _TIMEOUT) if leader is not None else None
        logs = {node: self.log(node, topic, partition) for node in told["replicas"]}
        return PartitionState(leader, told["leader_epoch"], told["isr"], told["replicas"], end, logs)

    def log(self, node: int, topic: str, partition: int = 0) -> list[Batch]:
        return [Batch(**b) for b in self._engine.log(node, topic, partition)]

    # ---- underneath

    def _next_client(self) -> int:
        self._clients += 1
        return self._clients

    def _answer(self, token: int, timeout: float = _TIMEOUT) -> bytes:
        # The host of clients keeps time limits of its own; ours is the last resort.
        if not self._engine.wait(token, timeout + 5.0):
            raise KafkaError("REQUEST_TIMED_OUT", "no answer")
        return self._engine.take(token)[0]

    def _offset(self, topic: str, partition: int, at: int, timeout: float) -> int:
        token = self._engine.offset(topic, partition, at)
        code, offset, _ = native.offset_result(self._answer(token, timeout))
        _check(code)
        return offset


class Simulation(AnyCluster):
    """A cluster in virtual time, determined by its seed and by what is done to it. `fork` copies it whole."""

    _engine: native.SimCluster

    def __init__(
        self,
        seed: int = 1,
        brokers: int = 3,
        config: Mapping[str, object] | None = None,
        flaws: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.seed = seed
        settings = {key: str(value) for key, value in (config or {}).items()}
        self._engine = native.SimCluster(seed, brokers, settings, list(flaws))
        self._wait_for_brokers()

    @property
    def digest(self) -> int:
        """Of everything that has happened: the same for the same seed and script, on every machine."""
        return self._engine.digest()

    @property
    def events(self) -> int:
        return self._engine.events()

    def fork(self) -> Simulation:
        """A copy that goes on by itself. Consumers stay with the original."""
        other = copy.copy(self)
        other._engine = self._engine.fork()
        return other

    def lose_power(self, node: int) -> None:
        """Kills the node and loses what its disk had not synced."""
        self._engine.lose_power(node)

    @property
    def violations(self) -> list[str]:
        """What the simulator's checkers have objected to so far; each was also raised once, as ClusterFailure."""
        return self._engine.violations()

    def state_text(self, node: int) -> str:
        """Every member of a node's state, a line each: for diffing two moments or two forks."""
        return self._engine.state_text(node)

    def __repr__(self) -> str:
        return f"Simulation(seed={self.seed}, brokers={len(self.nodes)}, now={self.now:.6f})"


class Cluster(AnyCluster):
    """A cluster on real sockets and files in this process. Close it, or use it in a `with`."""

    _engine: native.LiveCluster

    def __init__(self, brokers: int = 3, config: Mapping[str, object] | None = None, dir: str = "") -> None:
        super().__init__()
        settings = [f"{key}={value}" for key, value in (config or {}).items()]
        self._engine = native.LiveCluster(brokers, dir, settings)
        self._wait_for_brokers()

    @property
    def brokers(self) -> str:
        """bootstrap.servers for any Kafka client."""
        return self._engine.brokers()

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Cluster(brokers={len(self.nodes)}, at {self.brokers!r})"


def run_seed(seed: int, faults: bool = True, seconds: float = 10.0) -> SeedResult:
    """A whole checked run, as `klamm sim` makes it: `seconds` of load and faults, then healing and reading."""
    return SeedResult(**native.run_seed(seed, faults, seconds))
