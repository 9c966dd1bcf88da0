"""How long a new group takes to its first message where the client itself never waits: each request as soon as the answer
before it is there."""

import struct
import time

from side import wire

PRODUCE, FETCH, FIND_COORDINATOR, JOIN, OFFSET_FETCH, SYNC = 0, 1, 10, 11, 9, 14
NOT_YET = (14, 15, 16)  # the coordinator is loading, not available, elsewhere
PATIENCE_S = 30


def text(value):
    return struct.pack(">h", len(value)) + value


def sized(value):
    return struct.pack(">i", len(value)) + value


def until_served(ask, error_at):
    """The answer that has an error of another kind, or none."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        answer = ask()
        error = struct.unpack_from(">h", answer, error_at)[0]
        if error not in NOT_YET:
            if error:
                raise TimeoutError(f"a group was refused with error {error}")
            return answer
        if time.monotonic() > give_up:
            raise TimeoutError("no coordinator")
        time.sleep(0.001)


def first_message(address, topic, group):
    """Milliseconds from the first question to the first message of partition 0, which must be there. One broker."""
    topic, group = topic.encode(), group.encode()
    started = time.monotonic()
    with wire.Connection(address, PATIENCE_S) as c:
        until_served(lambda: c.call(FIND_COORDINATOR, 0, text(group)), 0)
        subscription = struct.pack(">hi", 0, 1) + text(topic) + struct.pack(">i", -1)
        join = text(group) + struct.pack(">ii", 30_000, 60_000) + text(b"") + text(b"consumer")
        joined = until_served(lambda: c.call(JOIN, 1, join + struct.pack(">i", 1) + text(b"range") + sized(subscription)), 0)
        generation, size = struct.unpack_from(">ih", joined, 2)
        at = 8 + size  # behind the protocol's name: the leader, then this member
        for _ in range(2):
            length = struct.unpack_from(">h", joined, at)[0]
            member, at = joined[at + 2:at + 2 + length], at + 2 + length
        assignment = struct.pack(">hi", 0, 1) + text(topic) + struct.pack(">iii", 1, 0, -1)
        until_served(lambda: c.call(SYNC, 0, text(group) + struct.pack(">i", generation) + text(member) + struct.pack(">i", 1) + text(member) + sized(assignment)), 0)
        c.call(OFFSET_FETCH, 1, text(group) + struct.pack(">i", 1) + text(topic) + struct.pack(">ii", 1, 0))
        fetched = c.call(FETCH, 4, struct.pack(">iiiibi", -1, 5000, 1, 1 << 20, 0, 1) + text(topic) + struct.pack(">iiqi", 1, 0, 0, 1 << 20))
        if len(fetched) < 100:
            raise TimeoutError("the message did not come")
    return (time.monotonic() - started) * 1000
