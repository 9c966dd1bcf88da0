// Topics are deleted, by name or id.
#include <map>

#include "engine/controller/operation.h"

namespace klamm::controller {

using metadata::Topic;

namespace {

using DeleteRequest = protocol::DeleteTopicsRequest;
using DeleteResponse = protocol::DeleteTopicsResponse;

// The topics of a DeleteTopics request, resolved; each topic is named at most once or refused.
class Deletion final {
 public:
  Deletion(Operation& op, DeleteResponse& a) : op_(op), answer_(a) {}

  void name(Str name) { ++names_[name]; }
  void id(const Uuid& id) { ++ids_[id]; }
  void refuse(Str name, const Uuid& id, const Refusal& r) {
    auto& out = result(name, id);
    out.error_code = static_cast<int16_t>(r.code);
    if (!r.message.empty()) out.error_message = op_.text(r.message);
  }
  void carry_out() {
    for (const auto& [id, times] : ids_) {
      const Topic* t = op_.image.topic(id);
      if (times > 1)
        refuse(kNullStr, id, {ErrorCode::invalid_request, "Duplicate topic id."});
      else if (!t)
        refuse(kNullStr, id, {ErrorCode::unknown_topic_id, "This server does not host this topic ID."});
      else
        doomed_[id] = t;
    }
    for (const auto& [name, times] : names_) {
      const Topic* t = op_.image.topic(name);
      if (times > 1)
        refuse(name, Uuid{}, {ErrorCode::invalid_request, "Duplicate topic name."});
      else if (!t)
        refuse(name, Uuid{},
               {ErrorCode::unknown_topic_or_partition, "This server does not host this topic-partition."});
      else if (ids_.contains(t->id)) {
        refuse(name, t->id,
               {ErrorCode::invalid_request, "The provided topic name maps to an ID that was already supplied."});
        doomed_.erase(t->id);
      } else {
        doomed_[t->id] = t;
      }
    }
    for (const auto& [id, topic] : doomed_) {
      protocol::RemoveTopicRecord r;
      r.topic_id = id;
      op_.emit(0, r);
      result(op_.text(topic->name), id);
    }
  }

 private:
  DeleteResponse::DeletableTopicResult& result(Str name, const Uuid& id) {
    auto& out = answer_.responses.add(op_.ctx.arena());
    out.name = name;
    out.topic_id = id;
    return out;
  }
  Operation& op_;
  DeleteResponse& answer_;
  std::map<Str, int> names_;
  std::map<Uuid, int> ids_;
  std::map<Uuid, const Topic*> doomed_;
};

}  // namespace

void delete_topics(Operation& op, int16_t version, const DeleteRequest& q, DeleteResponse& a) {
  Deletion deletion(op, a);
  const bool disabled = !op.options.delete_topic_enable;
  const Refusal off{version < 3 ? ErrorCode::invalid_request : ErrorCode::topic_deletion_disabled,
                    "Topic deletion is disabled."};
  for (Str name : q.topic_names) disabled ? deletion.refuse(name, Uuid{}, off) : deletion.name(name);
  for (const auto& t : q.topics) {
    if (disabled)
      deletion.refuse(t.name, t.topic_id, off);
    else if (is_null(t.name) && t.topic_id.zero())
      deletion.refuse(t.name, t.topic_id, {ErrorCode::invalid_request, "Neither topic name nor id were specified."});
    else if (!is_null(t.name) && !t.topic_id.zero())
      deletion.refuse(t.name, t.topic_id,
                      {ErrorCode::invalid_request, "You may not specify both topic name and topic id."});
    else if (is_null(t.name))
      deletion.id(t.topic_id);
    else
      deletion.name(t.name);
  }
  deletion.carry_out();
}

}  // namespace klamm::controller
