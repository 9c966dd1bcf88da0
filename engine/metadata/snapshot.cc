#include "engine/metadata/snapshot.h"

#include <charconv>

#include "engine/metadata/records.h"
#include "engine/protocol/records/control_records.h"

namespace klamm::metadata {
namespace {

constexpr size_t kEndDigits = 20, kEpochDigits = 10;
constexpr std::string_view kSuffix = ".checkpoint";

std::string padded(int64_t n, size_t digits) {
  const std::string text = std::to_string(n);
  return std::string(digits - std::min(digits, text.size()), '0') + text;
}
template<class N>
bool parse(std::string_view text, N* out) {
  const auto end = std::from_chars(text.data(), text.data() + text.size(), *out);
  return end.ec == std::errc{} && end.ptr == text.data() + text.size() && *out >= 0;
}

template<class To>
void endpoints(Arena& arena, To& to, const std::vector<BrokerEndpoint>& from) {
  for (const BrokerEndpoint& x : from) {
    auto& e = to.add(arena);
    e.name = x.name, e.host = x.host, e.port = x.port, e.security_protocol = x.security_protocol;
  }
}
template<class To>
void ranges(Arena& arena, To& to, const std::vector<FeatureRange>& from) {
  for (const FeatureRange& x : from) {
    auto& f = to.add(arena);
    f.name = x.name, f.min_supported_version = x.min, f.max_supported_version = x.max;
  }
}

protocol::RegisterBrokerRecord record_of(Arena& arena, const Broker& b) {
  protocol::RegisterBrokerRecord r;
  r.broker_id = b.id.value;
  r.incarnation_id = b.incarnation;
  r.broker_epoch = b.epoch;
  endpoints(arena, r.end_points, b.endpoints);
  ranges(arena, r.features, b.features);
  r.rack = b.rack ? Str(*b.rack) : kNullStr;
  r.fenced = b.fenced;
  r.in_controlled_shutdown = b.in_controlled_shutdown;
  r.log_dirs = uuids(arena, b.log_dirs);
  if (!b.cordoned_log_dirs.empty()) r.cordoned_log_dirs = uuids(arena, b.cordoned_log_dirs);
  return r;
}

protocol::RegisterControllerRecord record_of(Arena& arena, const Controller& c) {
  protocol::RegisterControllerRecord r;
  r.controller_id = c.id.value;
  r.incarnation_id = c.incarnation;
  endpoints(arena, r.end_points, c.endpoints);
  ranges(arena, r.features, c.features);
  return r;
}

}  // namespace

std::string snapshot_file(const SnapshotId& id) {
  return padded(id.end, kEndDigits) + "-" + padded(id.epoch, kEpochDigits) + std::string(kSuffix);
}

std::optional<SnapshotId> parse_snapshot_file(std::string_view name) {
  if (name.size() != kEndDigits + 1 + kEpochDigits + kSuffix.size() || name[kEndDigits] != '-' ||
      !name.ends_with(kSuffix))
    return std::nullopt;
  SnapshotId id;
  if (!parse(name.substr(0, kEndDigits), &id.end) || !parse(name.substr(kEndDigits + 1, kEpochDigits), &id.epoch))
    return std::nullopt;
  return id;
}

bool is_draft_of_snapshot(std::string_view name) { return name.ends_with(std::string(kSuffix) + kDraftSuffix); }

std::optional<int64_t> contained_ms(ByteSpan head) {
  protocol::BatchCursor cursor(head);
  if (!cursor.next()) return std::nullopt;
  const auto header = protocol::check_batch(cursor.batch());
  if (!header || !header->control()) return std::nullopt;
  const auto open = protocol::OpenBatch::open(*header, cursor.batch(), kSnapshotPlainMax);
  if (!open) return std::nullopt;
  protocol::RecordCursor records = open->records();
  protocol::Record r;
  if (!records.next(r) || protocol::control_type(r.key) != static_cast<int16_t>(protocol::ControlType::snapshot_header))
    return std::nullopt;
  protocol::SnapshotHeaderRecord h;
  Arena arena;
  Reader reader(r.value.span());
  if (!protocol::decode(reader, arena, 0, h)) return std::nullopt;
  return h.last_contained_log_timestamp;
}

// ---- writing

SnapshotWriter::SnapshotWriter(const Image& image, const Options& options) : image_(image), options_(options) {
  KLAMM_ASSERT(!image.in_transaction() && image.complete());
  KLAMM_ASSERT_REL(image.end(), ==, options.id.end);
}

protocol::BatchBuilder SnapshotWriter::batch(bool control) const {
  protocol::BatchBuilder::Options o;
  o.base_offset = offset_;
  o.leader_epoch = options_.id.epoch;
  o.control = control;
  return protocol::BatchBuilder(o);
}

Slice SnapshotWriter::finish(protocol::BatchBuilder& batch) {
  offset_ += batch.count();
  return batch.finish();
}

// All in one batch, in this order, as Kafka writes them.
Slice SnapshotWriter::header() {
  protocol::BatchBuilder b = batch(true);
  const auto add = [&](protocol::ControlType type, const auto& record) {
    Writer w(32);
    encode(w, 0, record);
    b.add_control(type, options_.now_ms, w.finish_contiguous().span());
  };
  add(protocol::ControlType::snapshot_header,
      protocol::SnapshotHeaderRecord{.last_contained_log_timestamp = options_.contained_ms});
  const QuorumRecords& quorum = image_.quorum();
  if (quorum.kraft_version > 0)
    add(protocol::ControlType::kraft_version, protocol::KRaftVersionRecord{.k_raft_version = quorum.kraft_version});
  if (quorum.kraft_version > 0 && !quorum.voters.empty())
    b.add_control(protocol::ControlType::kraft_voters, options_.now_ms, as_bytes(quorum.voters));
  return finish(b);
}

Slice SnapshotWriter::footer() {
  protocol::BatchBuilder b = batch(true);
  Writer w(32);
  encode(w, 0, protocol::SnapshotFooterRecord{});
  b.add_control(protocol::ControlType::snapshot_footer, options_.now_ms, w.finish_contiguous().span());
  return finish(b);
}

Slice SnapshotWriter::next(Arena& arena) {
  KLAMM_ASSERT(!done());
  if (stage_ == Stage::header) {
    stage_ = Stage::cluster;
    return header();
  }
  protocol::BatchBuilder b = batch(false);
  if (stage_ == Stage::cluster) add_cluster(arena, b), stage_ = Stage::topics;
  if (stage_ == Stage::topics) add_topics(arena, b);
  if (stage_ == Stage::configs) add_configs(b);
  if (stage_ == Stage::unused) add_unused(b);
  if (stage_ == Stage::last) {
    stage_ = Stage::footer;
    if (image_.next_producer_id() > 0) {
      const protocol::ProducerIdsRecord r{.next_producer_id = image_.next_producer_id()};
      b.add_value(options_.now_ms, encode_record(0, r).span());
    }
  }
  if (!b.empty()) return finish(b);
  KLAMM_ASSERT(stage_ == Stage::footer);
  stage_ = Stage::done;
  image_ = {};
  return footer();
}

void SnapshotWriter::add_cluster(Arena& arena, protocol::BatchBuilder& out) const {
  const auto add = [&](int16_t version, const auto& record) {
    out.add_value(options_.now_ms, encode_record(version, record).span());
  };
  const auto feature = [&](const std::string& name, int16_t level) {
    add(0, protocol::FeatureLevelRecord{.name = name, .feature_level = level});
  };
  if (const int16_t level = image_.feature(kMetadataVersion); level > 0) feature(kMetadataVersion, level);  // first
  for (const auto& [name, level] : image_.features())
    if (name != kMetadataVersion) feature(name, level);
  for (const auto& [id, broker] : image_.brokers()) add(kRegisterBrokerVersion, record_of(arena, broker));
  for (const auto& [id, controller] : image_.controllers()) add(0, record_of(arena, controller));
}

void SnapshotWriter::add_topics(Arena& arena, protocol::BatchBuilder& out) {
  auto it = topic_ ? image_.topics().lower_bound(*topic_) : image_.topics().begin();
  for (; !it.at_end(); ++it) {
    const Topic& t = it->value;
    if (topic_ != t.id) {
      if (out.plain_size() >= kSnapshotBatchBytes) return;
      topic_ = t.id;
      partition_ = 0;
      out.add_value(options_.now_ms, encode_record(0, protocol::TopicRecord{.name = t.name, .topic_id = t.id}).span());
    }
    for (auto p = t.partitions.lower_bound(partition_); !p.at_end(); ++p) {
      if (out.plain_size() >= kSnapshotBatchBytes) return;
      out.add_value(options_.now_ms, partition_record(arena, {t.id, p->key}, p->value).span());
      partition_ = p->key + 1;
    }
  }
  stage_ = Stage::configs;
}

void SnapshotWriter::add_configs(protocol::BatchBuilder& out) {
  auto it = key_ ? image_.configs().lower_bound(*key_) : image_.configs().begin();
  if (key_ && !it.at_end() && it->key == *key_) ++it;
  for (; !it.at_end(); ++it) {
    if (out.plain_size() >= kSnapshotBatchBytes) return;
    for (const auto& [name, value] : it->value) {
      protocol::ConfigRecord r;
      r.resource_type = static_cast<int8_t>(it->key.type);
      r.resource_name = it->key.name;
      r.name = name;
      r.value = value;
      out.add_value(options_.now_ms, encode_record(0, r).span());
    }
    key_ = it->key;
  }
  stage_ = Stage::unused;
}

void SnapshotWriter::add_unused(protocol::BatchBuilder& out) {
  auto it = unused_ ? image_.unused().lower_bound(*unused_) : image_.unused().begin();
  if (unused_ && !it.at_end() && it->key == *unused_) ++it;
  for (; !it.at_end(); ++it) {
    if (out.plain_size() >= kSnapshotBatchBytes) return;
    out.add_value(options_.now_ms, as_bytes(it->value));
    unused_ = it->key;
  }
  stage_ = Stage::last;
}

// ---- reading

Result<void> SnapshotReader::step(Arena& arena, size_t most, Delta* delta) {
  KLAMM_ASSERT(!ended_);
  const size_t until = at_ + most;
  while (at_ < file_.size() && at_ < until) {
    protocol::BatchCursor cursor(file_.span().subspan(at_));
    if (ended_ || !cursor.next()) return fail(ErrorCode::corrupt_message, "a snapshot that does not end as one");
    const auto header = protocol::check_batch(cursor.batch());
    if (!header) return tl::unexpected(header.error());
    const auto open = protocol::OpenBatch::open(*header, cursor.batch(), kSnapshotPlainMax);
    if (!open) return tl::unexpected(open.error());
    protocol::RecordCursor records = open->records();
    for (protocol::Record r; records.next(r);) {
      const Result<void> read = header->control() ? control_record(r) : data_record(arena, r, delta);
      if (!read) return read;
    }
    if (records.error()) return fail(ErrorCode::corrupt_message, records.error());
    at_ += cursor.batch().size();
  }
  if (ended_ && at_ < file_.size()) return fail(ErrorCode::corrupt_message, "a snapshot goes on behind its end");
  if (at_ < file_.size()) return {};
  if (!ended_ || image_.in_transaction()) return fail(ErrorCode::corrupt_message, "a snapshot without its end");
  image_.stand_at(id_.end);
  file_ = {};
  return {};
}

Result<void> SnapshotReader::data_record(Arena& arena, const protocol::Record& record, Delta* delta) {
  if (!begun_ || ended_) return fail(ErrorCode::corrupt_message, "a snapshot's records lie outside of it");
  return image_.apply(arena, image_.end(), record.value.is_null() ? ByteSpan{} : record.value.span(), delta);
}

Result<void> SnapshotReader::control_record(const protocol::Record& record) {
  const auto type = protocol::control_type(record.key);
  if (type == static_cast<int16_t>(protocol::ControlType::snapshot_header)) {
    if (begun_) return fail(ErrorCode::corrupt_message, "a snapshot begins twice");
    begun_ = true;
  } else if (type == static_cast<int16_t>(protocol::ControlType::snapshot_footer)) {
    if (!begun_) return fail(ErrorCode::corrupt_message, "a snapshot ends before it begins");
    ended_ = true;
  }
  return image_.apply_control(record);
}

}  // namespace klamm::metadata
