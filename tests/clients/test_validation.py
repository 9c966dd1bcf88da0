"""What a topic makes of the batches of real producers: compression, times, sizes; and what it refuses."""

from __future__ import annotations

import gzip
import re
import struct
import subprocess
import time
from pathlib import Path

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, Message, Producer, TopicPartition
from nodes import Nodes, create_topic, read_all

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def producer(cluster: Nodes, **more: object) -> Producer:
    return Producer({"bootstrap.servers": cluster.brokers, "linger.ms": 20, **more})


def send(p: Producer, topic: str, values: list[bytes], **more: object) -> list[KafkaError]:
    """What was refused, and why."""
    failed: list[KafkaError] = []
    for value in values:
        p.produce(topic, value, on_delivery=lambda e, _: failed.append(e) if e else None, **more)
    assert p.flush(30) == 0
    return failed


def messages(cluster: Nodes, topic: str, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": cluster.brokers, "group.id": "nobody", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        got: list[Message] = []
        until = time.monotonic() + 30
        while len(got) < count:
            assert time.monotonic() < until, f"only {len(got)} of {count} came"
            got += consumer.consume(count, 0.2)
        assert all(m.error() is None for m in got)
        return got
    finally:
        consumer.close()


def logs(cluster: Nodes, topic: str) -> list[bytes]:
    """The first segment of each replica."""
    found = []
    for node in cluster.nodes.values():
        folder = re.search(r"^log\.dirs=(.+)$", Path(node.properties).read_text(), re.M)
        assert folder
        found.append((Path(folder[1]) / f"{topic}-0" / f"{0:020}.log").read_bytes())
    return found


def codecs(log: bytes) -> list[str]:
    """The compression of each batch."""
    names, at = [], 0
    while at < len(log):
        names.append(CODECS[struct.unpack_from(">h", log, at + 21)[0] & 7])
        at += 12 + struct.unpack_from(">i", log, at + 8)[0]
    return names


@pytest.mark.parametrize("target", ["zstd", "gzip", "lz4", "snappy", "uncompressed"])
def test_topic_has_its_own_compression(cluster: Nodes, target: str) -> None:
    topic = f"validation-{target}"
    create_topic(cluster.brokers, topic, config={"compression.type": target})
    values = [b"value-%d " % i * 50 for i in range(200)]
    for source in CODECS:
        assert not send(producer(cluster, **{"compression.type": source, "enable.idempotence": True}), topic, values)
    assert read_all(cluster.brokers, topic) == values * len(CODECS)
    until = time.monotonic() + 10
    while len(set(replicas := logs(cluster, topic))) != 1:  # the last follower may not have written yet
        assert time.monotonic() < until, "the replicas differ"
        time.sleep(0.05)
    assert set(codecs(replicas[0])) == {"none" if target == "uncompressed" else target}


def test_level_of_the_topic(cluster: Nodes) -> None:
    value = b"".join(b"%d," % (i * 7919 % 10007) for i in range(4000))
    sizes = []
    for level in ("1", "9"):
        topic = f"validation-level-{level}"
        create_topic(cluster.brokers, topic, config={"compression.type": "gzip", "compression.gzip.level": level})
        assert not send(producer(cluster), topic, [value])
        log = max(logs(cluster, topic))  # a follower may not have written yet
        assert value in gzip.decompress(log[61:])
        sizes.append(len(log))
    assert sizes[1] < sizes[0]


def test_log_append_time_is_what_the_consumer_sees(cluster: Nodes) -> None:
    create_topic(cluster.brokers, "validation-lat", config={"message.timestamp.type": "LogAppendTime"})
    create_topic(cluster.brokers, "validation-ct")
    began = int(time.time() * 1000)
    for topic in ("validation-lat", "validation-ct"):
        assert not send(producer(cluster, **{"compression.type": "zstd"}), topic, [b"a", b"b"], timestamp=12345)
    ended = int(time.time() * 1000)
    for message in messages(cluster, "validation-lat", 2):
        kind, at = message.timestamp()
        assert kind == TIMESTAMP_LOG_APPEND_TIME
        assert began - 1000 <= at <= ended + 1000
    assert [m.timestamp() for m in messages(cluster, "validation-ct", 2)] == [(TIMESTAMP_CREATE_TIME, 12345)] * 2


def test_a_record_out_of_time_is_refused(cluster: Nodes) -> None:
    create_topic(cluster.brokers, "validation-old", config={"message.timestamp.before.max.ms": "60000"})
    now = int(time.time() * 1000)
    p = producer(cluster)
    for wrong in (now - 120_000, now + 7_200_000):
        [refused] = send(p, "validation-old", [b"v"], timestamp=wrong)
        assert refused.code() == KafkaError.INVALID_TIMESTAMP
    assert not send(p, "validation-old", [b"good"], timestamp=now - 10_000)
    assert read_all(cluster.brokers, "validation-old") == [b"good"]


def test_a_compacted_topic_wants_keys(cluster: Nodes) -> None:
    create_topic(cluster.brokers, "validation-keys", config={"cleanup.policy": "compact"})
    [refused] = send(producer(cluster), "validation-keys", [b"v"])
    assert refused.code() == KafkaError.INVALID_RECORD
    assert not send(producer(cluster), "validation-keys", [b"v"], key=b"k")


def test_what_is_too_large_unpacked_is_refused(cluster: Nodes) -> None:
    config = {"compression.type": "uncompressed", "max.message.bytes": "20000"}
    create_topic(cluster.brokers, "validation-large", config=config)
    p = producer(cluster, **{"compression.type": "gzip"})
    [refused] = send(p, "validation-large", [b"x" * 100_000])
    assert refused.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert not send(p, "validation-large", [b"x" * 10_000])


def test_kcat_with_another_codec_than_the_topic(cluster: Nodes) -> None:
    create_topic(cluster.brokers, "validation-kcat", config={"compression.type": "zstd", "message.timestamp.type": "LogAppendTime"})
    lines = "".join(f"line {i}\n" for i in range(500))
    kcat = ["kcat", "-b", cluster.brokers, "-t", "validation-kcat"]
    subprocess.run([*kcat, "-P", "-z", "gzip"], input=lines, text=True, check=True, timeout=60)
    began = int(time.time() * 1000)
    read = subprocess.run([*kcat, "-C", "-e", "-q", "-f", "%T %s\n"], capture_output=True, text=True, check=True, timeout=60)
    got = [line.split(" ", 1) for line in read.stdout.splitlines()]
    assert "".join(text + "\n" for _, text in got) == lines
    assert all(abs(int(at) - began) < 60_000 for at, _ in got)
    assert set(codecs(logs(cluster, "validation-kcat")[0])) == {"zstd"}
