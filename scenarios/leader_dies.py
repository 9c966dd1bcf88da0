"""A leader dies under load, is cut off when it returns, and nothing that was acknowledged is lost.

Runs unchanged in virtual time and on real sockets:

    python scenarios/leader_dies.py            # a simulation with seed 1
    python scenarios/leader_dies.py --seed 7
    python scenarios/leader_dies.py --live     # three brokers on this machine
"""

from __future__ import annotations

import argparse

import klamm

TOPIC = "orders"


def play(cluster: klamm.AnyCluster) -> list[str]:
    """Returns what was acknowledged, in order; asserts that the cluster keeps it."""
    cluster.create_topic(TOPIC, partitions=1, replication=3, config={"min.insync.replicas": 2})
    first = cluster.state(TOPIC)
    assert first.leader is not None and sorted(first.isr) == cluster.nodes

    # One batch after another, while the leader dies in the middle.
    values = [f"order-{i}".encode() for i in range(200)]
    sent = [cluster.send(TOPIC, [v]) for v in values[:100]]
    cluster.run_until(lambda: len(sent[20].acknowledged()) == 1)
    cluster.kill(first.leader)
    sent += [cluster.send(TOPIC, [v]) for v in values[100:]]
    for pending in sent:
        pending.results()

    second = cluster.state(TOPIC)
    assert second.leader not in (None, first.leader)
    assert second.leader_epoch > first.leader_epoch
    assert first.leader not in second.isr

    # It comes back, catches up, and joins the in-sync replicas again.
    cluster.restart(first.leader)
    cluster.run_until(lambda: sorted(cluster.state(TOPIC).isr) == cluster.nodes)

    # Now the other side: the present leader is cut off from both others, which go on without it.
    cluster.partition(second.leader)
    cluster.run_until(lambda: cluster.state(TOPIC).leader not in (None, second.leader), timeout=60)
    late = cluster.produce(TOPIC, b"while cut off", timeout=60)
    cluster.heal()
    cluster.run_until(lambda: sorted(cluster.state(TOPIC).isr) == cluster.nodes, timeout=60)

    records = cluster.consume(TOPIC)
    got = [r.value.decode() for r in records if r.value is not None]
    assert got == [v.decode() for v in values] + ["while cut off"], got
    assert records[-1].offset == late.offset

    # All replicas agree on every batch.
    final = cluster.state(TOPIC)
    assert final.high_watermark == len(got)
    logs = [[b for b in log if b.last_offset < final.high_watermark] for log in final.logs.values()]
    assert logs[0] == logs[1] == logs[2]
    return got


def main() -> None:
    parser = argparse.ArgumentParser(description="A leader dies under load.")
    parser.add_argument("--live", action="store_true", help="on real sockets instead of in virtual time")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.live:
        with klamm.Cluster(brokers=3) as cluster:
            print(f"{len(play(cluster))} records, all there, in {cluster.now:.2f} s")
    else:
        simulation = klamm.Simulation(seed=options.seed, brokers=3)
        print(f"{len(play(simulation))} records, all there, in {simulation.now:.2f} virtual seconds")
        print(f"digest {simulation.digest:016x}")


if __name__ == "__main__":
    main()
