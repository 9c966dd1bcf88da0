// One request on its way through the group coordinator; its own.
#pragma once
#include "engine/base/reader.h"
#include "engine/group/coordinator.h"
#include "engine/group/refusals.h"
#include "engine/group/replies.h"

namespace klamm::group {

struct Coordinator::Call {
  Ctx& ctx;
  const Request& request;
  const Topics& topics;
  Letters& letters;
  Out& out;

  Arena& arena() const { return ctx.arena(); }
  const Ticket& ticket() const { return request.ticket; }
  int16_t version() const { return request.ticket.version; }
  Origin origin() const { return {request.ticket, request.body}; }
  // Kafka closes the connection of a request that it cannot read.
  template<class Message>
  bool decode_into(Message& message) {
    Reader r(request.body.span());
    if (decode(r, arena(), version(), message) && r.ok()) return true;
    close();
    return false;
  }
  void close() { out.replies.push_back({.ticket = request.ticket, .body = {}, .close = true}); }
  template<class Message>
  void answer(const Message& message) {
    out.replies.push_back({request.ticket, encode_body(request.ticket, message)});
  }
  void refuse(ErrorCode error) {
    out.replies.push_back({request.ticket, refusal(arena(), request.ticket, request.body, error)});
  }
};

// Runs an operation on the group's partition; what cannot run is refused.
template<class F>
void Coordinator::write(Call& call, Str group, F&& operation) {
  const ErrorCode e = runtime_.write(call.ctx, partition_of(group), call.letters, operation);
  if (e != ErrorCode::none) call.refuse(e);
}

}  // namespace klamm::group
