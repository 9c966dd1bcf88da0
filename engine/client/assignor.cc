#include "engine/client/assignor.h"

#include <algorithm>

namespace klamm::client {

std::map<std::string, std::vector<TopicPartition>> assign_range(const std::vector<AssignorMember>& members,
                                                                const std::map<std::string, int32_t>& partitions) {
  std::vector<const AssignorMember*> order;
  std::map<std::string, std::vector<TopicPartition>> out;
  for (const AssignorMember& m : members) {
    order.push_back(&m);
    out[m.id];
  }
  std::stable_sort(order.begin(), order.end(), [](const AssignorMember* a, const AssignorMember* b) {
    if (a->instance.empty() != b->instance.empty()) return b->instance.empty();
    return a->instance.empty() ? a->id < b->id : a->instance < b->instance;
  });
  for (const auto& [topic, count] : partitions) {
    std::vector<const AssignorMember*> wanting;
    for (const AssignorMember* m : order)
      if (std::find(m->topics.begin(), m->topics.end(), topic) != m->topics.end()) wanting.push_back(m);
    if (wanting.empty()) continue;
    const auto n = static_cast<int32_t>(wanting.size());
    int32_t next = 0;
    for (int32_t i = 0; i < n; ++i) {
      const int32_t share = count / n + (i < count % n ? 1 : 0);
      for (int32_t k = 0; k < share; ++k) out[wanting[static_cast<size_t>(i)]->id].push_back({topic, next++});
    }
  }
  return out;
}

}  // namespace klamm::client
