"""klamm serve: readiness, signals, and every way to be told no."""
import fcntl
import json
import re
import shutil
import signal
import socket
import struct

import pytest
from conftest import Serve, free_ports
from wire import OneTopic, batch, fetch, receive


def api_versions(port, version=0, client="t"):
    """The body of the answer to an ApiVersions request, correlation id and header taken off."""
    name = client.encode()
    body = struct.pack(">hhih", 18, version, 7, len(name)) + name
    if version >= 3:
        body += b"\0\2t\2t\0"  # no tagged fields in the header; software name and version in the body
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        s.sendall(struct.pack(">i", len(body)) + body)
        size, correlation = struct.unpack(">ii", receive(s, 8))
        assert correlation == 7
        return receive(s, size - 4)


def test_ready_lines_then_clean_end(serve):
    node = serve().ready()
    assert re.search(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] INFO \[Broker id=1\] .+ \(\w+\)$", node.text(), re.M)
    for line in ("Transitioning from RECOVERY to RUNNING", f"Listening on PLAINTEXT://127.0.0.1:{node.port}"):
        assert line in node.text()
    assert struct.unpack(">h", api_versions(node.port)[:2]) == (0,)
    assert node.end()[0] == 0
    assert (node.log.parent / "klamm-data/.kafka_cleanshutdown").exists(), "it ended because its time was over"


def test_ready_again_on_the_same_directory(serve):
    node = serve().ready()
    node.end(signal.SIGKILL)
    assert serve(ports=node.ports).ready().end()[0] == 0


def test_json_log(serve):
    node = serve("--log-format", "json").ready()
    assert {"time", "level", "node", "component", "text"} <= json.loads(node.text().splitlines()[0]).keys()


def test_environment_as_in_containers(serve):
    node = serve(env={"KAFKA_NODE_ID": "7", "KAFKA_NUM_PARTITIONS": "0"})
    assert node.process.wait(5) == 2
    assert "num.partitions=0: Value must be at least 1" in node.text()


