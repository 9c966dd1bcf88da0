"""Old records are read while new ones are written: they go from the files to the readers, past the node's memory."""
import pathlib
import socket
import struct
import threading
import time

import pytest
from test_load import KIB, MIB, frame, memory
from wire import FETCH, OneTopic, batch, fetch, receive

DELETE_RECORDS = 21
EACH = 1_000_000


@pytest.fixture(scope="module")
def batches():
    """A few large ones that differ; the log repeats them."""
    return [batch(bytes([i]) * EACH) for i in range(5)]


@pytest.fixture
def start(serve, tmp_path):
    def start(*config, ports=None):
        config = ["log.retention.ms=-1", "log.segment.bytes=30000000", f"log.dirs={tmp_path}/data", *config]
        return serve(*(part for c in config for part in ("--config", c)), ports=ports).ready()

    start.logs = lambda: sorted((tmp_path / "data" / "t-0").glob("*.log*"))
    return start


def written(client, batches, count):
    client.create_topic()
    for i in range(count):
        assert client.produce(batches[i % len(batches)]) == 0


def ask_from(connection, offset, most):
    connection.sendall(frame(FETCH, 4, fetch(offset, most)))


def whole(records, batches, offset):
    """Checks all that is there, the last batch perhaps in part; the next offset."""
    at = 0
    while at < len(records):
        sent = batches[offset % len(batches)]
        part = records[at:at + len(sent)]
        assert part[21:] == sent[21:len(part)]
        if len(part) == len(sent):
            assert struct.unpack(">q", part[:8])[0] == offset
            offset += 1
        at += len(part)
    return offset


def records_of(connection):
    answer = receive(connection, struct.unpack(">i", receive(connection, 4))[0])
    assert answer[19 + 4:21 + 4] == b"\0\0"
    size = struct.unpack(">i", answer[45:49])[0]
    assert size == len(answer) - 49
    return answer[49:]


def read_all(port, batches, end, most):
    connection = socket.create_connection(("127.0.0.1", port), 60)
    offset = 0
    while offset < end:
        ask_from(connection, offset, most)
        following = whole(records_of(connection), batches, offset)
        assert following > offset
        offset = following
    connection.close()


def test_many_read_what_is_old_while_one_writes(start, batches):
    count = 200
    node = start()
    written(OneTopic(node.port), batches, count)
    assert node.end()[0] == 0
    node = start(ports=node.ports)
    failures = []

    def reader(most):
        try:
            read_all(node.port, batches, count, most)
        except Exception as e:  # noqa: BLE001
            failures.append(e)

    before = memory(node)
    readers = [threading.Thread(target=reader, args=(most,)) for most in (MIB, 3 * MIB, 50 * MIB)]
    for r in readers:
        r.start()
    producer, most = OneTopic(node.port), 0
    while any(r.is_alive() for r in readers):
        assert producer.produce(batch(b"new")) == 0
        most = max(most, memory(node))
        time.sleep(0.01)
    for r in readers:
        r.join()
    assert not failures, failures
    assert most - before < 24 * MIB
    assert node.end()[0] == 0


def stopped_readers(node, count, most):
    """That ask for everything and take only the beginning."""
    crowd = []
    for _ in range(count):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", node.port))
        one.settimeout(60)
        ask_from(one, 0, most)
        crowd.append((one, receive(one, 100 * KIB)))
    return crowd


def test_readers_that_stop_in_the_middle_cost_nothing(start, batches):
    node = start()
    client = OneTopic(node.port)
    written(client, batches, 60)
    before = memory(node)
    crowd = stopped_readers(node, 60, 25 * MIB)
    for _ in range(50):
        assert client.produce(batch(b"new")) == 0
    assert memory(node) - before < 8 * MIB
    one, begun = crowd.pop()
    size = struct.unpack(">i", begun[:4])[0] + 4
    assert size > 20 * MIB
    answer = begun + receive(one, size - len(begun))
    assert whole(answer[53:], batches, 0) > 20
    for one, _ in crowd:
        one.close()
    assert node.end()[0] == 0


def leased(node):
    """Files that are gone but for those who read them."""
    found = []
    for link in pathlib.Path(f"/proc/{node.process.pid}/fd").iterdir():
        try:
            found += [t for t in [str(link.readlink())] if t.endswith(".deleted (deleted)")]
        except FileNotFoundError:
            pass
    return found


def wait_until(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_retention_removes_is_read_to_its_end(start, batches):
    node = start("log.retention.check.interval.ms=100", "log.segment.delete.delay.ms=0")
    client = OneTopic(node.port)
    written(client, batches, 70)
    (one, begun), (gone, _) = stopped_readers(node, 2, 25 * MIB)
    client.ask(DELETE_RECORDS, 0, struct.pack(">ih1siiqi", 1, 1, b"t", 1, 0, 65, 5000))
    wait_until(lambda: len(start.logs()) == 1)
    assert len(leased(node)) == 1
    gone.close()
    size = struct.unpack(">i", begun[:4])[0] + 4
    answer = begun + receive(one, size - len(begun))
    assert whole(answer[53:], batches, 0) > 20
    wait_until(lambda: not leased(node))
    ask_from(one, 0, MIB)
    answer = receive(one, struct.unpack(">i", receive(one, 4))[0])
    assert answer[23:25] == b"\0\1", "OFFSET_OUT_OF_RANGE"
    assert client.produce(batch(b"new")) == 0
    assert node.end()[0] == 0
