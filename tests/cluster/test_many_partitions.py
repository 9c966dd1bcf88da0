"""A topic of 10,000 partitions, from one life of its node to the next."""
import signal
import struct
import time

from wire import CREATE_TOPICS, FETCH, PRODUCE, Client, batch

METADATA, LIST_OFFSETS = 3, 2
COUNT, STRIDE = 10_000, 100


def create(client):
    answer = client.ask(CREATE_TOPICS, 2, struct.pack(">ih1sihiiib", 1, 1, b"t", COUNT, 1, 0, 0, 60000, 0))
    assert answer[-4:-2] == b"\0\0"


def leaders(client):
    """By partition: (error, leader)."""
    answer = client.ask(METADATA, 1, struct.pack(">ih1s", 1, 1, b"t"))
    at = len(answer) - COUNT * 26  # each with one replica, in sync
    found = {}
    for i in range(COUNT):
        error, partition, leader = struct.unpack_from(">hii", answer, at + i * 26)
        found[partition] = error, leader
    assert struct.unpack_from(">i", answer, at - 4)[0] == COUNT
    return found


def ends(client):
    """By partition: (error, log end offset), as only its leader tells."""
    asked = b"".join(struct.pack(">iq", i, -1) for i in range(COUNT))
    answer = client.ask(LIST_OFFSETS, 1, struct.pack(">iih1si", -1, 1, 1, b"t", COUNT) + asked)
    rows = (struct.unpack_from(">ihqq", answer, 11 + i * 22) for i in range(COUNT))
    return {partition: (error, offset) for partition, error, _, offset in rows}


def value(partition, life):
    return b"%d of life %d" % (partition, life)


def write(client, life):
    for partition in range(0, COUNT, STRIDE):
        records = batch(value(partition, life))
        answer = client.ask(PRODUCE, 3, struct.pack(">hhiih1siii", -1, -1, 5000, 1, 1, b"t", 1, partition, len(records)) +
                            records)
        assert struct.unpack(">h", answer[15:17])[0] == 0


def fetch(client, partition, offset):
    body = struct.pack(">iiiibih1siiqi", -1, 0, 0, 1 << 20, 0, 1, 1, b"t", 1, partition, offset, 1 << 20)
    answer = client.ask(FETCH, 4, body)
    assert struct.unpack(">h", answer[19:21])[0] == 0
    return answer[45:]


def check(client, lives):
    until = time.monotonic() + 30
    while {error for error, _ in ends(client).values()} != {0}:
        assert time.monotonic() < until, "partitions without a leader"
        time.sleep(0.02)
    assert leaders(client) == {i: (0, 1) for i in range(COUNT)}
    assert ends(client) == {i: (0, 0 if i % STRIDE else lives) for i in range(COUNT)}
    for partition in range(0, COUNT, STRIDE):
        offset = 0
        while data := fetch(client, partition, offset):
            while data:
                base, length = struct.unpack(">qi", data[:12])
                assert base == offset and data[21:12 + length] == batch(value(partition, offset))[21:]
                data, offset = data[12 + length:], offset + 1
        assert offset == lives



def test_ten_thousand_partitions_lead_after_each_kind_of_end(serve):
    config = ("--config", "log.retention.ms=-1")  # the records are of 1970
    node = serve(*config).ready()
    client = Client(node.port, 60)
    create(client)
    for life, end in enumerate([signal.SIGKILL, signal.SIGTERM, signal.SIGKILL]):
        write(client, life)
        check(client, life + 1)
        assert node.end(end)[0] == (0 if end == signal.SIGTERM else -end)
        node = serve(*config, ports=node.ports).ready()
        client = Client(node.port, 60)
        check(client, life + 1)
    assert node.end()[0] == 0
