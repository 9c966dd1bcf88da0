#include "sim/errands.h"

#include <algorithm>

#include "engine/client/pack.h"
#include "engine/client/verbs.h"

namespace klamm::sim {
namespace {
constexpr uint32_t kProducer = 7;  // the client's number on its host
constexpr int32_t kTimeoutMs = 5'000;

constexpr const char* kVerbs[] = {"create_topics", "delete_topics", "producer.open", "produce", "describe", "offset"};
}  // namespace

template<class T>
void Errands::ask(World& world, Verb verb, uint64_t which, const T& what) {
  const uint64_t token = kMark << 60 | static_cast<uint64_t>(verb) << 32 | which;
  world.ask(options_.host, Asked{token, kVerbs[static_cast<size_t>(verb)], client::pack(what)});
}

void Errands::act(World& world) {
  next_at_ = world.now() + options_.every_ns;
  if (!opened_) {
    opened_ = true;
    client::ProducerOpen open;
    open.client = kProducer;
    open.request_timeout_ms = open.delivery_timeout_ms = kTimeoutMs;
    ask(world, Verb::open, 0, open);
  }
  for (uint64_t i = 0; i < topics_.size(); ++i) go_on(world, i);
  if (settling_ && certain()) return look(world);
  if (settling_) return;
  Draws draw{stream(kWorkload), 77, draws_++};
  const uint64_t which = draw.below(world.tape(), topics_.size());
  Topic& t = topics_[which];
  if (t.stage == Stage::absent)
    t.stage = Stage::making;
  else if (t.stage == Stage::present && draw.below(world.tape(), 3) == 2)
    t.stage = Stage::removing;
  else if (t.stage == Stage::present)
    return write(world, which);
  go_on(world, which);
}

void Errands::go_on(World& world, uint64_t which) {
  Topic& t = topics_[which];
  if (t.asked) return;
  if (t.stage == Stage::making) {
    t.asked = true;
    client::CreateTopics c;
    c.timeout_ms = kTimeoutMs;
    c.topics.push_back({name(which), static_cast<int32_t>(1 + which), -1, {}, {}});
    ask(world, Verb::create, which, c);
  } else if (t.stage == Stage::removing) {
    t.asked = true;
    client::DeleteTopics d;
    d.timeout_ms = kTimeoutMs;
    d.names.push_back(name(which));
    ask(world, Verb::remove, which, d);
  }
}

void Errands::write(World& world, uint64_t which) {
  client::Produce p;
  p.client = kProducer;
  p.topic = name(which);
  p.partition = 0;
  for (int i = 0; i < 3; ++i) p.records.emplace_back().value = Slice::copy("side");
  ask(world, Verb::produce, which, p);
}

bool Errands::certain() const {
  return std::all_of(topics_.begin(), topics_.end(),
                     [](const Topic& t) { return t.stage == Stage::absent || t.stage == Stage::present; });
}

void Errands::look(World& world) {
  if (describing_ || asked_ > 0 || settled()) return;
  if (!looked_) {
    describing_ = true;
    client::Describe d;
    d.timeout_ms = kTimeoutMs;
    return ask(world, Verb::describe, 0, d);
  }
  for (const Place& p : unserved_) {
    client::OffsetAt o;
    o.partition = {p.topic, p.partition};
    o.timeout_ms = kTimeoutMs;
    ask(world, Verb::offset, asked_++, o);
  }
}

void Errands::answered(int64_t at, const Answered& a, Verdicts& out) {
  const uint64_t which = a.token & 0xffff'ffff;
  const auto damaged = [&] { out.add(at, "a client's answer", "an answer that cannot be read"); };
  switch (static_cast<Verb>(a.token >> 32 & 0xff)) {
    case Verb::create:
    case Verb::remove: {
      client::TopicResults r;
      if (!client::unpack(a.bytes, r)) return damaged();
      Topic& t = topics_.at(which);
      t.asked = false;
      const ErrorCode error = r.topics.empty() ? r.error : r.topics[0].error;
      const bool made = t.stage == Stage::making;
      const ErrorCode already = made ? ErrorCode::topic_already_exists : ErrorCode::unknown_topic_or_partition;
      if (error == ErrorCode::none || error == already) t.stage = made ? Stage::present : Stage::absent;
      return;
    }
    case Verb::open:
    case Verb::produce: return;  // whether they were written is nobody's concern
    case Verb::describe: {
      client::Description d;
      if (!client::unpack(a.bytes, d)) return damaged();
      describing_ = false;
      if (d.error != ErrorCode::none) return;
      looked_ = true;
      unserved_.clear();
      for (const auto& t : d.topics)
        for (const auto& p : t.partitions)
          if (t.name.starts_with(kPrefix)) unserved_.push_back({t.name, p.index});
      return;
    }
    case Verb::offset: {
      client::OffsetResult r;
      if (!client::unpack(a.bytes, r)) return damaged();
      if (r.error == ErrorCode::none) unserved_.at(which).topic.clear();
      if (--asked_ > 0) return;
      // Those that do not serve may be gone after all, by a removal that was thought lost: look again.
      looked_ = std::all_of(unserved_.begin(), unserved_.end(), [](const Place& x) { return x.topic.empty(); });
      if (looked_) unserved_.clear();
      return;
    }
  }
  damaged();
}

std::string Errands::waits_for() const {
  std::string text;
  for (uint64_t i = 0; i < topics_.size(); ++i)
    if (topics_[i].stage == Stage::making || topics_[i].stage == Stage::removing)
      text += "; " + name(i) + (topics_[i].stage == Stage::making ? " cannot be made" : " cannot be removed");
  if (!looked_) text += "; nobody describes the topics";
  for (const Place& p : unserved_)
    if (!p.topic.empty()) text += "; " + p.topic + "-" + std::to_string(p.partition) + " does not serve";
  return text;
}

}  // namespace klamm::sim
