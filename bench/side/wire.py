"""Kafka's frames, and just enough of its protocol to ask a broker whether it is ready: ApiVersions v0 and Metadata v1."""

import socket
import struct
import time


class Connection:
    """Requests one after the other, of versions from before flexible headers."""

    def __init__(self, address, timeout=1.0):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, api, version, body=b""):
        """The response's bytes after the correlation id."""
        payload = struct.pack(">hhih", api, version, 1, 5) + b"bench" + body
        self.socket.sendall(struct.pack(">i", len(payload)) + payload)
        return read(self.socket, struct.unpack(">i", read(self.socket, 4))[0])[4:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def call(address, api, version, body=b"", timeout=1.0):
    """One request on a connection of its own."""
    with Connection(address, timeout) as c:
        return c.call(api, version, body)


def read(s, size):
    got = b""
    while len(got) < size:
        more = s.recv(size - len(got))
        if not more:
            raise ConnectionError("closed in the middle of a reply")
        got += more
    return got


def brokers_known(address):
    """How many brokers this one names to its clients."""
    return struct.unpack(">i", call(address, 3, 1, struct.pack(">i", 0))[:4])[0]


def leaders(address, topic):
    """How many partitions of the topic have a leader, by Metadata v1."""
    answer = call(address, 3, 1, struct.pack(">ih", 1, len(topic)) + topic, 30)
    at = 4
    for _ in range(struct.unpack_from(">i", answer)[0]):  # brokers: id, host, port, rack
        at += 4
        at += 2 + struct.unpack_from(">h", answer, at)[0] + 4
        at += 2 + max(struct.unpack_from(">h", answer, at)[0], 0)
    at += 4 + 4  # the controller, one topic
    at += 2
    at += 2 + struct.unpack_from(">h", answer, at)[0] + 1
    led, count = 0, struct.unpack_from(">i", answer, at)[0]
    at += 4
    for _ in range(count):
        led += struct.unpack_from(">i", answer, at + 6)[0] >= 0
        at += 10
        for _ in range(2):  # replicas, isr
            at += 4 + 4 * struct.unpack_from(">i", answer, at)[0]
    return led


def wait_ready(addresses, timeout_s=60.0):
    """Until each broker answers ApiVersions and names all the others."""
    give_up = time.monotonic() + timeout_s
    for address in addresses:
        while True:
            try:
                call(address, 18, 0)
                if brokers_known(address) == len(addresses):
                    break
            except (OSError, struct.error):
                pass
            if time.monotonic() > give_up:
                raise TimeoutError(f"{address} was not ready in {timeout_s:.0f} s")
            time.sleep(0.0005)
