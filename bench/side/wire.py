"""Just enough of Kafka's protocol to ask a broker whether it is ready: ApiVersions v0 and Metadata v1."""

import socket
import struct
import time


def call(address, api, version, body=b"", timeout=1.0):
    """One request on a connection of its own; the response's bytes after the correlation id."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout) as s:
        s.settimeout(timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        payload = struct.pack(">hhih", api, version, 1, 5) + b"bench" + body
        s.sendall(struct.pack(">i", len(payload)) + payload)
        size = struct.unpack(">i", read(s, 4))[0]
        return read(s, size)[4:]


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
