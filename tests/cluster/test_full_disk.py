"""A disk that is full (a limit on the size of files stands for it: that needs no rights): the producer is told, the node
ends and says why, and nothing that was acknowledged is lost. In a cluster the others go on."""
import os
import re
import signal
import struct
import tempfile
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from wire import OneTopic, batch

ROOM = 256 << 10
KAFKA_STORAGE_ERROR = 56


def test_the_producer_is_told_and_the_node_says_why(serve):
    node = serve(file_size=ROOM).ready()
    client = OneTopic(node.port)
    client.create_topic()
    acknowledged = []
    for n in range(100):
        records = batch(b"%04d" % n * 2500)
        error = client.produce(records)
        if error:
            break
        acknowledged.append(records[21:])
    assert error == KAFKA_STORAGE_ERROR
    assert len(acknowledged) > 20
    assert node.process.wait(5) == 1
    assert "offline: no space left" in node.text()
    assert re.search(r"Ended with code 1: log directory \S+ failed: this node stops", node.text())

    node = serve(ports=node.ports).ready()
    client = OneTopic(node.port)
    stored = client.fetch()
    assert stored[:len(acknowledged)] == acknowledged
    assert client.produce(batch(b"there is room again")) == 0
    assert len(client.fetch()) == len(stored) + 1
    assert node.end()[0] == 0


def test_records_are_refused_before_the_disk_is_full_however_fast_they_come(serve):
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None  # where nothing else comes and goes
    with tempfile.TemporaryDirectory(dir=shared) as directory:
        space = os.statvfs(directory)
        reserve = space.f_bavail * space.f_frsize - (24 << 20)
        node = serve("--config", f"klamm.disk.reserve.bytes={reserve}", "--config", f"log.dirs={directory}").ready()
        client = OneTopic(node.port)
        client.create_topic()
        accepted, records = 0, batch(b"full" * (240 << 10))
        for _ in range(120):
            if client.produce(records):
                break
            accepted += 1
        assert 2 <= accepted < 64
        assert "is nearly full: records are refused" in node.text()
        assert len(OneTopic(node.port).fetch()) == accepted
        assert node.end()[0] == 0


def test_the_others_go_on(cluster, tmp_path):
    c = cluster("3", "--processes", "--dir", str(tmp_path / "kept"))
    c.kill(2)
    full = c.restart(2, file_size=ROOM)
    admin = AdminClient({"bootstrap.servers": c.brokers})
    wanted = NewTopic("t", 1, replica_assignment=[[2, 1, 3]], config={"min.insync.replicas": "2"})
    admin.create_topics([wanted])["t"].result(30)
    failures = []
    producer = Producer({"bootstrap.servers": c.brokers, "enable.idempotence": True, "linger.ms": 0})
    values = [b"%04d" % n * 2500 for n in range(100)]
    for value in values:
        producer.produce("t", value, partition=0, on_delivery=lambda error, _: error and failures.append(error))
        producer.poll(0)
    assert producer.flush(60) == 0 and not failures
    assert full.process.wait(10) == 1 and "no space left" in full.text()

    again = c.restart(2)
    until = time.monotonic() + 30
    while len(admin.list_topics("t", 10).topics["t"].partitions[0].isrs) < 3:
        assert time.monotonic() < until, "the node did not come back into the ISR"
        time.sleep(0.05)
    consumer = Consumer({"bootstrap.servers": c.brokers, "group.id": "nobody", "enable.auto.commit": False})
    consumer.assign([TopicPartition("t", 0, 0)])
    read = []
    while len(read) < len(values):
        assert time.monotonic() < until + 30
        read += [m.value() for m in consumer.consume(100, 0.2) if m.error() is None]
    consumer.close()
    assert read == values
    again.end(signal.SIGTERM)
