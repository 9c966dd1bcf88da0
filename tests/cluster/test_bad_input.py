"""What a hostile or broken peer may send to a node: it costs that connection at most, and bounded memory."""
import pathlib
import random
import socket
import struct

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

API_VERSIONS, METADATA, PRODUCE = 18, 3, 0


def frame(body):
    return struct.pack(">i", len(body)) + body


def request(api, version, body=b"", correlation=7):
    client = b"bad"
    return frame(struct.pack(">hhih", api, version, correlation, len(client)) + client + body)


class Peer:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(5)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # closed meanwhile: `closed` tells
        return self

    def answer(self):
        """The frame's content, or None when the node closed the connection."""
        data = b""
        try:
            while len(data) < 4 or len(data) < 4 + struct.unpack(">i", data[:4])[0]:
                piece = self.socket.recv(65536)
                if not piece:
                    return None
                data += piece
        except ConnectionError:
            return None
        return data[4:]

    def closed(self):
        return self.answer() is None


def serves(port):
    return Peer(port).send(request(API_VERSIONS, 0)).answer()[:6] == struct.pack(">ih", 7, 0)


def resident(node):
    status = pathlib.Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.fixture
def node(serve):
    return serve().ready()


@pytest.mark.parametrize("data", [
    struct.pack(">i", -1), struct.pack(">i", -2**31), struct.pack(">i", 2**31 - 1), struct.pack(">i", 200 << 20),
    frame(b""), frame(b"\0"), frame(b"\0\x12\0"), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" * 40,
], ids=["minus-one", "least", "largest", "over-the-limit", "empty", "one-byte", "cut-header", "http", "tls"])
def test_a_frame_that_makes_no_sense_closes_only_its_connection(node, data):
    other = Peer(node.port).send(request(API_VERSIONS, 0))
    assert other.answer()
    assert Peer(node.port).send(data).closed()
    assert other.send(request(API_VERSIONS, 0)).answer(), "another connection suffered"


@pytest.mark.parametrize("api, version", [(999, 0), (-1, 0), (METADATA, 99), (METADATA, -1), (PRODUCE, 2), (4, 0), (52, 0)])
def test_what_is_not_served_closes_the_connection(node, api, version):
    assert Peer(node.port).send(request(api, version)).closed()
    assert serves(node.port)


def test_an_unknown_version_of_api_versions_is_answered_in_version_0(node):
    answer = Peer(node.port).send(request(API_VERSIONS, 77, b"\0")).answer()  # its header has tagged fields: none
    assert struct.unpack(">ihihhh", answer[:16]) == (7, 35, 1, 18, 0, 4)


def test_half_a_request_and_silence_holds_up_nobody(node):
    silent = [Peer(node.port).send(request(API_VERSIONS, 0)[:n]) for n in (1, 3, 4, 7, 12) for _ in range(20)]
    assert serves(node.port)
    assert silent[0].send(request(API_VERSIONS, 0)[1:]).answer(), "the rest came late, but it came"


def test_claimed_sizes_take_no_memory(node):
    before = resident(node)
    peers = [Peer(node.port).send(struct.pack(">i", 90 << 20) + b"\0" * 1000) for _ in range(50)]
    assert serves(node.port)
    assert resident(node) - before < 32 * 1024, "50 connections that claim 90 MiB each"
    assert len(peers) == 50


def test_claimed_counts_take_no_memory(node):
    before = resident(node)
    for _ in range(20):
        assert Peer(node.port).send(request(METADATA, 1, struct.pack(">i", 2**31 - 1))).closed()
    assert resident(node) - before < 32 * 1024
    assert serves(node.port)


def test_random_bytes_and_flipped_bits(node):
    chance = random.Random(1)
    good = request(METADATA, 1, struct.pack(">i", -1))
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        Peer(node.port).send(bytes(data)).socket.close()
        Peer(node.port).send(chance.randbytes(chance.randrange(1, 200))).socket.close()
    assert serves(node.port)
    assert node.process.poll() is None


def test_a_full_disk_refuses_records_and_nothing_else(serve):
    node = serve("--config", f"klamm.disk.reserve.bytes={2**60}").ready()
    failed = []
    producer = Producer({"bootstrap.servers": f"127.0.0.1:{node.port}", "message.timeout.ms": 1500})
    producer.produce("full", b"one", on_delivery=lambda error, _: failed.append(error))
    producer.flush(10)
    assert len(failed) == 1 and failed[0] is not None
    node.wait_for("is nearly full: records are refused")
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{node.port}"})
    assert "full" in admin.list_topics(timeout=5).topics
    assert node.end()[0] == 0
