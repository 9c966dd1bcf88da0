// A run as text that a person can follow: a line a happening, with its virtual time and its host.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/world.h"

namespace klamm::sim {

class Story final : public Observer {
 public:
  // `all`: requests, appends, syncs and high watermarks too.
  Story(std::vector<std::string> hosts, bool all) : hosts_(std::move(hosts)), all_(all) {}
  // What has been told since the last call. Topics that it names for the first time are looked up in the brokers'
  // images.
  std::string take(const World& world);

  void trace(int64_t at, HostId host, const TraceEvent& e) override;
  void exited(int64_t at, HostId host, const Exit& e) override;
  void failed(int64_t at, HostId host, const std::string& text) override;
  void lifecycle(int64_t at, HostId host, HostState state, uint64_t incarnation) override;
  void tell(int64_t at, const std::string& who, const std::string& what);

 private:
  std::string host(int64_t h) const;
  std::string log(const TraceEvent& e);
  std::string render(const TraceEvent& e);  // empty: not told
  void name_topics(const World& world);
  std::string render_fault(const TraceEvent& e) const;

  std::vector<std::string> hosts_;
  std::map<int64_t, std::string> topics_;
  bool unnamed_ = false;  // text_ has a topic by its key
  bool all_;
  std::string text_;
};

}  // namespace klamm::sim
