"""Kafka's frames, for requests that no client would send."""
import socket
import struct

PRODUCE, FETCH, CREATE_TOPICS = 0, 1, 19


def receive(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, f"closed after {len(data)} of {size} bytes"
        data += piece
    return data


def text(value):
    return struct.pack(">h", len(value)) + value


def fetch(offset, most, wait=0):
    """The body of a Fetch 4 of the only partition of t: at most so many bytes of it, and in all; waits for some."""
    return struct.pack(">iiiibih1siiqi", -1, wait, 1 if wait else 0, most, 0, 1, 1, b"t", 1, 0, offset, most)


class Client:
    """Speaks versions from before flexible headers."""

    def __init__(self, port, seconds=10):
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)

    def ask(self, api, version, body, name=b"t"):
        """The body of the answer."""
        frame = struct.pack(">hhih", api, version, 7, len(name)) + name + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        size, correlation = struct.unpack(">ii", receive(self.socket, 8))
        assert correlation == 7
        return receive(self.socket, size - 4)


def _crc_table():
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def varint(n):
    n = n << 1 ^ n >> 63
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def batch(value, codec=0, compress=bytes):
    """One record. What follows the first 21 bytes is under its checksum: a broker stores it as it came."""
    record = b"\0" + varint(0) * 2 + varint(-1) + varint(len(value)) + value + varint(0)
    rest = struct.pack(">hiqqqhii", codec, 0, 0, 0, -1, -1, -1, 1) + compress(varint(len(record)) + record)
    return struct.pack(">qiibI", 0, 9 + len(rest), -1, 2, crc32c(rest)) + rest


class OneTopic(Client):
    def create_topic(self):
        answer = self.ask(CREATE_TOPICS, 2, struct.pack(">ih1sihiiib", 1, 1, b"t", 1, 1, 0, 0, 5000, 0))
        assert answer[-4:-2] == b"\0\0"

    def produce(self, records):
        """The error."""
        answer = self.ask(PRODUCE, 3, struct.pack(">hhiih1siii", -1, -1, 5000, 1, 1, b"t", 1, 0, len(records)) + records)
        return struct.unpack(">h", answer[15:17])[0]

    def fetch(self):
        """Every batch, but for its first 21 bytes."""
        found, offset = [], 0
        while True:
            answer = self.ask(FETCH, 4, fetch(offset, 8 << 20))
            assert struct.unpack(">h", answer[19:21])[0] == 0
            data = answer[45:]
            if not data:
                return found
            while data:
                base, length = struct.unpack(">qi", data[:12])
                found.append(data[21:12 + length])
                data, offset = data[12 + length:], base + 1
