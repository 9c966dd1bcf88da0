// The records and small files that a node folds into its state, from logs and disks that anybody may have written to;
// and what operators write: properties and patterns. What can be written down again must read as the same.
#include "tests/fuzz/records.h"

#include <functional>
#include <sstream>

#include "engine/base/pattern.h"
#include "engine/broker/meta_file.h"
#include "engine/group/hard_state.h"
#include "engine/log/checkpoints.h"
#include "engine/log/producer_snapshot.h"
#include "engine/log/transactions.h"
#include "engine/metadata/bootstrap.h"
#include "engine/metadata/client_match.h"
#include "engine/metadata/config.h"
#include "engine/metadata/difference.h"
#include "engine/metadata/snapshot.h"
#include "engine/quorum/state_file.h"
#include "server/properties.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/parts.h"

namespace klamm::fuzz {
namespace {

using metadata::Image;

constexpr int64_t kPatternSteps = 20'000;

// A snapshot of the image is read back as the same image.
void check_snapshot(const Image& image) {
  Arena arena;
  std::vector<uint8_t> file;
  const metadata::SnapshotId id{image.end(), 1};
  metadata::SnapshotWriter writer(image, {.id = id});
  while (!writer.done()) {
    const Slice batch = writer.next(arena);
    file.insert(file.end(), batch.data(), batch.data() + batch.size());
  }
  metadata::SnapshotReader reader(id, Slice::copy(file));
  while (!reader.done()) FUZZ_CHECK(reader.step(arena, 1000).has_value());
  FUZZ_CHECK(reader.image() == image);
}

void metadata_records(ByteSpan input) {
  Image image;
  metadata::Delta delta;
  Offset offset = 0;
  for (Parts parts(input); !parts.empty(); ++offset) {
    Arena arena;
    const Image before = image;
    if (image.apply(arena, offset, parts.next(), &delta)) continue;
    FUZZ_CHECK(image == before);
  }
  if (image.in_transaction()) return;
  metadata::settle(delta, {}, image);  // what is carried must be there
  for (const TopicIdPartition& p : delta.partitions) FUZZ_CHECK(image.partition(p) != nullptr);
  if (image.complete()) check_snapshot(image);
}

void metadata_snapshot(ByteSpan input) {
  std::vector<uint8_t> file(input.begin(), input.end());
  fit_batches(&file);
  metadata::SnapshotReader reader({1000, 1}, Slice::copy(file));
  Arena arena;
  if (const auto bootstrap = metadata::read_bootstrap(arena, Slice::copy(file)))
    for (Image fresh; const Slice& record : bootstrap->records)
      FUZZ_CHECK(fresh.apply(arena, fresh.end(), record.span()).has_value());
  while (!reader.done())
    if (!reader.step(arena, 100)) return;
  FUZZ_CHECK(reader.image().end() == 1000);
}

void group_records(ByteSpan input) {
  group::HardState state;
  Offset offset = 0;
  for (Parts parts(input); !parts.empty(); ++offset) {
    Arena arena;
    const uint8_t kind = parts.byte();
    const ProducerId producer = kind % 4 == 0 ? -1 : kind % 4;
    if (kind >= 0x80) {
      group::replay_marker(state, producer, (kind & 0x40) != 0);
      continue;
    }
    const ByteSpan key = parts.next(), value = parts.next();
    const bool tombstone = (kind & 0x20) != 0;
    group::replay(
        state, arena,
        {protocol::Bytes::of(key), tombstone ? protocol::Bytes() : protocol::Bytes::of(value), offset, producer});
  }
  for (const auto& group : state.groups) {
    state.has_open_transaction(group.key);
    group::for_each_offset(state.offsets, group.key, [&](const auto& o) { return o.key.group == group.key; });
  }
}

void quorum_state(std::string_view text) {
  const auto state = quorum::decode_state_file(text);
  if (!state) return;
  const auto again = quorum::decode_state_file(quorum::encode_state_file(*state, {NodeId{1}}));
  FUZZ_CHECK(again && again->epoch == state->epoch && again->leader == state->leader);
  FUZZ_CHECK(again->voted.id == state->voted.id);
}

void producer_snapshot(ByteSpan input) {
  std::vector<uint8_t> file(input.begin(), input.end());
  fit_producer_snapshot(&file);
  const auto producers = log::parse_producer_snapshot(file);
  if (!producers) return;
  const auto again = log::parse_producer_snapshot(log::encode_producer_snapshot(*producers).span());
  FUZZ_CHECK(again && *again == *producers);
}

void txn_index(ByteSpan input) {
  const log::TxnIndexRange all{0, INT64_MAX};
  const auto aborted = log::parse_txn_index(input, all);
  if (!aborted) return;
  const auto again = log::parse_txn_index(log::encode_txn_index(*aborted).span(), all);
  FUZZ_CHECK(again && *again == *aborted);
}

void properties(std::string_view text, bool of_topic) {
  std::istringstream in{std::string(text)};
  metadata::Properties p;
  server::read_properties(in, p);
  if (of_topic) {
    if (!metadata::topic_config_fault(p, {})) metadata::make_topic_config(p, {});
    return;
  }
  metadata::ConfigReport report;
  metadata::parse_broker_config(p, report);
}

void pattern(std::string_view text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const auto parsed = Pattern::parse(text.substr(0, end));
  int64_t steps = kPatternSteps;
  if (parsed) parsed->matches(text.substr(std::min(end + 1, text.size())), steps);
}

void client_match(std::string_view text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const auto match = metadata::ClientMatch::parse(text.substr(0, end));
  metadata::ClientFacts facts;
  for (auto& fact : facts.by_attribute) fact = std::string(text.substr(std::min(end + 1, text.size())));
  int64_t steps = kPatternSteps;
  if (match) match->matches(facts, steps);
}

// What parses must be written so that it parses to the same.
template<class Parse, class Encode>
void there_and_back(std::string_view text, Parse parse, Encode encode) {
  const auto value = parse(text);
  if (!value) return;
  const auto again = parse(encode(*value));
  FUZZ_CHECK(again && *again == *value);
}

void read(Reader reader, ByteSpan input) {
  const std::string_view text = as_text(input);
  switch (reader) {
    case Reader::metadata_records: return metadata_records(input);
    case Reader::metadata_snapshot: return metadata_snapshot(input);
    case Reader::group_records: return group_records(input);
    case Reader::quorum_state: return quorum_state(text);
    case Reader::producer_snapshot: return producer_snapshot(input);
    case Reader::offset_checkpoint:
      return there_and_back(text, log::parse_offset_checkpoint, log::encode_offset_checkpoint);
    case Reader::epoch_checkpoint:
      return there_and_back(text, log::parse_epoch_checkpoint, log::encode_epoch_checkpoint);
    case Reader::partition_metadata:
      return there_and_back(text, log::parse_partition_metadata, log::encode_partition_metadata);
    case Reader::clean_shutdown: return there_and_back(text, log::parse_clean_shutdown, log::encode_clean_shutdown);
    case Reader::directory_name: return void(log::parse_partition_dir(text));
    case Reader::snapshot_name: return void(metadata::parse_snapshot_file(text));
    case Reader::meta_properties: return there_and_back(text, broker::parse_meta_file, broker::encode_meta_file);
    case Reader::broker_properties: return properties(text, false);
    case Reader::topic_properties: return properties(text, true);
    case Reader::pattern: return pattern(text);
    case Reader::client_match: return client_match(text);
    case Reader::txn_index: return txn_index(input);
    case Reader::count: return;
  }
}

}  // namespace
}  // namespace klamm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using klamm::fuzz::Reader;
  if (size > 0)
    klamm::fuzz::read(static_cast<Reader>(data[0] % static_cast<uint8_t>(Reader::count)), {data + 1, size - 1});
  return 0;
}
