"""Listeners with names: whoever comes by one is told the endpoint that it advertises."""
import signal
import struct
import time

from conftest import Serve, free_ports
from wire import Client, text

METADATA, FIND_COORDINATOR = 3, 10


def told(port):
    """(host, port) of the node, by Metadata and by FindCoordinator."""
    client = Client(port)
    answer = client.ask(METADATA, 1, struct.pack(">i", 0))
    count, node, size = struct.unpack(">iih", answer[:10])
    assert (count, node) == (1, 7)
    found = [(answer[10:10 + size].decode(), struct.unpack_from(">i", answer, 10 + size)[0])]
    until, error = time.monotonic() + 10, None
    while error != 0:  # the first question makes the topic of offsets
        assert time.monotonic() < until, error
        answer = client.ask(FIND_COORDINATOR, 0, text(b"g"))
        error, node, size = struct.unpack(">hih", answer[:8])
    assert node == 7
    return found + [(answer[8:8 + size].decode(), struct.unpack_from(">i", answer, 8 + size)[0])]


def test_each_client_is_told_the_endpoint_of_the_listener_that_it_came_by(tmp_path):
    inside, outside, plain, controller = free_ports(4)
    node = Serve(tmp_path, env={
        "KAFKA_NODE_ID": "7",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"INSIDE://127.0.0.1:{inside},OUT_SIDE://127.0.0.1:{outside},PLAIN://127.0.0.1:{plain},"
                           f"CONTROLLER://127.0.0.1:{controller}",
        "KAFKA_ADVERTISED_LISTENERS": f"OUT_SIDE://kafka.example.org:19092,PLAIN://127.0.0.1:{plain},"
                                      f"INSIDE://localhost:{inside}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT,OUT_SIDE:PLAINTEXT,PLAIN:PLAINTEXT",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"7@127.0.0.1:{controller}",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_NUM_IO_THREADS": "4",
        "KAFKA_BACKGROUND_THREADS": "3",
        "KAFKA_LOG_DIRS": str(tmp_path / "data"),
    })
    try:
        node.ready()
        for port, endpoint in (inside, ("localhost", inside)), (outside, ("kafka.example.org", 19092)), \
                (plain, ("127.0.0.1", plain)):
            assert told(port) == [endpoint] * 2
        assert node.end()[0] == 0
        assert node.text().count("Without effect in this version: background.threads, num.io.threads (server)") == 1
        for said in "Without effect", "background.threads", "num.io.threads":
            assert node.text().count(said) == 1, node.text()
    finally:
        node.end(signal.SIGKILL)
