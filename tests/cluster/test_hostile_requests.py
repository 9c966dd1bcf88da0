"""Requests that are well formed and meant badly: they are refused, and the node serves on."""
import resource
import socket
import struct
import time
from pathlib import Path

import pytest
from wire import Client, text

DESCRIBE_CONFIGS = 32
FIND_COORDINATOR, OFFSET_COMMIT, OFFSET_FETCH, CREATE_TOPICS, DELETE_TOPICS, JOIN_GROUP = 10, 8, 9, 19, 20, 11
COORDINATOR_ERRORS = {14, 15, 16}  # loading, not available, not here
LONGEST = b"x" * 32767


def peak_mib(node):
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Evil(Client):
    def create(self, topic):
        body = struct.pack(">i", 1) + text(topic) + struct.pack(">ihiiib", 1, 1, 0, 0, 5000, 0)
        answer = self.ask(CREATE_TOPICS, 2, body)
        return struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic))[0]

    def delete(self, topic):
        return self.ask(DELETE_TOPICS, 1, struct.pack(">i", 1) + text(topic) + struct.pack(">i", 5000))

    def commit(self, topic, offset, group=b"g"):
        body = text(group) + struct.pack(">i", -1) + text(b"") + struct.pack(">qi", -1, 1)
        body += text(topic) + struct.pack(">iiq", 1, 0, offset) + text(b"")
        return struct.unpack(">h", self.until_served(OFFSET_COMMIT, 2, body)[-2:])[0]

    def committed(self, topic, group=b"g"):
        answer = self.until_served(OFFSET_FETCH, 1, text(group) + struct.pack(">i", 1) + text(topic) + struct.pack(">ii", 1, 0))
        return struct.unpack_from(">q", answer, 4 + 2 + len(topic) + 4 + 4)[0]

    def until_served(self, api, version, body, name=b"t"):
        """The answer whose last error is none of a coordinator's that is not there yet."""
        until = time.monotonic() + 10  # a guard against hangs: the topic and its coordinator are there in a moment
        while time.monotonic() < until:
            self.ask(FIND_COORDINATOR, 0, text(b"g"))
            answer = self.ask(api, version, body, name)
            error = answer[:2] if api == JOIN_GROUP else answer[-2:]
            if struct.unpack(">h", error)[0] not in COORDINATOR_ERRORS:
                return answer
            time.sleep(0.02)
        pytest.fail("there is no coordinator")


def test_the_longest_of_names_in_messages_and_member_ids(serve):
    node = serve().ready()
    assert Evil(node.port).create(LONGEST) == 17
    join = text(b"g") + struct.pack(">ii", 10000, 10000) + text(b"") + text(b"consumer") + struct.pack(">i", 1)
    answer = Evil(node.port).until_served(JOIN_GROUP, 1, join + text(b"range") + struct.pack(">i", 0), name=LONGEST)
    assert struct.unpack_from(">h", answer)[0] == 0
    assert Evil(node.port).create(b"t") == 0


@pytest.mark.parametrize("restarted", [False, True], ids=["young", "restarted"])
def test_groups_begin_anew_when_their_topic_was_deleted(serve, restarted):
    node = serve("--config", "offsets.topic.num.partitions=1").ready()
    client = Evil(node.port)
    assert client.create(b"t") == 0
    assert client.commit(b"t", 5) == 0
    if restarted:  # its leader epochs are higher than those of the topic to come
        node.end()
        node = serve("--config", "offsets.topic.num.partitions=1", ports=node.ports).ready()
        client = Evil(node.port)
    assert client.committed(b"t") == 5
    client.delete(b"__consumer_offsets")
    assert client.committed(b"t") == -1
    assert client.commit(b"t", 6) == 0
    assert client.committed(b"t") == 6


def test_connections_leave_descriptors_to_files(serve):
    node = serve().ready()
    client = Evil(node.port)
    resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (120, 120))
    crowd = [socket.create_connection(("127.0.0.1", node.port), 5) for _ in range(200)]
    time.sleep(0.2)
    for i in range(5):
        assert client.create(b"t%d" % i) == 0
    for one in crowd:
        one.close()
    time.sleep(0.2)
    assert Evil(node.port).create(b"last") == 0
    assert node.end()[0] == 0


def test_what_is_asked_for_a_million_times_is_not_answered(serve):
    node = serve().ready()
    assert Evil(node.port).create(b"t") == 0
    again_and_again = struct.pack(">b", 2) + text(b"t") + struct.pack(">i", -1)
    body = struct.pack(">i", 1_000_000) + 1_000_000 * again_and_again + b"\x01"  # with synonyms
    with pytest.raises((AssertionError, ConnectionError), match="closed after 0|reset"):
        Evil(node.port, 30).ask(DESCRIBE_CONFIGS, 1, body)
    assert peak_mib(node) < 800
    many_keys = struct.pack(">bh", 4, 1) + b"1" + struct.pack(">i", 1_000_000) + 1_000_000 * text(b"no.such.key")
    assert len(Evil(node.port, 30).ask(DESCRIBE_CONFIGS, 1, struct.pack(">i", 1) + many_keys + b"\0")) < 100
    assert Evil(node.port).create(b"last") == 0
    assert node.end()[0] == 0
