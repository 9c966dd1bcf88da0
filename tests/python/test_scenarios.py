"""The same script in both worlds."""

import leader_dies

import klamm


def test_leader_dies_in_virtual_time() -> None:
    leader_dies.play(klamm.Simulation(seed=1, brokers=3))


def test_leader_dies_on_sockets() -> None:
    with klamm.Cluster(brokers=3) as cluster:
        leader_dies.play(cluster)
