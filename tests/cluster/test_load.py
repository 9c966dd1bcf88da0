"""Many connections, readers that do not read, batches that unpack to much: the node serves on, in bounded memory."""
import gzip
import resource
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from wire import FETCH, PRODUCE, Client, OneTopic, batch, fetch, receive, text

KIB, MIB = 1 << 10, 1 << 20
METADATA, INCREMENTAL_ALTER_CONFIGS = 3, 44
MESSAGE_TOO_LARGE = 10


@pytest.fixture
def node(serve):
    return serve().ready()


@pytest.fixture(autouse=True)
def descriptors():
    """As many as this process may have; for the test only."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    yield limits[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def memory(node, what="Anonymous"):
    """Bytes of the node's own, without the pages of files."""
    with open(f"/proc/{node.process.pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) * KIB for line in f if line.startswith(what))


def peak(node):
    with open(f"/proc/{node.process.pid}/status") as f:
        return next(int(line.split()[1]) * KIB for line in f if line.startswith("VmHWM"))


def frame(api, version, body):
    data = struct.pack(">hhih", api, version, 7, 1) + b"t" + body
    return struct.pack(">i", len(data)) + data


def produce(records):
    return frame(PRODUCE, 3, struct.pack(">hhiih1siii", -1, -1, 60000, 1, 1, b"t", 1, 0, len(records)) + records)


def fetch_all(offset):
    return frame(FETCH, 4, fetch(offset, (1 << 31) - 1))


def answer_to(connection):
    """The next one, without its size."""
    return receive(connection, struct.unpack(">i", receive(connection, 4))[0])


def test_connections_that_ask_nothing_cost_little(node, descriptors):
    count = min(10_000, descriptors - 500)
    before = memory(node)
    crowd = [socket.create_connection(("127.0.0.1", node.port), 10) for _ in range(count)]
    for one in crowd:
        one.sendall(frame(18, 0, b""))
    for one in crowd:
        answer_to(one)
    assert (memory(node) - before) / count < 8 * KIB
    client = OneTopic(node.port)
    client.create_topic()
    assert client.produce(batch(b"among many")) == 0
    for one in crowd:
        one.close()
    assert OneTopic(node.port).produce(batch(b"alone")) == 0
    assert node.end()[0] == 0


def test_connections_of_an_address_are_limited_while_the_broker_runs(node):
    def closes(client):
        try:
            return client.ask(METADATA, 1, struct.pack(">i", 0)) is None
        except (AssertionError, ConnectionError):
            return True

    def limit(operation, value):
        entry = text(b"max.connections.per.ip") + struct.pack(">b", operation) + value
        body = struct.pack(">ib", 1, 4) + text(b"") + struct.pack(">i", 1) + entry + b"\0"
        assert admin.ask(INCREMENTAL_ALTER_CONFIGS, 0, body)[8:10] == b"\0\0"

    admin = Client(node.port)
    limit(0, text(b"3"))
    others = [Client(node.port) for _ in range(3)]
    assert [closes(one) for one in others] == [False, False, True]
    limit(1, struct.pack(">h", -1))  # the default again
    assert not closes(Client(node.port))
    assert node.end()[0] == 0


def test_two_thousand_connections_write_and_read_at_once(node, descriptors):
    count, rounds, each = min(2_000, descriptors - 500), 3, 2
    OneTopic(node.port).create_topic()
    crowd = [socket.create_connection(("127.0.0.1", node.port), 60) for _ in range(count)]
    sent = {}  # by the offset that was acknowledged
    for turn in range(rounds):
        writes = [[batch(b"%d of %d in turn %d" % (i, who, turn)) for i in range(each)] for who in range(count)]
        for one, mine in zip(crowd, writes):
            one.sendall(b"".join(produce(records) for records in mine))
        lasts = []
        for one, mine in zip(crowd, writes):
            offsets = []
            for records in mine:
                error, offset = struct.unpack(">hq", answer_to(one)[19:29])
                assert error == 0
                offsets.append(offset)
                sent[offset] = records[21:]
            assert offsets == sorted(offsets)
            lasts.append(offsets[-1])
        for one, offset in zip(crowd, lasts):
            one.sendall(frame(FETCH, 4, fetch(offset, 1)))  # the first batch comes whole
        for one, offset in zip(crowd, lasts):
            found = answer_to(one)[49:]
            assert struct.unpack(">q", found[:8])[0] == offset and found[21:] == sent[offset]
    for one in crowd:
        one.close()
    total = count * rounds * each
    assert sorted(sent) == list(range(total))
    assert OneTopic(node.port).fetch() == [sent[offset] for offset in range(total)]
    assert node.end()[0] == 0


def test_readers_that_do_not_read_share_what_they_wait_for(node):
    client = OneTopic(node.port)
    client.create_topic()
    for _ in range(40):
        assert client.produce(batch(b"x" * 900_000)) == 0
    before = memory(node)
    crowd = []
    for _ in range(100):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", node.port))
        one.sendall(fetch_all(0) * 4)
        crowd.append(one)
    for _ in range(20):
        assert client.produce(batch(b"more")) == 0
    assert memory(node) - before < 64 * MIB
    one = crowd[0]
    one.settimeout(30)
    size = struct.unpack(">i", receive(one, 4))[0]
    assert size > 900_000
    receive(one, size)
    for one in crowd:
        one.close()
    assert node.end()[0] == 0


def test_fifty_read_everything_at_once(node):
    batches, readers = 40, 50
    records = batch(b"x" * 900_000)
    client = OneTopic(node.port)
    client.create_topic()
    for _ in range(batches):
        assert client.produce(records) == 0
    before = memory(node)

    def read(_):
        reader, offset, seen = Client(node.port, 60), 0, 0
        while offset < batches:
            answer = memoryview(reader.ask(FETCH, 4, fetch(offset, MIB)))[45:]
            base, length = struct.unpack_from(">qi", answer)
            assert base == offset
            seen = zlib.crc32(answer[21:12 + length], seen)
            offset += 1
        return seen

    expected = 0
    for _ in range(batches):
        expected = zlib.crc32(records[21:], expected)
    with ThreadPoolExecutor(readers) as pool:
        assert set(pool.map(read, range(readers))) == {expected}
    assert memory(node) - before < 64 * MIB
    assert node.end()[0] == 0


def test_a_batch_of_exactly_the_limit_is_taken(node):
    limit = 1_048_588  # max.message.bytes
    client = OneTopic(node.port)
    client.create_topic()
    beside = len(batch(b"x" * 1_000_000)) - 1_000_000
    largest = batch(b"x" * (limit - beside))
    assert len(largest) == limit
    assert client.produce(largest) == 0
    assert client.produce(batch(b"x" * (limit - beside + 1))) == MESSAGE_TOO_LARGE
    assert [len(found) + 21 for found in client.fetch()] == [limit]


def test_what_unpacks_to_much_is_refused_in_little_memory(node):
    client = OneTopic(node.port)
    client.create_topic()
    bomb = batch(bytes(800 * MIB), 1, lambda b: gzip.compress(b, 9))
    assert len(bomb) < MIB
    before = peak(node)
    for _ in range(5):
        assert client.produce(bomb) == MESSAGE_TOO_LARGE
    assert peak(node) - before < 3 * 64 * MIB  # a buffer that grows to the limit by doubling
    assert client.produce(batch(b"x" * 500_000, 1, lambda b: gzip.compress(b, 9))) == 0
    assert node.end()[0] == 0


def test_slow_writers_hold_up_nobody(node):
    count = 400
    client = OneTopic(node.port)
    client.create_topic()
    slow = [socket.create_connection(("127.0.0.1", node.port), 60) for _ in range(count)]
    for one in slow:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    theirs = [batch(b"drop by drop %3d" % who) for who in range(count)]
    before = memory(node)
    acknowledged = []
    for drop in zip(*map(produce, theirs)):
        for one, byte in zip(slow, drop):
            one.send(bytes([byte]))
        mine = batch(b"meanwhile %d" % len(acknowledged))
        assert client.produce(mine) == 0
        acknowledged.append(mine)
    assert memory(node) - before < count * 8 * KIB
    offsets = set()
    for one, records in zip(slow, theirs):
        error, offset = struct.unpack(">hq", answer_to(one)[19:29])
        assert error == 0
        offsets.add(offset)
        one.close()
    assert len(offsets) == count
    found = client.fetch()
    assert {found[offset] for offset in offsets} == {records[21:] for records in theirs}
    assert [b for i, b in enumerate(found) if i not in offsets] == [b[21:] for b in acknowledged]
    assert node.end()[0] == 0
