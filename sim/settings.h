// What an operator sets under load: configs of the topic that the load uses, and of all brokers. At the end everything
// is as it was: the last reads are judged by the settings that the run promises.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "engine/client/verbs.h"
#include "sim/tape.h"

namespace klamm::sim {

// Value. Owned by the changes; knows what was asked for, granted or not.
class Settings final {
 public:
  struct Options {
    std::string topic = {};
    std::map<std::string, std::string> created_with = {};  // the topic
    int32_t least_in_sync = 2;                             // min.insync.replicas that keeps what the run promises
    int32_t replicas = 3;
    bool keyed = false;  // the records have keys: the topic may be compacted
  };
  Settings() = default;
  explicit Settings(Options options) : options_(std::move(options)) {}

  client::AlterConfigs draw(Draws& draw, Tape& tape);
  // What is still to be put back, of one resource; nothing: all is as it was.
  std::optional<client::AlterConfigs> restore() const;
  void restored(const std::string& topic) { altered_.erase(topic); }
  // Whether it lets records expire.
  static bool expires(const client::AlterConfigs& what);

 private:
  Options options_;
  std::map<std::string, std::set<std::string>> altered_;  // topic, or nothing for brokers -> names
};

}  // namespace klamm::sim
