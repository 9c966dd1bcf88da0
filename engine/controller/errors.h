// One error for all that a request asked, in the request's own shape.
#pragma once
#include "engine/controller/operation.h"

namespace klamm::controller {

// The text beside an error that is about the controller and not about what was asked.
inline Str told(int16_t code) {
  switch (static_cast<ErrorCode>(code)) {
    case ErrorCode::not_controller: return "this is not the active controller";
    case ErrorCode::request_timed_out: return kNullStr;
    case ErrorCode::policy_violation: return "the request changes more than can be changed at once";
    default: return "the controller's answer could not be used";
  }
}

// Most answers have one error for the whole.
template<class Request, class Response>
void refuse_all(Arena&, const Request&, int16_t code, Response& a) {
  a.error_code = code;
  if constexpr (requires { a.error_message; }) a.error_message = told(code);
}

inline void refuse_all(Arena& arena, const protocol::CreateTopicsRequest& q, int16_t code,
                       protocol::CreateTopicsResponse& a) {
  for (const auto& t : q.topics) {
    auto& out = a.topics.add(arena);
    out.name = t.name;
    out.error_code = code;
    out.error_message = told(code);
  }
}

inline void refuse_all(Arena& arena, const protocol::DeleteTopicsRequest& q, int16_t code,
                       protocol::DeleteTopicsResponse& a) {
  const auto add = [&](Str name, const Uuid& id) {
    auto& out = a.responses.add(arena);
    out.name = name;
    out.topic_id = id;
    out.error_code = code;
    out.error_message = told(code);
  };
  for (Str name : q.topic_names) add(name, Uuid{});
  for (const auto& t : q.topics) add(t.name, t.topic_id);
}

inline void refuse_all(Arena& arena, const protocol::CreatePartitionsRequest& q, int16_t code,
                       protocol::CreatePartitionsResponse& a) {
  for (const auto& t : q.topics) {
    auto& out = a.results.add(arena);
    out.name = t.name;
    out.error_code = code;
    out.error_message = told(code);
  }
}

template<class Resources, class Response>
void refuse_resources(Arena& arena, const Resources& resources, int16_t code, Response& a) {
  for (const auto& r : resources) {
    auto& out = a.responses.add(arena);
    out.resource_type = r.resource_type;
    out.resource_name = r.resource_name;
    out.error_code = code;
    out.error_message = told(code);
  }
}
inline void refuse_all(Arena& arena, const protocol::AlterConfigsRequest& q, int16_t code,
                       protocol::AlterConfigsResponse& a) {
  refuse_resources(arena, q.resources, code, a);
}
inline void refuse_all(Arena& arena, const protocol::IncrementalAlterConfigsRequest& q, int16_t code,
                       protocol::IncrementalAlterConfigsResponse& a) {
  refuse_resources(arena, q.resources, code, a);
}

}  // namespace klamm::controller
