"""klamm cluster: what scripts build upon."""
import os
import pathlib
import struct
import subprocess
import time

import pytest

from conftest import KLAMM
from wire import Client


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("mode", [[], ["--processes"]])
def test_serves_until_the_end_of_input(cluster, mode):
    c = cluster("3", *mode)
    assert len(c.brokers.split(",")) == 3 and c.description["ready_ms"] > 0
    pids = {n["pid"] for n in c.nodes.values()}
    assert len(pids) == (3 if mode else 1)
    directory = pathlib.Path(c.nodes[1]["properties"]).parent
    assert c.end()[0] == 0
    assert not any(alive(p) for p in pids)
    assert not directory.exists()


def test_plain_line():
    with subprocess.Popen([KLAMM, "cluster", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        assert p.stdout.readline().startswith("BROKERS=127.0.0.1:")
        p.terminate()
        assert p.wait(2) == 0


def test_killed_node_is_started_again_by_a_script(cluster, tmp_path):
    c = cluster("3", "--processes", "--dir", str(tmp_path / "kept"))
    c.kill(2)
    node = c.restart(2)
    assert f"Listening on PLAINTEXT://127.0.0.1:{c.nodes[2]['port']}" in node.text()
    assert node.end()[0] == 0
    assert c.end()[0] == 0
    assert (tmp_path / "kept/node-1.properties").exists()


def test_kept_directory_serves_again(cluster, tmp_path):
    for _ in range(2):
        assert cluster("3", "--dir", str(tmp_path / "kept")).end()[0] == 0


def test_nodes_die_with_their_parent(cluster):
    c = cluster("2", "--processes")
    c.process.kill()
    c.process.wait()
    until = time.monotonic() + 2
    while any(alive(n["pid"]) for n in c.nodes.values()):
        assert time.monotonic() < until
        time.sleep(0.01)
    subprocess.run(["rm", "-r", os.path.dirname(c.nodes[1]["properties"])], check=True)


def test_id_in_values_and_bad_values(cluster):
    c = cluster("2", "--config", "broker.rack=r{id}")
    assert "broker.rack=r2\n" in pathlib.Path(c.nodes[2]["properties"]).read_text()
    bad = subprocess.run([KLAMM, "cluster", "2", "--config", "num.partitions=0"], capture_output=True, text=True,
                         stdin=subprocess.DEVNULL)
    assert bad.returncode == 2 and "num.partitions=0" in bad.stderr


def unfenced(port):
    """Ids of the brokers that a broker tells clients of."""
    answer = Client(port).ask(3, 1, struct.pack(">i", 0))  # Metadata of no topic
    count, at, ids = struct.unpack(">i", answer[:4])[0], 4, set()
    for _ in range(count):
        broker, host = struct.unpack(">ih", answer[at:at + 6])
        at += 6 + host + 4
        rack = struct.unpack(">h", answer[at:at + 2])[0]
        at += 2 + max(rack, 0)
        ids.add(broker)
    return ids


def test_brokers_without_a_vote_survive_the_active_controller(cluster):
    c = cluster("5", "--processes", "--config", "broker.session.timeout.ms=2000",
                "--config", "broker.heartbeat.interval.ms=500")
    assert "process.roles=broker\n" in pathlib.Path(c.nodes[4]["properties"]).read_text()
    c.kill(1)  # the first of a fresh quorum leads it
    time.sleep(4)
    assert unfenced(c.nodes[4]["port"]) == {2, 3, 4, 5}
    c.kill(5)
    restarted = c.restart(5)
    assert unfenced(c.nodes[4]["port"]) == unfenced(c.nodes[5]["port"]) == {2, 3, 4, 5}
    assert restarted.end()[0] == 0
    assert c.end()[0] == 0
