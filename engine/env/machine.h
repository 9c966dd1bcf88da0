// The one interface between the engine and its drivers.
#pragma once
#include <memory>
#include <span>

#include "engine/base/ctx.h"
#include "engine/base/visit.h"
#include "engine/env/command.h"
#include "engine/env/event.h"

namespace klamm {

// A broker node, or a host of clients. Sequential: `turn` is never entered twice at once. Keeps no pointer to its
// world.
class Machine {
 public:
  virtual ~Machine() = default;
  // Takes what happened, appends what to do. Events of one source keep their order; across sources the order is input.
  // A turn without events is legal: a deadline has passed, or nothing has.
  virtual void turn(Ctx& ctx, std::span<const Event> events, Commands& out) = 0;
  // When it wants a turn next even if nothing happens, on its own monotonic clock. kNever: not at all.
  virtual Instant next_deadline() const = 0;
  virtual std::unique_ptr<Machine> clone() const = 0;
  virtual void fields(Visitor& v) const = 0;
};

}  // namespace klamm