SHIPPED = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:{controller}
listeners=PLAINTEXT://:{broker},CONTROLLER://:{controller}
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:{broker},CONTROLLER://localhost:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs={directory}
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
"""


@pytest.mark.parametrize("way", ["file", "environment"])
def test_the_properties_that_kafka_ships(tmp_path, way):
    broker, controller = free_ports(2)
    text = SHIPPED.format(broker=broker, controller=controller, directory=tmp_path / "logs")
    if way == "file":
        (tmp_path / "server.properties").write_text(text)
        node = Serve(tmp_path, "server.properties")
    else:
        pairs = [line.split("=", 1) for line in text.split()]
        node = Serve(tmp_path, env={"KAFKA_" + key.upper().replace(".", "_"): value for key, value in pairs})
    try:
        assert struct.unpack(">h", api_versions(node.ready() and broker)[:2]) == (0,)
        assert node.end()[0] == 0
    finally:
        node.end(signal.SIGKILL)


def test_controllers_that_would_have_to_be_discovered(tmp_path):
    node = Serve(tmp_path, "--config", "process.roles=broker", "--config", "node.id=2",
                 "--config", "listeners=PLAINTEXT://127.0.0.1:0",
                 "--config", "controller.quorum.bootstrap.servers=localhost:9093")
    assert node.process.wait(5) == 2
    assert node.text().count("\n") == 1 and "controller.quorum.voters" in node.text()


@pytest.mark.parametrize("config, said", [
    ("num.partitions=many", "num.partitions=many: Not a number of type INT"),
    ("node.id=-3", "node.id=-3: Value must be at least 0"),
    ("klamm.flush=never", "klamm.flush=never: String must be one of: written, commit"),
    ("listeners=PLAINTEXT://127.0.0.1:99999,CONTROLLER://:1", "a port from 0 to 65535"),
    ("log.dirs=/proc/none", "log.dirs=/proc/none"),
])
def test_bad_value_is_named(serve, config, said):
    node = serve("--config", config)
    assert node.process.wait(5) == 2
    assert said in node.text()


def test_unknown_key_is_a_warning_with_near_matches(serve):
    node = serve("--config", "num.partition=3").ready()
    assert "Unknown configuration 'num.partition' is ignored; did you mean num.partitions" in node.text()


def test_missing_file(serve):
    node = serve("/no/such/file.properties")
    assert node.process.wait(5) == 2 and "/no/such/file.properties" in node.text()


def test_taken_port(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        node = serve(ports=(taken.getsockname()[1], 0))
        assert node.process.wait(5) == 2
        assert "cannot be" in node.text()


def test_second_process_on_one_directory(serve):
    first = serve().ready()
    second = serve()
    assert second.process.wait(5) == 2 and "lock" in second.text()
    assert struct.unpack(">h", api_versions(first.port)[:2]) == (0,)


def test_directories_that_are_missing_or_in_another_order_are_not_begun_anew(serve, tmp_path):
    def start(*dirs, more=()):
        return serve("--config", "log.dirs=" + ",".join(dirs), *more, ports=node.ports if node else None)

    node = None
    node = start("a", "b").ready()
    client = OneTopic(node.port)
    client.create_topic()
    assert client.produce(batch(b"one")) == 0
    assert node.end()[0] == 0

    wrong = start("b", "a")
    assert wrong.process.wait(5) == 2 and "Found unexpected metadata location" in wrong.text()
    for missing, other in ("b", "a"), ("a", "b"):
        (tmp_path / missing).rename(tmp_path / "away")
        wrong = start("a", "b")
        assert wrong.process.wait(5) == 2 and f"No meta.properties found in {missing}" in wrong.text()
        (tmp_path / missing / ".lock").unlink()
        (tmp_path / missing).rmdir()  # nothing else was written there
        (tmp_path / "away").rename(tmp_path / missing)
    new = start("a", "b", "c")
    assert new.process.wait(5) == 2 and "klamm.format.new.directories" in new.text()
    assert start("a", "b", "a/").process.wait(5) == 2

    assert start("a", "b", "c", more=["--config", "klamm.format.new.directories=true"]).ready().end()[0] == 0
    metadata_by_name = ["--config", f"metadata.log.dir={tmp_path / 'a'}"]
    start("a", "b", "c", more=metadata_by_name).ready()
    assert len(OneTopic(node.port).fetch()) == 1


def test_a_partition_in_two_directories(serve, tmp_path):
    node = serve("--config", "log.dirs=a,b").ready()
    client = OneTopic(node.port)
    client.create_topic()
    assert client.produce(batch(b"one")) == 0
    assert node.end()[0] == 0
    home, other = ("a", "b") if (tmp_path / "a/t-0").exists() else ("b", "a")
    shutil.copytree(tmp_path / home / "t-0", tmp_path / other / "t-0")
    twice = serve("--config", "log.dirs=a,b", ports=node.ports)
    assert twice.process.wait(5) == 2
    assert "Duplicate log directories for t-0 found in both a/t-0 and b/t-0" in twice.text()

    (tmp_path / other / "t-0/partition.metadata").write_text("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAw")
    last = serve("--config", "log.dirs=a,b", ports=node.ports).ready()
    assert len(OneTopic(node.port).fetch()) == 1
    assert last.end()[0] == 0
    assert len(list((tmp_path / other).glob("t-0.*-stray"))) == 1 and not (tmp_path / other / "t-0").exists()


def test_what_a_start_did_not_find_whole_is_told(serve, tmp_path):
    node = serve().ready()
    client = OneTopic(node.port)
    client.create_topic()
    assert client.produce(batch(b"one")) == 0
    node.end(signal.SIGKILL)
    data = tmp_path / "klamm-data"
    with open(data / "t-0/00000000000000000000.log", "ab") as log:
        log.write(b"torn")
    (data / "recovery-point-offset-checkpoint").write_text("nothing")
    node = serve(ports=node.ports).ready()
    assert len(OneTopic(node.port).fetch()) == 1
    assert re.search("WARN .* Error while reading the checkpoint file .*recovery-point-offset-checkpoint", node.text())
    assert re.search("WARN .* Found invalid messages .* partition 0 of the topic .* discarded 4 bytes", node.text())


def test_kafkas_lock_is_respected(serve, tmp_path):
    (tmp_path / "klamm-data").mkdir()
    with open(tmp_path / "klamm-data" / ".lock", "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        second = serve()
        assert second.process.wait(5) == 2 and "lock" in second.text()
    assert serve().ready()


def test_directory_of_another_node(serve):
    node = serve().ready()
    node.end()
    other = serve("--config", "node.id=2", ports=node.ports)
    assert other.process.wait(5) == 2 and "node.id" in other.text()
    assert serve(ports=node.ports).ready()


def test_unknown_version_is_answered_with_what_is_known(serve):
    node = serve().ready()
    body = api_versions(node.port, version=99)
    error, count = struct.unpack(">hi", body[:6])
    assert error == 35 and count >= 1


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.1\r\n\r\n",
    struct.pack(">i", -1),
    struct.pack(">i", 2**31 - 1) + b"x" * 1000,
    struct.pack(">ihhih", 10, 999, 0, 1, -1),
    struct.pack(">ihh", 4, 0, 9),
    b"\x00" * 64,
])
def test_garbage_ends_its_own_connection_only(serve, garbage):
    node = serve().ready()
    with socket.create_connection(("127.0.0.1", node.port), timeout=5) as good, \
            socket.create_connection(("127.0.0.1", node.port), timeout=5) as bad:
        bad.sendall(garbage)
        try:
            assert bad.recv(1) == b""
        except ConnectionResetError:
            pass
        request = struct.pack(">hhih", 18, 0, 3, -1)
        good.sendall(struct.pack(">i", len(request)) + request)
        assert struct.unpack(">ii", receive(good, 8))[1] == 3
    assert node.process.poll() is None


def test_half_a_request_then_silence_keeps_others_served(serve):
    node = serve().ready()
    with socket.create_connection(("127.0.0.1", node.port), timeout=5) as half:
        half.sendall(struct.pack(">ihh", 100, 18, 0))
        assert struct.unpack(">h", api_versions(node.port)[:2]) == (0,)


def test_who_shuts_down_its_writing_side_is_answered(serve):
    node = serve().ready()
    client = OneTopic(node.port)
    client.create_topic()
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as half:
        waits = fetch(0, 1000, wait=300)
        for correlation, (api, version, body) in enumerate([(18, 0, b""), (1, 4, waits), (18, 0, b"")]):
            frame = struct.pack(">hhih", api, version, correlation, -1) + body
            half.sendall(struct.pack(">i", len(frame)) + frame)
        half.sendall(struct.pack(">ih", 100, 18))
        half.shutdown(socket.SHUT_WR)
        for correlation in range(3):
            size, answered = struct.unpack(">ii", receive(half, 8))
            assert answered == correlation
            receive(half, size - 4)
        assert half.recv(1) == b""


def joining(tmp_path, *, roles, node, ports, voters, env=None):
    names = (["CONTROLLER"] if roles == "controller" else ["PLAINTEXT"])
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in zip(names, ports))
    properties = {"process.roles": roles, "node.id": node, "listeners": listeners, "controller.quorum.voters": voters,
                  "log.dirs": tmp_path / f"node-{node}"}
    return Serve(tmp_path, *(part for key, value in properties.items() for part in ("--config", f"{key}={value}")),
                 env=env)


def test_nodes_that_were_given_no_cluster_id_take_it_from_the_only_controller(tmp_path):
    *brokers, controller = free_ports(4)
    voters = f"1@127.0.0.1:{controller}"
    nodes = [joining(tmp_path, roles="broker", node=id, ports=[port], voters=voters)
             for id, port in zip((2, 3), brokers)]
    try:
        for node in nodes:  # nothing is there yet: they say what they wait for
            node.wait_for("Looking for the active controller")
        nodes.append(joining(tmp_path, roles="controller", node=1, ports=[controller], voters=voters))
        for node in nodes:
            node.ready()
        ids = {re.search("cluster.id=(.+)", (tmp_path / f"node-{id}/meta.properties").read_text())[1]
               for id in (1, 2, 3)}
        assert len(ids) == 1
        stranger = joining(tmp_path, roles="broker", node=4, ports=[brokers[2]], voters=voters,
                           env={"CLUSTER_ID": "another-cluster-of-nodes"})
        nodes.append(stranger)
        assert stranger.process.wait(10) == 2
        assert "belong to another cluster than this node, whose cluster.id is another-cluster-of-nodes" in stranger.text()
    finally:
        for node in nodes:
            node.end(signal.SIGKILL)
