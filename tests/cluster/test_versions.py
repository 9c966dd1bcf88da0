"""Every version that Kafka serves, of each API that is built: ApiVersions beside Apache Kafka's own table."""
import struct

import pytest
from conftest import ROOT
from test_serve import api_versions

APIS = ROOT.parent / "shared/protocol/apis.tsv"

CLIENTS = """
    Produce Fetch ListOffsets Metadata DescribeCluster DescribeTopicPartitions OffsetForLeaderEpoch DeleteRecords
    FindCoordinator JoinGroup SyncGroup Heartbeat LeaveGroup OffsetCommit OffsetFetch OffsetDelete DescribeGroups
    ListGroups DeleteGroups InitProducerId DescribeConfigs ListConfigResources DescribeLogDirs DescribeProducers
""".split()
EITHER = """
    ApiVersions CreateTopics DeleteTopics CreatePartitions IncrementalAlterConfigs AlterConfigs DescribeQuorum
    UpdateFeatures UnregisterBroker
""".split()
CONTROLLERS = ["AllocateProducerIds", "Fetch", "DescribeCluster"]
TELEMETRY = ["GetTelemetrySubscriptions", "PushTelemetry"]


@pytest.fixture(scope="module")
def kafka():
    """By listener: the range that Kafka 4.3.1 advertises of each API, by key; and the names."""
    if not APIS.exists():
        pytest.skip("../shared/protocol is not here")
    head, *rows = (line.split("\t") for line in APIS.read_text().splitlines())
    apis = [dict(zip(head, row)) for row in rows]
    ranges = {listener: {int(a["key"]): tuple(map(int, a[f"{listener}_advertised"].split("-")))
                         for a in apis if a[f"{listener}_advertised"] != "-"} for listener in ("broker", "controller")}
    return ranges, {a["name"]: int(a["key"]) for a in apis}


def advertised(port, version):
    body = api_versions(port, version)
    count, at, entry = (struct.unpack(">i", body[2:6])[0], 6, 6) if version < 3 else (body[2] - 1, 3, 7)
    rows = [struct.unpack(">hhh", body[at + i * entry:at + i * entry + 6]) for i in range(count)]
    assert body[:2] == b"\0\0" and len({api for api, _, _ in rows}) == count
    return {api: (low, high) for api, low, high in rows}


@pytest.mark.parametrize("telemetry", [False, True])
def test_the_range_of_each_api_is_kafkas(serve, kafka, telemetry):
    ranges, keys = kafka
    node = serve("--config", f"klamm.telemetry.advertise={str(telemetry).lower()}").ready()
    for listener, port in zip(("broker", "controller"), node.ports):
        built = CLIENTS + EITHER + TELEMETRY * telemetry if listener == "broker" else CONTROLLERS + EITHER
        of_kafka = ranges[listener]
        for version in (0, 4):
            here = advertised(port, version)
            assert {name: here.get(keys[name]) for name in built} == {name: of_kafka[keys[name]] for name in built}
            # A range is Kafka's or the API is not there at all.
            assert here == {api: of_kafka.get(api) for api in here}
            assert telemetry or not here.keys() & {keys[name] for name in TELEMETRY}
    assert ranges["broker"][keys["Produce"]] == (0, 13)  # what librdkafka wants to see, though 0 to 2 are not served
