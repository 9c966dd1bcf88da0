"""Klamm from Python: a Kafka cluster in virtual time, or on real sockets, with the same words.

    >>> import klamm
    >>> sim = klamm.Simulation(seed=7, brokers=3)
    >>> sim.create_topic("orders", partitions=1)
    >>> sim.produce("orders", b"one")
    Produced(partition=0, offset=0)
    >>> sim.kill(sim.state("orders").leader)
    >>> sim.produce("orders", b"two")
    Produced(partition=0, offset=1)
    >>> [r.value for r in sim.consume("orders")]
    [b'one', b'two']
"""

from klamm._engine import AssertionFailure, ClusterFailure
from klamm.cluster import (
    AnyCluster,
    Batch,
    Cluster,
    Consumer,
    KafkaError,
    PartitionState,
    Pending,
    Produced,
    Record,
    Simulation,
    SeedResult,
    run_seed,
)

__all__ = [
    "AnyCluster",
    "AssertionFailure",
    "Batch",
    "Cluster",
    "ClusterFailure",
    "Consumer",
    "KafkaError",
    "PartitionState",
    "Pending",
    "Produced",
    "Record",
    "SeedResult",
    "Simulation",
    "run_seed",
]
