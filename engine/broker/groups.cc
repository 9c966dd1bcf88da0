// The group coordinator on this broker: its partitions of __consumer_offsets come and go with leadership; its batches
// go to their logs, and what is committed there releases its replies.
#include "engine/broker/turn.h"

namespace klamm::broker {
namespace {

constexpr uint32_t kLoadBytes = 1 << 20;  // of one read while loading
constexpr int kLoadsPerTurn = 16;         // reads a partition and turn, then others go on

// The image, as groups see it.
class ImageTopics final : public group::Topics {
 public:
  explicit ImageTopics(const metadata::Image& image) : image_(image) {}
  int32_t partitions(Str topic) const override {
    const metadata::Topic* t = image_.topic(topic);
    return t ? static_cast<int32_t>(t->partitions.size()) : 0;
  }
  Uuid id(Str topic) const override {
    const metadata::Topic* t = image_.topic(topic);
    return t ? t->id : Uuid{};
  }
  Str name(const Uuid& topic) const override {
    const metadata::Topic* t = image_.topic(topic);
    return t ? Str(t->name) : kNullStr;
  }

 private:
  const metadata::Image& image_;
};

}  // namespace

group::Config group_config(const metadata::BrokerConfig& c) {
  group::Config g;
  g.min_session_timeout_ms = static_cast<int32_t>(c.group_min_session_timeout.ms());
  g.max_session_timeout_ms = static_cast<int32_t>(c.group_max_session_timeout.ms());
  g.initial_rebalance_delay_ms = static_cast<int32_t>(c.group_initial_rebalance_delay.ms());
  g.max_size = c.group_max_size;
  g.offset_metadata_max = c.offset_metadata_max_bytes;
  g.offsets_retention_ms = c.offsets_retention.ms();
  g.retention_check_ms = c.offsets_retention_check_interval.ms();
  g.commit_timeout_ms = static_cast<int32_t>(c.offsets_commit_timeout.ms());
  g.max_batch_bytes = c.message_max_bytes;
  g.partitions = c.offsets_partitions;
  return g;
}

void Turn::on_group_request(const Request& r) {
  const std::string* host = p.server.peer_host(r.ticket.conn);
  const std::string from = "/" + (host ? *host : std::string("127.0.0.1"));
  group::Out out;
  p.groups.coordinator.on_request(ctx(), {r.ticket, r.frame.of(r.body()), r.client_id, from}, ImageTopics(p.image),
                                  out);
  drain(out);
}

void Turn::drain(group::Out& out) {
  for (Reply& r : out.replies) reply(std::move(r));
  for (const coordinator::Append& a : out.appends) append_for_groups(a);
}

void Turn::append_for_groups(const coordinator::Append& a) {
  const TopicIdPartition id{p.groups.topic, a.partition};
  const replication::Partition* partition = p.replicas.find(id);
  coordinator::AppendEnd end{a.partition, a.epoch, ErrorCode::none, 0};
  if (!partition || partition->role() != replication::Role::leader || partition->assignment().leader_epoch != a.epoch ||
      !partition->log().ready())
    end.error = ErrorCode::not_leader_or_follower;
  else if (partition->enough_replicas() != ErrorCode::none)
    end.error = ErrorCode::not_enough_replicas;
  if (end.error == ErrorCode::none) {
    const auto appended = p.replicas.append(ctx(), id, a.batch);
    if (appended)
      end.base = appended->base;
    else
      end.error = appended.error().code;
  }
  group::Out out;
  p.groups.coordinator.append_ended(ctx(), end, out);
  drain(out);
}

// The role of a partition of the offsets topic may have changed.
void Turn::groups_moved(const TopicIdPartition& id) {
  GroupService& g = p.groups;
  if (id.topic != g.topic || g.topic.zero()) return;
  const replication::Partition* partition = p.replicas.find(id);
  const bool leads = partition && partition->role() == replication::Role::leader && partition->log().ready();
  const auto led = g.led.find(id.partition);
  if (!leads) {
    if (led == g.led.end()) return;
    g.led.erase(led);
    g.loading.erase(id.partition);
    group::Out out;
    g.coordinator.resigned(ctx(), id.partition, out);
    return drain(out);
  }
  const LeaderEpoch epoch = partition->assignment().leader_epoch;
  if (led == g.led.end() || led->second != epoch) {
    g.led[id.partition] = epoch;
    if (g.coordinator.elected(id.partition, epoch)) g.loading[id.partition] = partition->log().ends().log_start;
  }
  if (g.loading.count(id.partition)) load_groups(id);
}

void Turn::load_groups(const TopicIdPartition& id) {
  GroupService& g = p.groups;
  const replication::Partition& partition = *p.replicas.find(id);
  Offset& at = g.loading.at(id.partition);
  at = std::max(at, partition.log().ends().log_start);
  for (int i = 0; at < partition.log().ends().submitted; ++i) {
    if (i == kLoadsPerTurn) {
      p.again = true;
      p.stirred_groups.insert(id);
      return;
    }
    const log::ReadResult got = partition.log().read({at, kLoadBytes, partition.log().ends().submitted, true});
    if (got.status == log::ReadStatus::cold)
      return p.replicas.load_cold(io, id, {at, kLoadBytes});   // its coming is a change
    if (got.status != log::ReadStatus::ok || got.size == 0) {  // damaged on disk
      p.replicas.forget_fault(id, at);
      g.loading.erase(id.partition);
      return g.coordinator.load_failed(id.partition);
    }
    Writer whole(got.size);
    for (const Slice& s : got.pieces) whole.raw(s.span());
    const Slice bytes = whole.finish_contiguous();
    const Result<Offset> next = g.coordinator.load(ctx(), id.partition, bytes.span());
    if (!next) {
      g.loading.erase(id.partition);
      return;
    }
    at = std::max(*next, got.next);
  }
  const Offset end = at;
  g.loading.erase(id.partition);
  group::Out out;
  g.coordinator.loaded(ctx(), id.partition, end, partition.high_watermark(), out);
  drain(out);
}

void Turn::groups_committed(const TopicIdPartition& id) {
  if (id.topic != p.groups.topic || !p.groups.led.count(id.partition)) return;
  group::Out out;
  p.groups.coordinator.high_watermark(ctx(), id.partition, p.replicas.find(id)->high_watermark(), out);
  drain(out);
}

// The offsets topic may have appeared, or gone with all groups: a later one of its name begins anew.
void Turn::groups_carry(const metadata::Delta& delta) {
  GroupService& g = p.groups;
  if (!g.topic.zero() && !delta.deleted.count(g.topic)) return;
  group::Out out;
  for (const auto& [partition, epoch] : std::exchange(g.led, {})) g.coordinator.resigned(ctx(), partition, out);
  g.loading.clear();
  drain(out);
  const metadata::Topic* topic = p.image.topic("__consumer_offsets");
  g.topic = topic ? topic->id : Uuid{};
  if (!topic) return;
  g.coordinator.set_partitions(static_cast<int32_t>(topic->partitions.size()));
  groups_configured();
}

void Turn::groups_topics_deleted(const metadata::Image& before, const metadata::Delta& delta) {
  group::TopicIds gone;
  for (const Uuid& id : delta.deleted)
    if (const metadata::Topic* topic = before.topic(id)) gone[topic->name].insert(id);
  if (gone.empty()) return;
  group::Out out;
  p.groups.coordinator.topics_deleted(ctx(), gone, out);
  drain(out);
}

// How large a batch the offsets topic takes is the topic's to say, at any time.
void Turn::groups_configured() {
  if (!p.groups.topic.zero())
    p.groups.coordinator.set_max_batch_bytes(settings_of("__consumer_offsets").admission.max_message_bytes);
}

void Turn::groups_on_time() {
  for (const TopicIdPartition& id : std::exchange(p.stirred_groups, {})) groups_moved(id);
  if (p.groups.coordinator.next_deadline() > ctx().now) return;
  group::Out out;
  p.groups.coordinator.on_time(ctx(), out);
  drain(out);
}

}  // namespace klamm::broker
