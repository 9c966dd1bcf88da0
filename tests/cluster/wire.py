"""Kafka's frames, for requests that no client would send."""
import socket
import struct


def receive(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, f"closed after {len(data)} of {size} bytes"
        data += piece
    return data


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
