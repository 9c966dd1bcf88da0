// One error for all that a request asked, in the request's own shape.
#pragma once
#include "engine/controller/operation.h"

namespace klamm::controller {

// Most answers have one error for the whole.
template<class Request, class Response>
void refuse_all(Arena&, const Request&, int16_t code, Response& a) {
  a.error_code = code;
  if constexpr (requires { a.error_message; }) a.error_message = kNullStr;
}

inline void refuse_all(Arena& arena, const protocol::CreateTopicsRequest& q, int16_t code,
                       protocol::CreateTopicsResponse& a) {
  for (const auto& t : q.topics) {
    auto& out = a.topics.add(arena);
    out.name = t.name;
    out.error_code = code;
    out.error_message = kNullStr;
  }
}

inline void refuse_all(Arena& arena, const protocol::DeleteTopicsRequest& q, int16_t code,
                       protocol::DeleteTopicsResponse& a) {
  const auto add = [&](Str name, const Uuid& id) {
    auto& out = a.responses.add(arena);
    out.name = name;
    out.topic_id = id;
    out.error_code = code;
  };
  for (Str name : q.topic_names) add(name, Uuid{});
  for (const auto& t : q.topics) add(t.name, t.topic_id);
}

}  // namespace klamm::controller
