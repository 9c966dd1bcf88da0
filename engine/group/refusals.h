// Answers that say only what went wrong, in the shape that each API has for that.
#pragma once
#include <vector>

#include "engine/base/ctx.h"
#include "engine/base/error_code.h"
#include "engine/base/ticket.h"

namespace klamm::group {

// The answer to a whole request; `request` is its body, which has been decoded before.
std::vector<Slice> refusal(Arena& arena, const Ticket& ticket, const Slice& request, ErrorCode error);

// Answers of a request about several groups, of which `errors[i]` is what became of the i-th.
std::vector<Slice> deletion_answer(Arena& arena, const Ticket& ticket, const Slice& request,
                                   const std::vector<ErrorCode>& errors);
std::vector<Slice> fetch_answer(Arena& arena, const Ticket& ticket, std::vector<Slice> body,
                                const std::vector<ErrorCode>& errors);

// What consumers understand when OffsetFetch fails below the coordinator: they look for it again.
inline ErrorCode fetch_error(ErrorCode e) {
  return e == ErrorCode::coordinator_not_available ? ErrorCode::not_coordinator : e;
}

}  // namespace klamm::group
