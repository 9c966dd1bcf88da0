"""What is set while a broker runs outlives it, and holds in its next life."""
import signal
import struct

import pytest
from wire import OneTopic, batch, text

DESCRIBE_CONFIGS, INCREMENTAL_ALTER_CONFIGS, METADATA = 32, 44, 3
BROKER, SET, DELETE = 4, 0, 1
OF_BROKER, OF_CLUSTER, STATIC, DEFAULT = 2, 3, 4, 5  # sources of a value
MESSAGE_TOO_LARGE = 10


def alter(client, broker, **values):
    """Sets them, or deletes those that are None; broker "" is every broker's default."""
    entries = b"".join(text(name.replace("_", ".").encode()) +
                       (struct.pack(">bh", DELETE, -1) if value is None else struct.pack(">b", SET) + text(value))
                       for name, value in values.items())
    body = struct.pack(">ib", 1, BROKER) + text(broker) + struct.pack(">i", len(values)) + entries + b"\0"
    assert client.ask(INCREMENTAL_ALTER_CONFIGS, 0, body)[8:10] == b"\0\0"


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        value, = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def text(self):
        size = self.take("h")
        if size < 0:
            return None
        self.at += size
        return self.data[self.at - size:self.at].decode()


def described(client, *names):
    """name: [(value, source)] of broker 1: what is in effect, then everything it lies over."""
    body = struct.pack(">ib", 1, BROKER) + text(b"1") + struct.pack(">i", len(names))
    answer = Reader(client.ask(DESCRIBE_CONFIGS, 1, body + b"".join(text(n.encode()) for n in names) + b"\1"))
    assert [answer.take("i"), answer.take("i"), answer.take("h")] == [0, 1, 0]
    assert [answer.text(), answer.take("b"), answer.text()] in ([None, BROKER, "1"], ["", BROKER, "1"])
    found = {}
    for _ in range(answer.take("i")):
        name, value, _, source, _ = (answer.text(), answer.text(), answer.take("b"), answer.take("b"), answer.take("b"))
        below = [(answer.text(), answer.text(), answer.take("b")) for _ in range(answer.take("i"))]
        found[name] = [(v, s) for n, v, s in below if n == name]
        assert found[name][:1] == [(value, source)]
    return found


def admitted(port, tries):
    """Those that are served of so many connections that are opened one after the other; the others are closed."""
    served = []
    for _ in range(tries):
        client = OneTopic(port)
        try:
            client.ask(METADATA, 1, struct.pack(">i", 0))
            served.append(client)
        except (AssertionError, ConnectionError):
            pass
    return served


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_configs_of_brokers_outlive_the_process(serve, end):
    def start(ports=None):
        return serve("--config", "log.retention.ms=1000000", "--config", "max.connections.per.ip=50", ports=ports).ready()

    names = ["log.retention.ms", "max.connections.per.ip", "message.max.bytes"]
    node = start()
    client = OneTopic(node.port)
    client.create_topic()
    assert client.produce(batch(b"x" * 2000)) == 0
    alter(client, b"", log_retention_ms=b"2000000", max_connections_per_ip=b"5", message_max_bytes=b"1000")
    alter(client, b"1", max_connections_per_ip=b"3")
    shown = {"log.retention.ms": [("2000000", OF_CLUSTER), ("1000000", STATIC)],
             "max.connections.per.ip": [("3", OF_BROKER), ("5", OF_CLUSTER), ("50", STATIC), ("2147483647", DEFAULT)],
             "message.max.bytes": [("1000", OF_CLUSTER), ("1048588", DEFAULT)]}
    assert described(client, *names) == shown

    node.end(end)
    node = start(ports=node.ports)
    crowd = admitted(node.port, 4)
    assert len(crowd) == 3
    client = crowd[0]
    assert described(client, *names) == shown
    assert client.produce(batch(b"x" * 2000)) == MESSAGE_TOO_LARGE
    assert client.produce(batch(b"x" * 500)) == 0
    alter(client, b"1", max_connections_per_ip=None)  # the cluster's holds again
    alter(client, b"", message_max_bytes=None)

    node.end(end)
    node = start(ports=node.ports)
    crowd = admitted(node.port, 6)
    assert len(crowd) == 5
    client = crowd[0]
    shown["max.connections.per.ip"].pop(0)
    shown["message.max.bytes"].pop(0)
    assert described(client, *names) == shown
    assert client.produce(batch(b"x" * 2000)) == 0
    assert node.end()[0] == 0
