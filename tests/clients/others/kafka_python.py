"""kafka-python behind the command line that test_others.py speaks; see go/main.go."""

from __future__ import annotations

import sys
import time

from kafka import KafkaConsumer, KafkaProducer


def produce(brokers: str, topic: str, count: str, seconds: str, codec: str) -> None:
    compression = None if codec == "none" else codec
    producer = KafkaProducer(bootstrap_servers=brokers, acks="all", enable_idempotence=True, compression_type=compression)
    start, told = time.monotonic(), 0
    sent = []
    for i in range(int(count)):
        time.sleep(max(0.0, start + float(seconds) * i / int(count) - time.monotonic()))
        sent.append(producer.send(topic, str(i).encode()))
        while told < len(sent) and sent[told].is_done:  # a callback added late may never be called
            sent[told].get(0)
            print(told, flush=True)
            told += 1
    for i in range(told, len(sent)):
        sent[i].get(60)
        print(i)
    producer.close()


def consume(brokers: str, topic: str, group: str, seconds: str) -> None:
    consumer = KafkaConsumer(topic, bootstrap_servers=brokers, group_id=group, auto_offset_reset="earliest")
    last = time.monotonic()
    while time.monotonic() - last < float(seconds):
        if not consumer.assignment():
            last = time.monotonic()
        for records in consumer.poll(100).values():
            last = time.monotonic()
            for r in records:
                print(r.value.decode())
    consumer.close()


if __name__ == "__main__":
    {"produce": produce, "consume": consume}[sys.argv[2]](*sys.argv[3:])
