"""However many partitions were written and read: what a node keeps of them stays within one budget."""
import struct

from test_load import MIB, memory
from wire import CREATE_TOPICS, FETCH, PRODUCE, Client, batch

PARTITIONS, BATCHES, BUDGET = 150, 10, 16 * MIB


class ManyPartitions(Client):
    def create(self):
        answer = self.ask(CREATE_TOPICS, 2, struct.pack(">ih1sihiiib", 1, 1, b"t", PARTITIONS, 1, 0, 0, 5000, 0))
        assert answer[-4:-2] == b"\0\0"

    def produce(self, partition, records):
        topic = struct.pack(">hhiih1siii", -1, -1, 5000, 1, 1, b"t", 1, partition, len(records))
        assert self.ask(PRODUCE, 3, topic + records)[15:17] == b"\0\0"

    def fetch(self, partition, offset):
        """How many batches came, each of one record."""
        answer = self.ask(FETCH, 4, struct.pack(">iiiibih1siiqi", -1, 0, 0, MIB, 0, 1, 1, b"t", 1, partition, offset, MIB))
        assert answer[19:21] == b"\0\0"
        count, data = 0, answer[45:]
        while len(data) > 12 and (size := 12 + struct.unpack(">i", data[8:12])[0]) <= len(data):
            assert struct.unpack(">q", data[:8])[0] == offset + count
            count, data = count + 1, data[size:]
        return count


def test_what_is_kept_of_many_partitions_stays_within_the_budget(serve):
    # All that is on disk only is read through memory.
    node = serve("--config", f"klamm.fetch.cache.bytes={BUDGET}", "--config", "klamm.fetch.region.bytes=2147483647").ready()
    client = ManyPartitions(node.port)
    client.create()
    one = batch(b"x" * 100_000)
    before = memory(node)
    for p in range(PARTITIONS):
        for _ in range(BATCHES):
            client.produce(p, one)
    assert memory(node) - before < 2 * BUDGET, "of 150 MB that were written"
    for p in range(PARTITIONS):
        offset = 0
        while offset < BATCHES:
            offset += client.fetch(p, offset)
    assert memory(node) - before < 2 * BUDGET, "all were read"
    assert node.end()[0] == 0
