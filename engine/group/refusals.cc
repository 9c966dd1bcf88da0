#include "engine/group/refusals.h"

#include <algorithm>
#include <set>

#include "engine/base/reader.h"
#include "engine/group/replies.h"
#include "engine/protocol/messages/delete_groups.h"
#include "engine/protocol/messages/describe_groups.h"
#include "engine/protocol/messages/heartbeat.h"
#include "engine/protocol/messages/join_group.h"
#include "engine/protocol/messages/leave_group.h"
#include "engine/protocol/messages/list_groups.h"
#include "engine/protocol/messages/offset_commit.h"
#include "engine/protocol/messages/offset_delete.h"
#include "engine/protocol/messages/offset_fetch.h"
#include "engine/protocol/messages/sync_group.h"

namespace klamm::group {

using namespace protocol;

namespace {

template<class Message>
Message decoded(Arena& arena, const Ticket& ticket, const Slice& bytes) {
  Reader r(bytes.span());
  Message m;
  const bool ok = decode(r, arena, ticket.version, m) && r.ok();
  KLAMM_ASSERT(ok);
  return m;
}

template<class Response>
std::vector<Slice> with_error_code(const Ticket& ticket, ErrorCode error) {
  Response response;
  response.error_code = code(error);
  return encode_body(ticket, response);
}

std::vector<Slice> refuse_commit(Arena& arena, const Ticket& ticket, const Slice& bytes, ErrorCode error) {
  OffsetCommitResponse response;
  for (const auto& t : decoded<OffsetCommitRequest>(arena, ticket, bytes).topics) {
    auto& topic = response.topics.add(arena);
    topic.name = t.name;
    topic.topic_id = t.topic_id;
    for (const auto& p : t.partitions) {
      auto& answer = topic.partitions.add(arena);
      answer.partition_index = p.partition_index;
      answer.error_code = code(error);
    }
  }
  return encode_body(ticket, response);
}

// Version 1 has no error but those of partitions, version 8 and later one a group.
std::vector<Slice> refuse_fetch(Arena& arena, const Ticket& ticket, const Slice& bytes, ErrorCode error) {
  const auto request = decoded<OffsetFetchRequest>(arena, ticket, bytes);
  OffsetFetchResponse response;
  if (ticket.version >= 8) {
    for (const auto& g : request.groups) {
      auto& group = response.groups.add(arena);
      group.group_id = g.group_id;
      group.error_code = code(error);
    }
  } else if (ticket.version >= 2) {
    response.error_code = code(error);
  } else {
    for (const auto& t : request.topics) {
      auto& topic = response.topics.add(arena);
      topic.name = t.name;
      for (const int32_t partition : t.partition_indexes) {
        auto& p = topic.partitions.add(arena);
        p.partition_index = partition;
        p.committed_offset = -1;
        p.error_code = code(error);
      }
    }
  }
  return encode_body(ticket, response);
}

std::vector<Slice> refuse_describe(Arena& arena, const Ticket& ticket, const Slice& bytes, ErrorCode error) {
  DescribeGroupsResponse response;
  for (const Str id : decoded<DescribeGroupsRequest>(arena, ticket, bytes).groups) {
    auto& group = response.groups.add(arena);
    group.group_id = id;
    group.error_code = code(error);
  }
  return encode_body(ticket, response);
}

}  // namespace

std::vector<Slice> refusal(Arena& arena, const Ticket& ticket, const Slice& request, ErrorCode error) {
  switch (ticket.api) {
    case JoinGroupRequest::kApiKey: {
      JoinGroupResponse response;
      response.error_code = code(error);
      if (ticket.version >= 7) response.protocol_name = kNullStr;
      return encode_body(ticket, response);
    }
    case SyncGroupRequest::kApiKey: return with_error_code<SyncGroupResponse>(ticket, error);
    case HeartbeatRequest::kApiKey:
      // While the group is loaded its members cannot be judged: let them go on.
      if (error == ErrorCode::coordinator_load_in_progress) error = ErrorCode::none;
      return with_error_code<HeartbeatResponse>(ticket, error);
    case LeaveGroupRequest::kApiKey: return with_error_code<LeaveGroupResponse>(ticket, error);
    case OffsetCommitRequest::kApiKey: return refuse_commit(arena, ticket, request, error);
    case OffsetFetchRequest::kApiKey: return refuse_fetch(arena, ticket, request, fetch_error(error));
    case OffsetDeleteRequest::kApiKey: return with_error_code<OffsetDeleteResponse>(ticket, error);
    case ListGroupsRequest::kApiKey: return with_error_code<ListGroupsResponse>(ticket, error);
    case DescribeGroupsRequest::kApiKey: return refuse_describe(arena, ticket, request, error);
    case DeleteGroupsRequest::kApiKey: {
      const size_t n = decoded<DeleteGroupsRequest>(arena, ticket, request).groups_names.size();
      return deletion_answer(arena, ticket, request, std::vector<ErrorCode>(n, error));
    }
  }
  KLAMM_ASSERT(!"an API that groups serve");
  return {};
}

// A group named twice is deleted and told of once.
std::vector<Slice> deletion_answer(Arena& arena, const Ticket& ticket, const Slice& request,
                                   const std::vector<ErrorCode>& errors) {
  const auto names = decoded<DeleteGroupsRequest>(arena, ticket, request).groups_names;
  KLAMM_ASSERT_REL(names.size(), ==, errors.size());
  DeleteGroupsResponse response;
  std::set<Str> told;
  for (size_t i = 0; i < names.size(); ++i) {
    if (!told.insert(names[i]).second) continue;
    auto& result = response.results.add(arena);
    result.group_id = names[i];
    result.error_code = code(errors[i]);
  }
  return encode_body(ticket, response);
}

std::vector<Slice> fetch_answer(Arena& arena, const Ticket& ticket, std::vector<Slice> body,
                                const std::vector<ErrorCode>& errors) {
  if (std::all_of(errors.begin(), errors.end(), [](ErrorCode e) { return e == ErrorCode::none; })) return body;
  Writer whole;
  for (const Slice& s : body) whole.attach(s);
  const Slice bytes = whole.finish_contiguous();
  auto response = decoded<OffsetFetchResponse>(arena, ticket, bytes);
  KLAMM_ASSERT_REL(response.groups.size(), ==, errors.size());
  for (size_t i = 0; i < errors.size(); ++i)
    if (errors[i] != ErrorCode::none) {
      response.groups[i].error_code = code(fetch_error(errors[i]));
      response.groups[i].topics = {};
    }
  return encode_body(ticket, response);
}

}  // namespace klamm::group
