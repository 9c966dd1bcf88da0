#include "sim/changes.h"

#include <algorithm>
#include <utility>

#include "engine/client/pack.h"
#include "engine/client/verbs.h"

namespace klamm::sim {
namespace {
constexpr int32_t kAnswerWithinMs = 5'000;
}

Changes::Changes(Options options, Settings settings) : options_(options), settings_(std::move(settings)) {
  if (options_.configs) kinds_.push_back(Kind::configs);
  if (options_.records) kinds_.push_back(Kind::records);
  if (options_.most_partitions > 0) kinds_.push_back(Kind::partitions);
}

void Changes::settle() {
  settling_ = true;
  std::erase(kinds_, Kind::partitions);  // whether the last are there is nobody's concern
}

template<class T>
void Changes::ask(World& world, const char* verb, const T& what) {
  world.ask(options_.host, Asked{kMark << 60, verb, client::pack(what)});
}

void Changes::act(World& world, const View& view) {
  next_at_ = world.now() + options_.every_ns;
  if (asked_ || kinds_.empty()) return;
  const uint64_t first = 16 * draws_++;  // each has so many draws of its own
  Draws draw{stream(kWorkload), 79, first};
  asked_ = kinds_[settling_ ? 0 : draw.below(world.tape(), kinds_.size())];
  if (asked_ == Kind::configs) return alter_configs(world, view, draw);
  if (asked_ == Kind::partitions) return create_partitions(world, view, draw);
  Draws deletion{stream(kWorkload), 78, first};
  delete_records(world, view, deletion);
}

void Changes::alter_configs(World& world, const View& view, Draws& draw) {
  if (settling_ && !settings_.restore()) {
    asked_.reset();
    kinds_.erase(kinds_.begin());
    return;
  }
  client::AlterConfigs what = settling_ ? *settings_.restore() : settings_.draw(draw, world.tape());
  what.timeout_ms = kAnswerWithinMs;
  altering_ = what.topic;
  restoring_ = settling_;
  if (Settings::expires(what)) view.load.starts().expires();
  ask(world, "alter_configs", what);
}

// Nobody minds what is refused, but for what is put back.
void Changes::altered(int64_t at, const Answered& a, Verdicts& out) {
  client::Done done;
  if (!client::unpack(a.bytes, done)) return out.add(at, "a client's answer", "an answer that cannot be read");
  if (restoring_ && done.error == ErrorCode::none) settings_.restored(altering_);
}

void Changes::create_partitions(World& world, const View& view, Draws& draw) {
  const int32_t have = view.load.partitions();
  if (growing_to_ <= have) growing_to_ = have + static_cast<int32_t>(draw.between(world.tape(), 1, 3));
  growing_to_ = std::min(growing_to_, options_.most_partitions);
  if (growing_to_ <= have || draw.below(world.tape(), 2) == 0) return asked_.reset();
  ask(world, "create_partitions", client::CreatePartitions{Workload::kTopic, growing_to_, kAnswerWithinMs});
}

// One that ended without a certain answer may have been carried out, or still be: then there are at least so many.
void Changes::partitions_created(int64_t at, const Answered& a, const View& view, Verdicts& out) {
  client::Done done;
  if (!client::unpack(a.bytes, done)) return out.add(at, "a client's answer", "an answer that cannot be read");
  if (done.error == ErrorCode::none || done.error == ErrorCode::invalid_partitions) view.load.grow(growing_to_);
}

void Changes::delete_records(World& world, const View& view, Draws& draw) {
  client::DeleteRecords d;
  d.timeout_ms = kAnswerWithinMs;
  partition_ = static_cast<int32_t>(draw.below(world.tape(), static_cast<uint64_t>(view.load.partitions())));
  const LogKey log = view.load.log(partition_);
  const int64_t deleted = view.replicas.deleted_end(log), committed = view.replicas.committed_end(log);
  enum : uint64_t { kSome, kToEnd = 5, kAll, kBeyond, kWays };
  const uint64_t way = draw.below(world.tape(), kWays);
  if (settling_)
    offset_ = std::min(deleted + 1, committed);
  else if (way < kToEnd)
    offset_ = draw.between(world.tape(), deleted, std::max(deleted, committed - (committed - deleted) / 2));
  else
    offset_ = way == kToEnd ? committed : way == kAll ? -1 : committed + draw.between(world.tape(), 1, 200);
  d.partition = {Workload::kTopic, partition_};
  d.offset = offset_;
  view.load.starts().asked(log, offset_);
  ask(world, "delete_records", d);
}

void Changes::answered(int64_t at, const Answered& a, const View& view, Verdicts& out) {
  const auto kind = std::exchange(asked_, std::nullopt);
  if (kind == Kind::configs) return altered(at, a, out);
  if (kind == Kind::partitions) return partitions_created(at, a, view, out);
  records_deleted(at, a, view, out);
}

void Changes::records_deleted(int64_t at, const Answered& a, const View& view, Verdicts& out) {
  client::RecordsDeleted r;
  if (!client::unpack(a.bytes, r)) return out.add(at, "a client's answer", "an answer that cannot be read");
  const LogKey log = view.load.log(partition_);
  if (r.error == ErrorCode::none)
    view.load.starts().acknowledged(at, log, {offset_, r.low_watermark, view.leaders.isr(log)}, out);
  // A log that is only compacted has nothing deleted; beyond the promise it may end earlier than it did.
  const bool done =
      r.error == ErrorCode::none || r.error == ErrorCode::policy_violation || r.error == ErrorCode::offset_out_of_range;
  if (settling_ && done) std::erase(kinds_, Kind::records);
}

std::string Changes::waits_for() const {
  if (settled()) return {};
  if (kinds_.front() == Kind::configs) return "; nobody puts the configs back";
  return "; nobody deletes records of partition " + std::to_string(partition_) + " before " + std::to_string(offset_);
}

}  // namespace klamm::sim
