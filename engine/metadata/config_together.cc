#include "engine/metadata/config_together.h"

#include <algorithm>
#include <initializer_list>

namespace klamm::metadata {
namespace {

struct Together {
  const Properties& properties;
  ConfigReport& report;
  int64_t number(const std::string& name) const {
    return parse_integer(trimmed(broker_config_text(properties, name))).value_or(0);
  }
  void want(bool holds, const std::string& name, const std::string& wanted) {
    if (!holds) report.errors.push_back({name, broker_config_text(properties, name), wanted});
  }
};

// What Kafka wants of several properties together, in its words.
void between(Together& t, const BrokerConfig& c) {
  const auto number = [&](const char* name) { return t.number(name); };
  const auto want = [&](bool holds, const char* name, const std::string& wanted) { t.want(holds, name, wanted); };
  const auto of_topics = [&](const char* name) {
    const auto value = topic_config_value(*find_config(ConfigScope::topic, name), {}, t.properties);
    return parse_integer(trimmed(value.value_or(""))).value_or(0);
  };
  const bool both = t.properties.contains("node.id") && t.properties.contains("broker.id");
  want(!both || number("node.id") == number("broker.id"), "node.id",
       "You must set `node.id` to the same value as `broker.id`.");
  want(of_topics("segment.ms") >= 1, "log.roll.ms", "log.roll.ms must be greater than or equal to 1");
  want(of_topics("segment.jitter.ms") >= 0, "log.roll.jitter.ms",
       "log.roll.jitter.ms must be greater than or equal to 0");
  want(of_topics("retention.ms") != 0, "log.retention.ms",
       "log.retention.ms must be unlimited (-1) or, greater than or equal to 1");
  if (const int64_t threads = number("log.cleaner.threads"); threads > 0)
    want(number("log.cleaner.dedupe.buffer.size") / threads > 1024 * 1024, "log.cleaner.dedupe.buffer.size",
         "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.");
  want(c.replica_fetch_wait_max <= c.replica_socket_timeout, "replica.socket.timeout.ms",
       "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket "
       "timeouts");
  want(c.replica_fetch_wait_max <= c.replica_lag_max, "replica.fetch.wait.max.ms",
       "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent "
       "changes in ISR");
  const int64_t queued = number("queued.max.request.bytes");
  want(queued <= 0 || queued >= c.request_max_bytes, "queued.max.request.bytes",
       "queued.max.request.bytes must be larger or equal to socket.request.max.bytes");
  want(c.max_connections_per_ip != 0 || !c.max_connections_overrides.empty(), "max.connections.per.ip",
       "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.");
  const int64_t idle = number("connections.max.idle.ms");
  const char* const kDelay = "connection.failed.authentication.delay.ms";
  want(idle < 0 || number(kDelay) < idle, kDelay,
       std::string(kDelay) + "=" + std::to_string(number(kDelay)) +
           " should always be less than connections.max.idle.ms=" + std::to_string(idle) +
           " to prevent failed authentication responses from timing out");
  want(c.heartbeat_interval < c.session_timeout, "broker.heartbeat.interval.ms",
       "it must be less than broker.session.timeout.ms");
}

// The bounds of what a group may ask for, and what it has by itself between them.
void group_bounds(Together& t) {
  for (const std::string& kind :
       std::initializer_list<std::string>{"group.consumer.", "group.share.", "group.streams."}) {
    const auto number = [&](const std::string& name) { return t.number(name); };
    const auto want = [&](bool holds, const std::string& name, const char* relation, const std::string& other) {
      t.want(holds, name, name + " must be " + relation + " " + other);
    };
    for (const std::string& what :
         std::initializer_list<std::string>{"heartbeat.interval.ms", "session.timeout.ms", "assignment.interval.ms"}) {
      const std::string own = kind + what, least = kind + "min." + what, most = kind + "max." + what;
      want(number(most) >= number(least), most, "greater than or equal to", least);
      want(number(own) >= number(least), own, "greater than or equal to", least);
      want(number(own) <= number(most), own, "less than or equal to", most);
    }
    const std::string beat = kind + "heartbeat.interval.ms", session = kind + "session.timeout.ms";
    want(number(beat) < number(session), beat, "less than", session);
  }
}

// "*" stands for all of them.
void cordoned(Together& t) {
  const std::string several = broker_config_text(t.properties, "log.dirs"),
                    one = broker_config_text(t.properties, "log.dir");
  const auto dirs = config_list(several.empty() ? one : several);
  const std::string named = broker_config_text(t.properties, "cordoned.log.dirs");
  const auto all = config_list(named);
  const auto stars = std::count(all.begin(), all.end(), "*");
  if (stars > 0 && static_cast<size_t>(stars) == all.size()) return;
  t.want(stars == 0, "cordoned.log.dirs", "When cordoned.log.dirs is set to *, it must not contain other values");
  std::string missing;
  for (std::string_view dir : all)
    if (std::find(dirs.begin(), dirs.end(), dir) == dirs.end()) missing.append(missing.empty() ? "" : ", ").append(dir);
  t.want(missing.empty(), "cordoned.log.dirs",
         "All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : " + missing);
}

}  // namespace

void check_change(const Properties& properties, ConfigReport& report) {
  Together t{properties, report};
  for (const char* name : {"max.connections", "max.connection.creation.rate"})
    t.want(t.number(name) > 0, name, std::string("Invalid ") + name + " " + std::to_string(t.number(name)));
  // What is kept here of a log that lies remotely as well is part of what is kept at all; -2: as much as that.
  const auto part = [&](const char* local, const char* all_of) {
    const auto kept = topic_config_value(*find_config(ConfigScope::topic, all_of), {}, properties);
    const int64_t whole = parse_integer(trimmed(kept.value_or(""))).value_or(-1), here = t.number(local);
    if (whole < 0 || here == -2) return;
    const std::string name = std::string("log.") + all_of, value = std::to_string(whole);
    t.want(here != -1, local, "Value must not be -1 as " + name + " value is set as " + value + ".");
    t.want(here <= whole, local, "Value must not be more than " + name + " property value: " + value);
  };
  part("log.local.retention.ms", "retention.ms");
  part("log.local.retention.bytes", "retention.bytes");
}

void check_together(const Properties& properties, const BrokerConfig& config, ConfigReport& report) {
  Together t{properties, report};
  between(t, config);
  group_bounds(t);
  cordoned(t);
}

}  // namespace klamm::metadata
