"""The admin calls of librdkafka, each judged by what it returns; those of what is not built say so."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from confluent_kafka import (ConsumerGroupState, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException,
                             Producer, TopicCollection, TopicPartition)
from confluent_kafka.admin import (AclBinding, AclOperation, AclPermissionType, AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   ConfigSource, NewPartitions, NewTopic, OffsetSpec, ResourcePatternType, ResourceType)
from nodes import Nodes, create_topic


@pytest.fixture
def admin(cluster: Nodes) -> AdminClient:
    return AdminClient({"bootstrap.servers": cluster.brokers})


def refused(call: Callable[[], object]) -> KafkaError:
    with pytest.raises(KafkaException) as e:
        call()
    error = e.value.args[0]
    assert isinstance(error, KafkaError)
    return error


def fill(cluster: Nodes, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": cluster.brokers})
    for i in range(count):
        producer.produce(topic, b"%d" % i, partition=0, timestamp=1_700_000_000_000 + i)
    assert producer.flush(30) == 0


def eventually(found: Callable[[], bool]) -> None:
    """What one broker did another hears of a moment later."""
    until = time.monotonic() + 20
    while not found():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_topics(admin: AdminClient, topic: str) -> None:
    wanted = NewTopic(topic, 2, 3, config={"retention.ms": "600000"})
    admin.create_topics([wanted], validate_only=True)[topic].result(20)
    assert topic not in admin.list_topics(timeout=10).topics
    admin.create_topics([wanted])[topic].result(20)
    assert refused(lambda: admin.create_topics([wanted])[topic].result(20)).code() == KafkaError.TOPIC_ALREADY_EXISTS
    assert refused(lambda: admin.create_topics([NewTopic("no good", 1, 1)])["no good"].result(20)).code() == KafkaError.TOPIC_EXCEPTION
    assert refused(lambda: admin.create_topics([NewTopic(topic + "x", 1, 9)])[topic + "x"].result(20)).code() == KafkaError.INVALID_REPLICATION_FACTOR
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(20)
    assert refused(lambda: admin.create_partitions([NewPartitions(topic, 4)])[topic].result(20)).code() == KafkaError.INVALID_PARTITIONS

    def described() -> bool:
        told = admin.describe_topics(TopicCollection([topic]))[topic].result(20)
        return len(told.partitions) == 5 and all(len(p.replicas) == 3 and p.leader for p in told.partitions)

    eventually(described)
    admin.delete_topics([topic])[topic].result(20)
    eventually(lambda: topic not in admin.list_topics(timeout=10).topics)
    assert refused(lambda: admin.delete_topics([topic])[topic].result(20)).code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_cluster(admin: AdminClient) -> None:
    told = admin.describe_cluster().result(20)
    assert sorted(n.id for n in told.nodes) == [1, 2, 3] and len(told.cluster_id) == 22 and told.controller.id in (1, 2, 3)


def test_configs(admin: AdminClient, cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic)
    resource = ConfigResource(ResourceType.TOPIC, topic)

    def entry(name: str) -> ConfigEntry:
        return admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)])[resource].result(20)[name]

    def alter(*entries: ConfigEntry) -> None:
        changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=list(entries))
        admin.incremental_alter_configs([changed])[changed].result(20)

    assert entry("retention.ms").value == "604800000" and entry("retention.ms").is_default
    alter(ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET),
          ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND))
    eventually(lambda: entry("retention.ms").value == "1000")
    assert entry("retention.ms").source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    assert entry("cleanup.policy").value == "delete,compact"
    alter(ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE))
    eventually(lambda: entry("retention.ms").value == "604800000")
    wrong = ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET)
    assert refused(lambda: alter(wrong)).code() == KafkaError.INVALID_CONFIG
    whole = ConfigResource(ResourceType.TOPIC, topic, set_config={"segment.bytes": "2000000"})
    admin.alter_configs([whole])[whole].result(20)
    eventually(lambda: entry("segment.bytes").value == "2000000")
    assert entry("cleanup.policy").value == "delete", "what is not named is reset"
    broker = ConfigResource(ResourceType.BROKER, "1")
    assert admin.describe_configs([broker])[broker].result(20)["node.id"].value == "1"


def test_offsets_and_records(admin: AdminClient, cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic)
    fill(cluster, topic, 30)
    partition = TopicPartition(topic, 0)

    def offset(spec: OffsetSpec) -> int:
        return int(admin.list_offsets({partition: spec}, isolation_level=IsolationLevel.READ_COMMITTED)[partition].result(20).offset)

    assert [offset(s) for s in (OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.max_timestamp())] == [0, 30, 29]
    assert offset(OffsetSpec.for_timestamp(1_700_000_000_011)) == 11
    assert admin.delete_records([TopicPartition(topic, 0, 12)])[partition].result(20).low_watermark == 12
    assert offset(OffsetSpec.earliest()) == 12
    gone = refused(lambda: admin.delete_records([TopicPartition(topic, 0, 31)])[partition].result(20))
    assert gone.code() == KafkaError.OFFSET_OUT_OF_RANGE


def test_groups(admin: AdminClient, cluster: Nodes, topic: str) -> None:
    create_topic(cluster.brokers, topic, partitions=2)
    group = topic
    committed = [TopicPartition(topic, 0, 7), TopicPartition(topic, 1, 9)]
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, committed)])[group].result(20)
    asked = ConsumerGroupTopicPartitions(group)
    told = admin.list_consumer_group_offsets([asked])[group].result(20)
    assert sorted((p.partition, p.offset) for p in told.topic_partitions) == [(0, 7), (1, 9)]
    empty = admin.list_consumer_groups(states={ConsumerGroupState.EMPTY}).result(20)
    assert group in {g.group_id for g in empty.valid} and not empty.errors
    assert group not in {g.group_id for g in admin.list_consumer_groups(states={ConsumerGroupState.STABLE}).result(20).valid}
    one = admin.describe_consumer_groups([group])[group].result(20)
    assert one.state == ConsumerGroupState.EMPTY and one.members == [] and one.coordinator.id in (1, 2, 3)
    admin.delete_consumer_groups([group])[group].result(20)
    assert refused(lambda: admin.delete_consumer_groups([group])[group].result(20)).code() == KafkaError.GROUP_ID_NOT_FOUND


def test_what_is_not_built_says_so(admin: AdminClient) -> None:
    who = AclBinding(ResourceType.TOPIC, "t", ResourcePatternType.LITERAL, "User:a", "*", AclOperation.READ, AclPermissionType.ALLOW)
    assert refused(lambda: admin.create_acls([who])[who].result(20)).code() == KafkaError.SECURITY_DISABLED
    assert refused(lambda: admin.describe_user_scram_credentials().result(20)).code() == KafkaError._UNSUPPORTED_FEATURE
