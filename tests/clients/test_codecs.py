"""Every codec of one client is read by the others: librdkafka, kcat, Apache Kafka's own, aiokafka; with --all also those of
test_others.py, each as far as it knows the codec."""

from __future__ import annotations

import asyncio
import subprocess
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer
from confluent_kafka import TopicPartition as Partition
from nodes import Nodes, create_topic
from test_java import java  # noqa: F401  (a fixture)
from test_others import CODECS as OF_OTHERS
from test_others import client, go, js, run  # noqa: F401  (fixtures)

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
COUNT = 200


def values(who: str, codec: str) -> list[str]:
    return [f"{who} {codec} {i} {'x' * (i % 50)}" for i in range(COUNT)]


def librdkafka_writes(brokers: str, topic: str) -> None:
    for codec in CODECS:
        producer = Producer({"bootstrap.servers": brokers, "compression.type": codec, "linger.ms": 20})
        for value in values("librdkafka", codec):
            producer.produce(topic, value.encode(), partition=0)
        assert producer.flush(30) == 0


def kcat_writes(brokers: str, topic: str) -> None:
    for codec in CODECS:
        command = ["kcat", "-b", brokers, "-P", "-t", topic, "-p", "0", "-z", codec, "-X", "linger.ms=20"]
        subprocess.run(command, input="\n".join(values("kcat", codec)) + "\n", text=True, check=True, timeout=60)


def java_writes(brokers: str, topic: str, command: list[str]) -> None:
    for codec in CODECS:
        tool = [*command, "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", brokers, "--topic", topic, "--compression-codec", codec]
        done = subprocess.run(tool, input="\n".join(values("java", codec)) + "\n", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


async def aiokafka_writes(brokers: str, topic: str) -> None:
    for codec in CODECS:
        producer = AIOKafkaProducer(bootstrap_servers=brokers, compression_type=None if codec == "none" else codec, linger_ms=20)
        await producer.start()
        for sent in [await producer.send(topic, value.encode(), partition=0) for value in values("aiokafka", codec)]:
            await sent
        await producer.stop()


def librdkafka_reads(brokers: str, topic: str, count: int) -> list[str]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": topic})
    consumer.assign([Partition(topic, 0, OFFSET_BEGINNING)])
    found: list[str] = []
    until = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < until, len(found)
        for message in consumer.consume(1000, 1.0):
            assert not message.error(), message.error()
            found.append(message.value().decode())
    consumer.close()
    return found


def kcat_reads(brokers: str, topic: str, count: int) -> list[str]:
    command = ["kcat", "-b", brokers, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-c", str(count)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


def java_reads(brokers: str, topic: str, count: int, command: list[str]) -> list[str]:
    tool = [*command, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", brokers, "--topic", topic, "--from-beginning",
            "--max-messages", str(count), "--timeout-ms", "30000"]
    return subprocess.run(tool, capture_output=True, text=True, timeout=60).stdout.splitlines()


async def aiokafka_reads(brokers: str, topic: str, count: int) -> list[str]:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    found = [(await asyncio.wait_for(consumer.getone(), 30)).value.decode() for _ in range(count)]
    await consumer.stop()
    return found


def test_every_codec_of_one_client_is_read_by_the_others(cluster: Nodes, topic: str, java: list[str]) -> None:  # noqa: F811
    create_topic(cluster.brokers, topic)
    librdkafka_writes(cluster.brokers, topic)
    kcat_writes(cluster.brokers, topic)
    java_writes(cluster.brokers, topic, java)
    asyncio.run(aiokafka_writes(cluster.brokers, topic))
    wanted = [value for who in ("librdkafka", "kcat", "java", "aiokafka") for codec in CODECS for value in values(who, codec)]
    assert librdkafka_reads(cluster.brokers, topic, len(wanted)) == wanted
    assert kcat_reads(cluster.brokers, topic, len(wanted)) == wanted
    assert java_reads(cluster.brokers, topic, len(wanted), java) == wanted
    assert asyncio.run(aiokafka_reads(cluster.brokers, topic, len(wanted))) == wanted


def test_every_codec_of_another_family_is_read_here_and_back(cluster: Nodes, topic: str, client: list[str]) -> None:  # noqa: F811
    """Of each client of test_others.py: what it writes is read by librdkafka and aiokafka; what librdkafka writes, by it."""
    for codec in OF_OTHERS[client[-1]]:
        name = f"{topic}-{codec}".replace("[", "-").replace("]", "")
        create_topic(cluster.brokers, name)
        wanted = run(client, "produce", cluster.brokers, name, str(COUNT), "0", codec)
        assert len(wanted) == COUNT
        producer = Producer({"bootstrap.servers": cluster.brokers, "compression.type": codec, "linger.ms": 20})
        for value in values("librdkafka", codec):
            producer.produce(name, value.encode(), partition=0)
        assert producer.flush(30) == 0
        wanted += values("librdkafka", codec)
        assert librdkafka_reads(cluster.brokers, name, len(wanted)) == wanted
        assert asyncio.run(aiokafka_reads(cluster.brokers, name, len(wanted))) == wanted
        assert run(client, "consume", cluster.brokers, name, f"{name}-there", "2") == wanted
