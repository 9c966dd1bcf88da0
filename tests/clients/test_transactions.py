"""Logs that hold transactions, written by Apache Kafka 4.3.1 and opened by Klamm, and back: committed, aborted and open ones
over many segments, compacted or not. Who reads what is committed sees it from either; so does the index of what was aborted."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, IsolationLevel, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from test_compaction import SEGMENT, create, wait_until_clean
from test_exchange import Place
from test_java import CONSUMER, java  # noqa: F401  (a fixture)
from test_retention import files

ROUNDS = 60
STATE = ["transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=1"]
OFTEN = ["log.cleaner.backoff.ms=100", "replica.high.watermark.checkpoint.interval.ms=200"]
FILLER = b"x" * 512
Record = tuple[bytes, bytes]


@pytest.fixture
def place(tmp_path: Path, java: list[str]) -> Place:  # noqa: F811
    return Place(tmp_path, java, *STATE, *OFTEN)


def transactional(place: Place, name: str) -> Producer:
    options = {"transactional.id": name, "transaction.timeout.ms": 900_000, "linger.ms": 0}
    producer = Producer({"bootstrap.servers": place.address, **options})
    producer.init_transactions(60)
    return producer


def write(place: Place, topic: str) -> list[Record]:
    """Transactions of two producers beside each other, a third of them aborted, and plain records between. What is committed."""
    first, second, plain = transactional(place, f"{topic}-1"), transactional(place, f"{topic}-2"), Producer({"bootstrap.servers": place.address})
    committed: list[Record] = []
    for i in range(ROUNDS):
        aborts, kept = i % 3 == 1, i % 3 != 1
        for producer in (first, second):
            producer.begin_transaction()
        for n, producer in enumerate((first, second, plain, first, second)):
            record = (b"k%d" % ((i + n) % 11), b"%s %d %d" % (topic.encode(), i, n) + FILLER)
            producer.produce(topic, record[1], record[0], partition=0)
            assert producer.flush(30) == 0
            if kept or producer is not first:
                committed.append(record)
        if aborts:
            first.abort_transaction(30)
        else:
            first.commit_transaction(30)
        second.commit_transaction(30)
    return committed


def read(place: Place, topic: str, isolation: str) -> list[Record]:
    options = {"group.id": "nobody", "enable.auto.commit": False, "enable.partition.eof": True, "isolation.level": isolation}
    consumer = Consumer({"bootstrap.servers": place.address, **options})
    found: list[Record] = []
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        until = time.monotonic() + 60
        while True:
            assert time.monotonic() < until, f"read {len(found)}"
            for message in consumer.consume(1_000, 0.5):
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    return found
                assert error is None, error
                found.append((message.key() or b"", message.value() or b""))
    finally:
        consumer.close()


def read_with_java(place: Place, topic: str, count: int) -> list[bytes]:
    """One more than there are: it ends by its time."""
    command = [*place.java, CONSUMER, "--bootstrap-server", place.address, "--topic", topic, "--from-beginning"]
    command += ["--isolation-level", "read_committed", "--max-messages", str(count + 1), "--timeout-ms", "10000"]
    done = subprocess.run(command, capture_output=True, timeout=120)
    return done.stdout.splitlines()


def latest(place: Place, topic: str, isolation: IsolationLevel) -> int:
    admin = AdminClient({"bootstrap.servers": place.address})
    partition = TopicPartition(topic, 0)
    answer = admin.list_offsets({partition: OffsetSpec.latest()}, isolation_level=isolation, request_timeout=30)
    return int(answer[partition].result(30).offset)


def ends(place: Place, topic: str) -> tuple[int, int]:
    return latest(place, topic, IsolationLevel.READ_COMMITTED), latest(place, topic, IsolationLevel.READ_UNCOMMITTED)


def producers(place: Place, topic: str) -> list[str]:
    """What the partition remembers of them, as Kafka's tool tells; without the times of producers that do nothing."""
    command = [*place.java, "org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server", place.address]
    done = subprocess.run([*command, "describe-producers", "--topic", topic, "--partition", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(" ".join(line.split()) for line in done.stdout.splitlines())


def dumped(place: Place, index: Path) -> list[str]:
    done = subprocess.run([*place.java, "org.apache.kafka.tools.DumpLogSegments", "--files", str(index)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Exception" not in done.stdout + done.stderr, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("version: 0")]


def indexes(place: Place, topic: str) -> list[Path]:
    return [p for p in files(place.data / f"{topic}-0", ".txnindex") if p.stat().st_size > 0]


def aborted(place: Place, topic: str) -> list[tuple[int, ...]]:
    """Of all segments, by Kafka's tool: producer, first and last offset, last stable offset."""
    return [tuple(int(n) for n in re.findall(r": (-?\d+)", line)[1:]) for path in indexes(place, topic) for line in dumped(place, path)]


def last_values(records: list[Record]) -> dict[bytes, bytes]:
    return dict(records)


def test_what_kafka_committed_is_what_klamm_shows(place: Place) -> None:
    place.format()
    with place.served_by("kafka"):
        create(place, "plain", cleanup_policy="delete")
        committed = write(place, "plain")
        held = transactional(place, "held")
        held.begin_transaction()
        held.produce("plain", b"open" + FILLER, b"open", partition=0)
        assert held.flush(30) == 0
        after = Producer({"bootstrap.servers": place.address})
        after.produce("plain", b"behind" + FILLER, b"behind", partition=0)
        assert after.flush(30) == 0
        everything = read(place, "plain", "read_uncommitted")
        assert read(place, "plain", "read_committed") == committed
        stable, end = ends(place, "plain")
        assert stable == end - 2
        known = producers(place, "plain")
    theirs = aborted(place, "plain")
    assert len(theirs) == ROUNDS // 3 and len(indexes(place, "plain")) > 3
    with place.served_by("klamm"):
        assert ends(place, "plain") == (stable, end)
        assert read(place, "plain", "read_committed") == committed
        assert read(place, "plain", "read_uncommitted") == everything
        assert read_with_java(place, "plain", len(committed)) == [value for _, value in committed]
        assert producers(place, "plain") == known
        more = Producer({"bootstrap.servers": place.address, "enable.idempotence": True})
        for i in range(2 * SEGMENT // len(FILLER)):  # the segment of the open transaction ends
            more.produce("plain", b"more %d" % i + FILLER, b"more", partition=0)
        assert more.flush(30) == 0
        assert ends(place, "plain")[0] == stable
        assert read(place, "plain", "read_committed") == committed
    assert aborted(place, "plain") == theirs
    with place.served_by("kafka"):
        assert ends(place, "plain")[0] == stable
        assert read(place, "plain", "read_committed") == committed
        transactional(place, "held")  # fences the one before, and so aborts what it left open
        until = time.monotonic() + 30
        while ends(place, "plain")[0] == stable:
            assert time.monotonic() < until
            time.sleep(0.1)
        decided = read(place, "plain", "read_committed")
        assert decided[: len(committed) + 1] == [*committed, (b"behind", b"behind" + FILLER)]
        assert (b"open", b"open" + FILLER) not in decided
    with place.served_by("klamm"):
        assert read(place, "plain", "read_committed") == decided
    assert len(aborted(place, "plain")) == len(theirs) + 1


def test_a_compacted_log_with_transactions_goes_back_and_forth(place: Place) -> None:
    place.format()
    with place.served_by("kafka"):
        create(place, "table", min_compaction_lag_ms=10**9)  # Kafka leaves it as it is
        committed = write(place, "table")
        before = len(read(place, "table", "read_uncommitted"))
    with place.served_by("klamm"):
        create(place, "other")  # its own log goes on
        assert read(place, "table", "read_committed") == committed
        compact_now(place, "table")
        wait_until_clean(place, "table", smaller_than=3 * SEGMENT)
        left = read(place, "table", "read_committed")
        assert last_values(left) == last_values(committed)
        everything = read(place, "table", "read_uncommitted")
        assert len(left) <= len(everything) < before // 4
    for path in [*indexes(place, "table"), *files(place.data / "table-0", ".log"), *files(place.data / "table-0", ".snapshot")]:
        dump(place, path)
    with place.served_by("kafka"):
        assert read(place, "table", "read_committed") == left
        assert read(place, "table", "read_uncommitted") == everything
        again = write(place, "table")
        wait_until_clean(place, "table", smaller_than=3 * SEGMENT)
        theirs = read(place, "table", "read_committed")
        assert last_values(theirs) == last_values([*committed, *again])
        known = ends(place, "table")
    with place.served_by("klamm"):
        assert ends(place, "table") == known
        assert read(place, "table", "read_committed") == theirs


def dump(place: Place, path: Path) -> None:
    done = subprocess.run([*place.java, "org.apache.kafka.tools.DumpLogSegments", "--files", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "Exception" not in done.stdout + done.stderr, done.stdout + done.stderr


def compact_now(place: Place, topic: str) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    admin = AdminClient({"bootstrap.servers": place.address})
    entry = ConfigEntry("min.compaction.lag.ms", "0", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(30)
