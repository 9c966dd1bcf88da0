// IncrementalAlterConfigs 0-1 (KIP-339) and AlterConfigs 0-2 (KIP-133), as far as they are this broker's to judge: a
// broker takes changes for itself and for all, none for another, none by which its properties would no longer go
// together, and changes its pools of threads step by step (KIP-226); its loggers' levels are nobody else's (KIP-412).
// The active controller does the rest.
#include "engine/protocol/messages/alter_configs.h"

#include <algorithm>
#include <map>
#include <type_traits>

#include "engine/broker/handlers.h"
#include "engine/metadata/config_edit.h"
#include "engine/metadata/config_together.h"
#include "engine/protocol/frame.h"
#include "engine/protocol/messages/incremental_alter_configs.h"
#include "engine/protocol/text.h"

namespace klamm::broker {
namespace {

using metadata::ResourceType;
using Incremental = protocol::IncrementalAlterConfigsRequest;
using Legacy = protocol::AlterConfigsRequest;
constexpr int kTogetherMost = 100;  // resources of one request whose properties are judged together; one is usual
enum Operation : int8_t { kSet = 0, kDelete = 1, kAppend = 2, kSubtract = 3 };

Judged bad_request(std::string why) { return {code(ErrorCode::invalid_request), std::move(why)}; }
int8_t operation(const Incremental::AlterableConfig& c) { return c.config_operation; }
int8_t operation(const Legacy::AlterableConfig&) { return kSet; }

std::optional<Judged> not_this_node(const Turn& t, Str name, const char* unexpected) {
  const int32_t own = t.p.config.node_id;
  const auto id = metadata::parse_integer(name);
  if (!id || *id > INT32_MAX || *id < INT32_MIN)
    return bad_request("Node id must be an integer, but it is: " + std::string(name));
  if (*id == own) return std::nullopt;
  return bad_request(unexpected + std::to_string(own) + ", but received " + std::string(name));
}

// At most doubled or halved at once.
std::optional<Judged> pool_fault(const Turn& t, Str name, Str value) {
  constexpr std::string_view kPools[] = {"background.threads",
                                         "log.cleaner.threads",
                                         "num.io.threads",
                                         "num.network.threads",
                                         "num.recovery.threads.per.data.dir",
                                         "num.replica.fetchers",
                                         "remote.log.manager.copier.thread.pool.size",
                                         "remote.log.manager.expiration.thread.pool.size",
                                         "remote.log.manager.follower.thread.pool.size",
                                         "remote.log.reader.threads"};
  if (is_null(value) || std::find(std::begin(kPools), std::end(kPools), name) == std::end(kPools)) return std::nullopt;
  const std::string own = metadata::broker_config_text(t.p.properties, name);
  const auto now = metadata::parse_integer(metadata::trimmed(own));
  const auto next = metadata::parse_integer(metadata::trimmed(value));
  if (!now || !next || *next == *now) return std::nullopt;
  const std::string failed = "Dynamic thread count update validation failed for " + std::string(name) + "=" +
                             std::string(value) + ": value should ";
  if (*next < 1) return bad_request(failed + "be at least 1");
  if (*next <= *now * 2 && *next >= *now / 2) return std::nullopt;
  return bad_request(failed + "not be more than double or less than half the current value " + own);
}

// What is set for all brokers and for this one, of what a definition knows.
struct Layers {
  metadata::Properties all, own;
};

Layers layers_of(const Turn& t) {
  const metadata::ConfigResource all{ResourceType::broker, ""},
      own{ResourceType::broker, std::to_string(t.p.config.node_id)};
  Layers out;
  for (const metadata::ConfigDef& def : metadata::config_defs(metadata::ConfigScope::broker)) {
    if (const std::string* v = t.p.image.config(all, def.name)) out.all[def.name] = *v;
    if (const std::string* v = t.p.image.config(own, def.name)) out.own[def.name] = *v;
  }
  return out;
}

metadata::ConfigReport looked_at(const Turn& t, const Layers& layers) {
  metadata::Properties properties;
  const metadata::Properties* const ordered[] = {&t.p.boot.properties, &layers.all, &layers.own};
  for (const metadata::Properties* layer : ordered)
    for (const auto& [name, value] : *layer)
      if (metadata::find_config(metadata::ConfigScope::broker, name)) properties[name] = value;
  metadata::ConfigReport report;
  (void)metadata::parse_broker_config(properties, report);
  metadata::check_change(properties, report);
  return report;
}

template<class Resource>
void change(metadata::Properties& layer, const Resource& r) {
  if (std::is_same_v<Resource, Legacy::AlterConfigsResource>) layer.clear();  // what was set before goes
  for (const auto& c : r.configs) {
    const metadata::ConfigDef* def = metadata::find_config(metadata::ConfigScope::broker, c.name);
    if (!def) continue;
    const std::string name = def->name;
    if (operation(c) == kDelete) {
      layer.erase(name);
    } else if (operation(c) == kSet) {
      layer[name] = std::string(c.value);
    } else {
      const auto at = layer.find(name);
      const std::string before = at != layer.end()                        ? at->second
                                 : def->default_value && !def->required() ? def->default_value
                                                                          : "";
      layer[name] = metadata::edited_list(before, c.value, operation(c) == kAppend);
    }
  }
}

// What is wrong after the change and was not before.
template<class Resource>
std::optional<Judged> together_fault(const Turn& t, const Resource& r) {
  const Layers before = layers_of(t);
  Layers after = before;
  change(r.resource_name.empty() ? after.all : after.own, r);
  const metadata::ConfigReport then = looked_at(t, after);
  if (then.errors.empty()) return std::nullopt;
  const metadata::ConfigReport now = looked_at(t, before);
  for (const metadata::ConfigProblem& e : then.errors)
    if (std::none_of(now.errors.begin(), now.errors.end(),
                     [&](const auto& old) { return old.key == e.key && old.value == e.value; }))
      return bad_request(e.wanted);
  return std::nullopt;
}

// Of several faults that of an edit to what is no list comes first; the controller finds it.
template<class Resource>
bool edits_no_list(const Resource& r) {
  return std::any_of(r.configs.begin(), r.configs.end(), [](const auto& c) {
    if (operation(c) != kAppend && operation(c) != kSubtract) return false;
    const metadata::ConfigDef* def = metadata::find_config(metadata::ConfigScope::broker, c.name);
    return !def || def->type != metadata::ConfigType::list;
  });
}

// The request itself is at fault.
template<class Resource>
std::optional<Judged> edits_fault(const Resource& r) {
  std::map<Str, int> times;
  for (const auto& c : r.configs)
    if (++times[c.name] > 1) return bad_request("Error due to duplicate config keys");
  for (const auto& c : r.configs)
    if (operation(c) != kDelete && is_null(c.value))
      return bad_request("Null value not supported for : " + std::string(c.name));
  return std::nullopt;
}

// There are no loggers here whose level could be set.
template<class Resource>
Judged judge_loggers(const Turn& t, const Resource& r) {
  if (auto fault = edits_fault(r)) return *fault;
  if (auto fault = not_this_node(t, r.resource_name, "Unexpected node id. Expected ")) return *fault;
  for (const auto& c : r.configs) {
    const std::string last = " is not allowed for the BROKER_LOGGER resource";
    switch (operation(c)) {
      case kSet:
      case kDelete: return {code(ErrorCode::invalid_config), "Logger " + std::string(c.name) + " does not exist!"};
      case kAppend: return bad_request("APPEND operation" + last);
      case kSubtract: return bad_request("SUBTRACT operation" + last);
      default: return {code(ErrorCode::unknown_server_error), ""};  // as Kafka, which has not foreseen it
    }
  }
  return {};
}

// What this broker has to say to a resource; nothing: it is the controller's.
template<class Resource>
std::optional<Judged> judge(const Turn& t, const Resource& r, int& together) {
  const auto type = static_cast<ResourceType>(r.resource_type);
  if (type == ResourceType::broker_logger && std::is_same_v<Resource, Incremental::AlterConfigsResource>)
    return judge_loggers(t, r);
  if (type != ResourceType::broker) return std::nullopt;
  if (!r.resource_name.empty())
    if (auto fault = not_this_node(t, r.resource_name, "Unexpected broker id, expected ")) return fault;
  if (edits_fault(r) || edits_no_list(r)) return std::nullopt;
  for (const auto& c : r.configs)
    if (operation(c) == kSet)
      if (auto fault = pool_fault(t, c.name, c.value)) return fault;
  return together-- > 0 ? together_fault(t, r) : std::nullopt;
}

template<class Request>
std::vector<std::optional<Judged>> judge_all(const Turn& t, const Request& q) {
  std::map<std::pair<int8_t, Str>, int> times;
  for (const auto& r : q.resources) ++times[{r.resource_type, r.resource_name}];
  std::vector<std::optional<Judged>> out;
  int together = kTogetherMost;
  for (const auto& r : q.resources)
    out.push_back(times[{r.resource_type, r.resource_name}] > 1 ? bad_request("Each resource must appear at most once.")
                                                                : judge(t, r, together));
  return out;
}

template<class Response, class Request>
Response answer_of(Arena& arena, const Request& q, const std::vector<std::optional<Judged>>& judged,
                   const Response& rest) {
  Response m;
  m.throttle_time_ms = rest.throttle_time_ms;
  size_t next = 0;  // of the controller's
  for (size_t i = 0; i < q.resources.size(); ++i) {
    auto& out = m.responses.add(arena);
    out.resource_type = q.resources[i].resource_type;
    out.resource_name = q.resources[i].resource_name;
    out.error_message = kNullStr;
    if (judged[i]) {
      out.error_code = judged[i]->error;
      if (!judged[i]->message.empty()) out.error_message = arena.copy(protocol::fitting(judged[i]->message));
    } else if (next < rest.responses.size()) {
      out.error_code = rest.responses[next].error_code;
      out.error_message = rest.responses[next++].error_message;
    } else {
      out.error_code = code(ErrorCode::unknown_server_error);
    }
  }
  return m;
}

template<class Request, class Response>
void judge_and_forward(Turn& t, broker::Request& r) {
  Request q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  std::vector<std::optional<Judged>> judged = judge_all(t, q);
  const auto open = std::count(judged.begin(), judged.end(), std::nullopt);
  if (static_cast<size_t>(open) == judged.size()) return t.forward(r);
  if (open == 0) return t.answer(r.ticket, answer_of(t.arena(), q, judged, Response{}));
  Request rest;
  rest.validate_only = q.validate_only;
  for (size_t i = 0; i < judged.size(); ++i)
    if (!judged[i]) rest.resources.push_back(t.arena(), q.resources[i]);
  Writer w;
  protocol::begin_request(w, {r.ticket.api, r.ticket.version, r.ticket.correlation, std::string(r.client_id)});
  constexpr size_t kSize = 4;  // of the frame, before it
  Part part;
  part.body_at = static_cast<uint32_t>(w.size() - kSize);
  encode(w, r.ticket.version, rest);
  protocol::end_frame(w);
  KLAMM_ASSERT(w.ok());
  const Slice all = w.finish_contiguous();
  part.frame = all.of(all.span().subspan(kSize));
  part.judged = std::move(judged);
  t.forward(r, {.creates = {}, .part = std::move(part)});
}

template<class Request, class Response>
std::optional<Slice> complete(Arena& arena, const broker::Request& r, const Part& part, const Slice& body) {
  Request q;
  Response rest;
  Reader reader(body.span());
  if (!decode_body(r, arena, q) || !decode(reader, arena, r.ticket.version, rest)) return std::nullopt;
  Writer w;
  encode(w, r.ticket.version, answer_of(arena, q, part.judged, rest));
  KLAMM_ASSERT(w.ok());
  return w.finish_contiguous();
}

}  // namespace

void handle_alter_configs(Turn& t, Request& r) {
  if (r.ticket.api == Incremental::kApiKey)
    judge_and_forward<Incremental, protocol::IncrementalAlterConfigsResponse>(t, r);
  else
    judge_and_forward<Legacy, protocol::AlterConfigsResponse>(t, r);
}

std::optional<Slice> complete_alter_configs(Arena& arena, const Request& r, const Part& part, const Slice& body) {
  if (r.ticket.api == Incremental::kApiKey)
    return complete<Incremental, protocol::IncrementalAlterConfigsResponse>(arena, r, part, body);
  return complete<Legacy, protocol::AlterConfigsResponse>(arena, r, part, body);
}

}  // namespace klamm::broker
