"""confluent-kafka, that is librdkafka."""

from __future__ import annotations

import threading
import time

from confluent_kafka import Consumer, Producer
from nodes import Nodes, check_log, create_topic, leader_of, read_all

Acknowledged = list[bytes]


def producer(cluster: Nodes, **more: object) -> Producer:
    return Producer({"bootstrap.servers": cluster.brokers, "enable.idempotence": True, "linger.ms": 1, **more})


def test_produce_and_consume(cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic, partitions=3)
    p = producer(cluster, **{"compression.type": "lz4"})
    for i in range(300):
        p.produce(topic, b"value-%d" % i, key=b"key-%d" % (i % 10), headers=[("n", b"%d" % i)])
    assert p.flush(30) == 0
    values = [v for partition in range(3) for v in read_all(cluster.brokers, topic, partition)]
    assert sorted(values) == sorted(b"value-%d" % i for i in range(300))


def test_group_of_two(cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic, partitions=4)
    settings = {
        "bootstrap.servers": cluster.brokers,
        "group.id": topic,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 6000,
        "partition.assignment.strategy": "range",
    }
    members = [Consumer(settings), Consumer(settings)]
    got: list[list[bytes]] = [[], []]
    try:
        for m in members:
            m.subscribe([topic])
        until = time.monotonic() + 60
        while [len(m.assignment()) for m in members] != [2, 2]:
            assert time.monotonic() < until, "the partitions were not shared"
            for i, m in enumerate(members):
                got[i] += [x.value() for x in m.consume(10, 0.1)]
        p = producer(cluster)
        for i in range(200):
            p.produce(topic, b"%d" % i, partition=i % 4)
        assert p.flush(30) == 0
        while sum(map(len, got)) < 200:
            assert time.monotonic() < until, f"only {[len(g) for g in got]} of 200 came"
            for i, m in enumerate(members):
                got[i] += [x.value() for x in m.consume(100, 0.1)]
        assert sorted(got[0] + got[1]) == sorted(b"%d" % i for i in range(200))
        assert len(got[0]) == len(got[1]) == 100
        for m in members:
            m.commit(asynchronous=False)
    finally:
        for m in members:
            m.close()
    # A later member of the group goes on behind what was committed.
    late = Consumer(settings)
    try:
        late.subscribe([topic])
        p = producer(cluster)
        p.produce(topic, b"late", partition=0)
        assert p.flush(30) == 0
        values: list[bytes] = []
        while not values:
            assert time.monotonic() < until + 30
            values += [x.value() for x in late.consume(100, 0.2)]
        assert values == [b"late"]
    finally:
        late.close()


def test_kill_of_the_leader_under_load(cluster: Nodes, topic: str, load: int) -> None:
    create_topic(cluster.brokers, topic)
    leader = leader_of(cluster.brokers, topic)
    acknowledged: Acknowledged = []
    failed: list[str] = []

    def told(error: object, message: object) -> None:
        if error:
            failed.append(str(error))
        else:
            acknowledged.append(message.value())  # type: ignore[attr-defined]

    p = producer(cluster)
    killer = threading.Timer(0.5, cluster.kill, [leader])
    killer.start()
    began = time.monotonic()
    for i in range(load):
        p.produce(topic, b"%d" % i, on_delivery=told)
        p.poll(0)
        time.sleep(max(0.0, began + i * 2.0 / load - time.monotonic()))
    assert p.flush(60) == 0
    killer.join()
    cluster.restart(leader)
    assert not failed, failed[:3]
    assert acknowledged == [b"%d" % i for i in range(load)]
    check_log(cluster.brokers, topic, acknowledged)
