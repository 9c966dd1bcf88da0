#include "sim/settings.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace klamm::sim {
namespace {

struct Setting {
  const char* name;
  std::array<const char*, 6> values;
  constexpr size_t count() const {
    return static_cast<size_t>(std::find(values.begin(), values.end(), nullptr) - values.begin());
  }
};

constexpr const char* kMinInSync = "min.insync.replicas";

// Values that a load of small batches can live with: what a broker refuses for being too large is no fault of it.
constexpr Setting kOfTopic[] = {
    {"retention.ms", {"8000", "2000", "600", "-1"}},
    {"retention.bytes", {"100000", "20000", "-1"}},
    {"internal.segment.bytes", {"65536", "16384", "4096"}},
    {"segment.bytes", {"2000000", "1048576"}},
    {"segment.ms", {"3000", "1000", "200"}},
    {"file.delete.delay.ms", {"1000", "0"}},
    {"max.message.bytes", {"1048588", "100000", "8000000"}},
    {"compression.type", {"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"}},
    {"flush.messages", {"100", "10", "1"}},
    {"flush.ms", {"1000", "100", "1"}},
    {"message.timestamp.type", {"CreateTime", "LogAppendTime"}},
    {"index.interval.bytes", {"4096", "100", "0"}},
    {kMinInSync, {}},  // drawn
    {kMinInSync, {}},
    {kMinInSync, {}},
    // ---- of a topic whose records have keys
    {"cleanup.policy", {"compact,delete", "delete", "compact"}},
    {"cleanup.policy", {"compact,delete", "delete", "compact"}},
    {"min.cleanable.dirty.ratio", {"0.01", "0.9"}},
    {"min.compaction.lag.ms", {"0", "1000"}},
};
constexpr size_t kOfKeyedOnly = 4;

// Some of them a broker refuses, as Kafka does: threads at most double or halve at once.
constexpr Setting kOfBrokers[] = {
    {"log.cleaner.threads", {"1", "2", "3"}},
    {"log.cleaner.backoff.ms", {"1000", "50"}},
    {"num.io.threads", {"8", "16", "4", "1000"}},
    {"num.replica.fetchers", {"1", "2"}},
    {"num.recovery.threads.per.data.dir", {"2", "1", "4"}},
    {"message.max.bytes", {"1048588", "100000", "8000000"}},
    {"compression.type", {"producer", "lz4", "zstd"}},
    {"log.flush.interval.messages", {"100", "10", "1"}},
    {"log.index.interval.bytes", {"4096", "100"}},
    {"log.message.timestamp.type", {"CreateTime", "LogAppendTime"}},
    {"log.retention.ms", {"8000", "2000", "-1"}},
    {"log.roll.ms", {"3000", "500"}},
};

}  // namespace

client::AlterConfigs Settings::draw(Draws& draw, Tape& tape) {
  client::AlterConfigs what;
  const bool of_topic = draw.below(tape, 4) != 3;
  if (of_topic) what.topic = options_.topic;
  const size_t most = of_topic ? std::size(kOfTopic) - (options_.keyed ? 0 : kOfKeyedOnly) : std::size(kOfBrokers);
  const uint64_t count = 1 + draw.below(tape, 3);
  std::set<std::string>& altered = altered_[what.topic];
  for (uint64_t i = 0; i < count; ++i) {
    const Setting& s = (of_topic ? kOfTopic : kOfBrokers)[draw.below(tape, most)];
    const auto same = [&](const client::AlterConfigs::Config& c) { return c.name == s.name; };
    if (std::any_of(what.configs.begin(), what.configs.end(), same)) continue;
    std::optional<std::string> value;
    if (s.count() == 0)
      value = std::to_string(draw.between(tape, options_.least_in_sync, options_.replicas));
    else if (const uint64_t which = draw.below(tape, s.count() + 1); which < s.count())
      value = s.values[which];
    what.configs.push_back({s.name, value});
    altered.insert(s.name);
  }
  return what;
}

std::optional<client::AlterConfigs> Settings::restore() const {
  if (altered_.empty()) return std::nullopt;
  const auto& [topic, names] = *altered_.begin();
  client::AlterConfigs what;
  what.topic = topic;
  for (const std::string& name : names) {
    const auto was = options_.created_with.find(name);
    const bool known = !topic.empty() && was != options_.created_with.end();
    what.configs.push_back({name, known ? std::optional(was->second) : std::nullopt});
  }
  return what;
}

bool Settings::expires(const client::AlterConfigs& what) {
  return std::any_of(what.configs.begin(), what.configs.end(), [](const client::AlterConfigs::Config& c) {
    return c.name.find("retention.ms") != std::string::npos || c.name == "retention.bytes";
  });
}

}  // namespace klamm::sim
