// What each reader of stored things is for: good examples, small.
#include "engine/broker/meta_file.h"
#include "engine/group/records.h"
#include "engine/log/checkpoints.h"
#include "engine/log/producer_snapshot.h"
#include "engine/metadata/records.h"
#include "engine/metadata/snapshot.h"
#include "engine/protocol/descriptor.h"
#include "engine/protocol/json.h"
#include "engine/quorum/state_file.h"
#include "tests/engine/protocol/random_message.h"
#include "tests/fuzz/parts.h"
#include "tests/fuzz/records.h"
#include "tests/fuzz/seeds.h"

namespace klamm::fuzz {
namespace {

using Input = std::vector<uint8_t>;

Uuid uid(uint8_t n) {
  Uuid u;
  u.bytes[3] = n;
  return u;
}

class RecordSeeds final {
 public:
  explicit RecordSeeds(std::filesystem::path folder) : folder_(std::move(folder)) {}
  void add(Reader reader, const std::string& name, ByteSpan content) {
    Input all{static_cast<uint8_t>(reader)};
    all.insert(all.end(), content.begin(), content.end());
    save(folder_, name, all);
  }
  void text(Reader reader, const std::string& name, const std::string& content) {
    add(reader, name, as_bytes(content));
  }

 private:
  std::filesystem::path folder_;
};

// A small cluster's metadata log; the snapshot of what it amounts to.
void metadata_seeds(RecordSeeds& seeds) {
  Arena arena;
  Input log;
  metadata::Image image;
  const auto put = [&](int16_t version, const auto& record) {
    const Slice frame = metadata::encode_record(version, record);
    add_part(&log, frame.span());
    image.apply(arena, image.end(), frame.span());
  };
  put(0, protocol::FeatureLevelRecord{.name = metadata::kMetadataVersion, .feature_level = 30});
  for (int32_t id = 1; id <= 2; ++id) {
    protocol::RegisterBrokerRecord b{.broker_id = id, .incarnation_id = uid(9), .broker_epoch = id};
    auto& e = b.end_points.add(arena);
    e.name = "PLAINTEXT", e.host = "h", e.port = 9092;
    b.log_dirs = metadata::uuids(arena, {uid(4)});
    put(metadata::kRegisterBrokerVersion, b);
    put(0, protocol::UnfenceBrokerRecord{.id = id, .epoch = id});
  }
  put(0, protocol::BeginTransactionRecord{});
  put(0, protocol::TopicRecord{.name = "a.b", .topic_id = uid(1)});
  metadata::PartitionInfo p;
  p.replicas = p.isr = {NodeId{1}, NodeId{2}};
  p.directories = {uid(4), uid(4)};
  p.leader = NodeId{1};
  const Slice partition = metadata::partition_record(arena, {uid(1), 0}, p);
  add_part(&log, partition.span());
  image.apply(arena, image.end(), partition.span());
  put(0, protocol::EndTransactionRecord{});
  protocol::PartitionChangeRecord change{.partition_id = 0, .topic_id = uid(1)};
  change.leader = 2;
  change.isr = metadata::numbers(arena, {NodeId{2}});
  put(2, change);
  put(0, protocol::ConfigRecord{.resource_type = 2, .resource_name = "a.b", .name = "retention.ms", .value = "1"});
  put(0, protocol::ProducerIdsRecord{.next_producer_id = 1000});
  seeds.add(Reader::metadata_records, "metadata-log", log);
  Input snapshot;
  metadata::SnapshotWriter writer(image, {.id = {image.end(), 1}});
  while (!writer.done()) {
    const Slice batch = writer.next(arena);
    snapshot.insert(snapshot.end(), batch.data(), batch.data() + batch.size());
  }
  seeds.add(Reader::metadata_snapshot, "metadata-snapshot", snapshot);
  Input longer = snapshot;
  longer.insert(longer.end(), snapshot.begin(), snapshot.end());
  seeds.add(Reader::metadata_snapshot, "metadata-snapshot-twice", longer);
  put(0, protocol::RemoveTopicRecord{.topic_id = uid(1)});
  seeds.add(Reader::metadata_records, "metadata-log-removed", log);
}

// Every kind of metadata record, as it comes.
void random_seeds(RecordSeeds& seeds) {
  test::Dice dice(2);
  for (const protocol::MessageDescriptor* m : protocol::all_messages()) {
    if (m->kind != protocol::MessageKind::metadata) continue;
    Arena arena;
    Writer w;
    protocol::write_framing(w, *m, m->versions.high);
    m->encode(w, m->versions.high, test::random_message(*m, {.version = m->versions.high}, arena, dice));
    Input log;
    add_part(&log, w.finish_contiguous().span());
    seeds.add(Reader::metadata_records, std::string("metadata-") + m->name, log);
  }
}

void group_seeds(RecordSeeds& seeds) {
  Input all;
  const auto put = [&](uint8_t kind, const coordinator::NewRecord& r) {
    all.push_back(static_cast<uint8_t>(kind | (r.tombstone ? 0x20 : 0)));
    add_part(&all, r.key.span());
    add_part(&all, r.value.span());
  };
  put(0, group::new_group_record("g", 1000));
  put(0, group::offset_record({"g", "t", 1}, {.offset = 5, .metadata = "m", .commit_ms = 7}));
  put(1, group::offset_record({"g", "t", 2}, {.offset = 6}));
  all.push_back(0x80 | 0x40 | 1);  // its commit
  put(2, group::offset_record({"g", "t", 2}, {.offset = 7}));
  all.push_back(0x80 | 2);  // its end in vain
  seeds.add(Reader::group_records, "group-offsets", all);
  put(0, group::offset_tombstone({"g", "t", 1}));
  put(0, group::group_tombstone("g"));
  seeds.add(Reader::group_records, "group-gone", all);
}

}  // namespace

void save_records(const std::filesystem::path& folder) {
  RecordSeeds seeds(folder);
  metadata_seeds(seeds);
  random_seeds(seeds);
  group_seeds(seeds);
  seeds.text(Reader::quorum_state, "quorum-state", quorum::encode_state_file({.epoch = 3}, {NodeId{1}, NodeId{2}}));
  seeds.text(
      Reader::quorum_state, "quorum-state-1",
      R"({"leaderId":1,"leaderEpoch":2,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","x":[{"y":1.5}],)"
      R"("data_version":1})");
  log::ProducerEntry producer;
  producer.epoch = 1, producer.count = 1;
  producer.batches[0] = {4, 2, 9, 1000};
  seeds.add(Reader::txn_index, "aborted", log::encode_txn_index({{5, 3, 9, 10}, {6, 4, 12, 13}}).span());
  seeds.add(Reader::producer_snapshot, "producers", log::encode_producer_snapshot({{5, producer}}).span());
  seeds.text(Reader::offset_checkpoint, "offsets", log::encode_offset_checkpoint({{{"t", 0}, 5}, {{"t", 1}, 7}}));
  seeds.text(Reader::epoch_checkpoint, "epochs", log::encode_epoch_checkpoint({{0, 0}, {3, 9}}));
  seeds.text(Reader::partition_metadata, "partition", log::encode_partition_metadata(uid(1)));
  seeds.text(Reader::clean_shutdown, "clean", log::encode_clean_shutdown(12));
  seeds.text(Reader::directory_name, "name", "a-b-12.0123456789abcdef0123456789abcdef-delete");
  seeds.text(Reader::snapshot_name, "name-snapshot", metadata::snapshot_file({12, 3}));
  seeds.text(Reader::meta_properties, "meta", broker::encode_meta_file({"c", "1", uid(1)}));
  seeds.text(
      Reader::broker_properties, "server",
      "# all in one\nprocess.roles=broker,controller\nnode.id=1\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n"
      "advertised.listeners=PLAINTEXT://h:9092\ncontroller.listener.names=CONTROLLER\n"
      "controller.quorum.voters=1@h:9093\nlog.dirs=/a,\\\n  /b\nlog.retention.hours=1\nlog.roll.ms=5\n"
      "log.cleaner.min.cleanable.ratio=0.25\nlog.segment.bytes=1048576\n");
  seeds.text(Reader::topic_properties, "topic",
             "cleanup.policy=compact,delete\ncompression.type=zstd\ncompression.zstd.level=3\nretention.ms=-1\n"
             "min.cleanable.dirty.ratio=0.5\nmin.insync.replicas=2\n");
  seeds.text(Reader::pattern, "pattern", "(?i)a[^b-d\\d]{2,3}?(x|y+)*\\Q.\\E$\naxx.");
  seeds.text(Reader::client_match, "match", "client_id=a.*b,client_source_port=\\d+\naxxb");
}

}  // namespace klamm::fuzz
