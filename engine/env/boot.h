// What a machine is born with. A restart is a new machine from a new boot value on the same directories.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/base/flaws.h"

namespace klamm {

struct BoundListener {
  std::string name;             // "PLAINTEXT", "CONTROLLER"
  std::string host;             // as bound
  uint16_t port = 0;            // as bound: never 0
  std::string advertised_host;  // what clients are told
  uint16_t advertised_port = 0;
};

struct Boot {
  uint64_t incarnation = 0;                       // of this process life; drivers key what is under way by it
  std::map<std::string, std::string> properties;  // Kafka's names
  Flaws flaws;
  std::vector<BoundListener> listeners;  // ListenerId is the index
  std::vector<std::string> directories;  // names for messages; DirId is the index
  template<class V>
  void fields(V& v) const {
    v("incarnation", incarnation), v("properties", properties), v("flaws", flaws);
  }
};

}  // namespace klamm
