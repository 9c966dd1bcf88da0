"""aiokafka, a client in pure Python with its own reading of the protocol."""

from __future__ import annotations

import asyncio

import pytest
from nodes import Nodes, check_log, create_topic, leader_of

aiokafka = pytest.importorskip("aiokafka")


def test_produce_and_consume(cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic)

    async def run() -> list[bytes]:
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=cluster.brokers, enable_idempotence=True) as p:
            for i in range(100):
                await p.send_and_wait(topic, b"%d" % i, key=b"k", headers=[("h", b"x")])
        got: list[bytes] = []
        consumer = aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=cluster.brokers, auto_offset_reset="earliest")
        async with consumer as c:
            while len(got) < 100:
                got.append((await asyncio.wait_for(c.getone(), 30)).value)
        return got

    assert asyncio.run(run()) == [b"%d" % i for i in range(100)]


def test_group_of_two(cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic, partitions=4)

    async def run() -> None:
        def member() -> object:
            return aiokafka.AIOKafkaConsumer(
                topic,
                bootstrap_servers=cluster.brokers,
                group_id=topic,
                auto_offset_reset="earliest",
                session_timeout_ms=6000,
                heartbeat_interval_ms=500,
            )

        async with member() as a, member() as b:  # type: ignore[attr-defined]
            async with asyncio.timeout(60):
                while [len(a.assignment()), len(b.assignment())] != [2, 2]:
                    await asyncio.sleep(0.05)
                async with aiokafka.AIOKafkaProducer(bootstrap_servers=cluster.brokers, acks="all") as p:
                    for i in range(200):
                        await p.send(topic, b"%d" % i, partition=i % 4)
                got: list[list[bytes]] = [[], []]
                while sum(map(len, got)) < 200:
                    for mine, c in zip(got, (a, b)):
                        for records in (await c.getmany(timeout_ms=100)).values():
                            mine += [r.value for r in records]
                await a.commit()
                await b.commit()
        assert sorted(got[0] + got[1]) == sorted(b"%d" % i for i in range(200))
        assert len(got[0]) == len(got[1]) == 100

    asyncio.run(run())


def test_kill_of_the_leader_under_load(cluster: Nodes, topic: str, load: int) -> None:
    create_topic(cluster.brokers, topic)
    leader = leader_of(cluster.brokers, topic)
    count = load // 4

    async def run() -> list[bytes]:
        acknowledged: list[bytes] = []
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=cluster.brokers, enable_idempotence=True) as p:
            sent = []
            for i in range(count):
                if i == count // 4:
                    cluster.kill(leader)
                sent.append(await p.send(topic, b"%d" % i))
                await asyncio.sleep(1.0 / count)
            for i, future in enumerate(sent):
                await asyncio.wait_for(future, 60)
                acknowledged.append(b"%d" % i)
        return acknowledged

    acknowledged = asyncio.run(run())
    cluster.restart(leader)
    assert len(acknowledged) == count
    check_log(cluster.brokers, topic, acknowledged)
