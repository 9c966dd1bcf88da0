"""What only virtual time can do."""

import json
import os
import subprocess

import pytest

import klamm


def script(sim: klamm.Simulation) -> None:
    sim.create_topic("t", partitions=2, replication=3)
    sim.send("t", [b"%d" % i for i in range(50)], partition=0).results()
    sim.kill(2)
    sim.run_for(1.0)
    sim.restart(2)
    sim.run_for(1.0)


def test_same_seed_same_digest() -> None:
    digests = []
    for seed in (1, 1, 2):
        sim = klamm.Simulation(seed=seed)
        script(sim)
        digests.append(sim.digest)
    assert digests[0] == digests[1] != digests[2]


def test_fork_goes_on_by_itself_and_ends_the_same() -> None:
    sim = klamm.Simulation(seed=3)
    sim.create_topic("t", replication=3)
    assert sim.produce("t", b"before").offset == 0
    fork, untouched = sim.fork(), sim.fork()
    fork.kill(1)
    assert fork.produce("t", b"in the fork").offset == 1
    assert sim.produce("t", b"after").offset == 1
    assert untouched.produce("t", b"after").offset == 1
    assert untouched.digest == sim.digest != fork.digest
    assert [r.value for r in sim.consume("t")] == [b"before", b"after"]
    assert [r.value for r in fork.consume("t")] == [b"before", b"in the fork"]


def test_time_is_virtual() -> None:
    sim = klamm.Simulation(seed=4)
    sim.run_for(3600)
    assert 3600 <= sim.now < 3601


def test_group_of_two_shares_the_partitions() -> None:
    sim = klamm.Simulation(seed=5)
    sim.create_topic("t", partitions=4)
    a, b = sim.consumer("t", group="g"), sim.consumer("t", group="g")

    def shared() -> bool:
        a.poll(0), b.poll(0)
        return len(a.assigned) == len(b.assigned) == 2

    sim.run_until(shared)
    for p in range(4):
        sim.send("t", [b"x"] * 5, partition=p).results()
    got = [0, 0]

    def all_read() -> bool:
        got[0] += len(a.poll(0))
        got[1] += len(b.poll(0))
        return sum(got) == 20

    sim.run_until(all_read)
    assert got == [10, 10]
    a.commit()
    a.close()
    b.close()


def test_errors_are_kafkas() -> None:
    sim = klamm.Simulation(seed=6)
    sim.create_topic("t")
    with pytest.raises(klamm.KafkaError, match="TOPIC_ALREADY_EXISTS"):
        sim.create_topic("t")
    with pytest.raises(klamm.KafkaError, match="INVALID_REPLICATION_FACTOR"):
        sim.create_topic("u", replication=9)
    with pytest.raises(ValueError):
        sim.kill(4)
    with pytest.raises(ValueError):
        klamm.Simulation(flaws=["M99"])


def test_digest_of_a_checked_run_is_that_of_the_command_line() -> None:
    binary = os.environ.get("KLAMM_BINARY")
    if not binary:
        pytest.skip("KLAMM_BINARY names no binary to compare with")
    lines = subprocess.run([binary, "sim", "--seeds", "11..12", "--json"], capture_output=True, text=True).stdout
    told = [json.loads(line) for line in lines.splitlines()]
    for seed in (11, 12):
        result = klamm.run_seed(seed)
        assert result.ok, result.violation
        line = next(t for t in told if t.get("seed") == seed)
        assert int(str(line["digest"]), 16) == result.digest
