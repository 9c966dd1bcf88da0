#include "sim/crowd.h"

namespace klamm::sim {

void Crowd::act(World& world, Workload& load) {
  next_at_ = world.now() + options_.every_ns;
  if (world.state(options_.host) != HostState::up) return;
  Draws draw{stream(kWorkload), 80, 2 * draws_++};
  const uint64_t which = draw.below(world.tape(), members_.size());
  uint32_t& member = members_[which];
  if (member != 0) {
    if (draw.below(world.tape(), 3) == 0) return;
    load.leave(world, options_.host, member);
    member = 0;
  } else if (kFirstMember + joined_ <= kLastMember) {
    member = kFirstMember + joined_++;
    load.join(world, options_.host, {member, which % 2 == 1 ? "crowd-" + std::to_string(which) : ""});
  }
}

}  // namespace klamm::sim
