// Kafka's range assignor: topic by topic, consecutive partitions to the members that want it, in order of member.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "engine/client/verbs.h"

namespace klamm::client {

struct AssignorMember {
  std::string id;
  std::string instance;  // empty: none; static members come first, by instance
  std::vector<std::string> topics;
};

// By member id, every member has an entry. Topics without a count of partitions are left out.
std::map<std::string, std::vector<TopicPartition>> assign_range(const std::vector<AssignorMember>& members,
                                                                const std::map<std::string, int32_t>& partitions);

}  // namespace klamm::client
