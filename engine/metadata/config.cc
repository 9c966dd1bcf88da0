#include "engine/metadata/config.h"

#include <algorithm>

#include "engine/metadata/config_together.h"

namespace klamm::metadata {
namespace {

// ---- texts to typed values; the texts have been checked
void read(const ConfigDef&, std::string_view text, std::string& out) { out = trimmed(text); }
void read(const ConfigDef&, std::string_view text, bool& out) { out = trimmed(text).size() == 4; }  // "true"
template<class Int>
  requires std::is_integral_v<Int>
void read(const ConfigDef&, std::string_view text, Int& out) {
  out = static_cast<Int>(parse_integer(trimmed(text)).value_or(0));
}
void read(const ConfigDef&, std::string_view text, std::vector<std::string>& out) {
  out.clear();
  for (std::string_view item : config_list(text)) out.emplace_back(item);
}
void read(const ConfigDef& def, std::string_view text, Duration& out) {
  const std::string_view name = def.name;
  const int64_t n = parse_integer(trimmed(text)).value_or(0);
  out = name.ends_with(".minutes") ? minutes(n) : name.ends_with(".seconds") ? seconds(n) : milliseconds(n);
}

void read(const ConfigDef&, std::string_view text, Millionths& out) {
  out.value = parse_millionths(trimmed(text)).value_or(0);
}

// Of a text that may not be allowed: then the default counts, if there is one.
template<class T>
void read_or_default(const ConfigDef& def, std::string_view text, T& out) {
  if (!config_fault(def, text)) return read(def, text, out);
  if (def.default_value) read(def, def.default_value, out);
}
template<class T>
T topic_value(std::string_view name, std::string_view text) {
  const ConfigDef* def = find_config(ConfigScope::topic, name);
  KLAMM_ASSERT(def != nullptr);
  T out{};
  read_or_default(*def, text, out);
  return out;
}

const std::string* set(const Properties& properties, std::string_view name) {
  const auto at = properties.find(std::string(name));
  return at == properties.end() ? nullptr : &at->second;
}

// ---- what a broker's property does here
constexpr std::string_view kReadByName[] = {
    "advertised.listeners",
    "broker.id",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "cordoned.log.dirs",
    "inter.broker.listener.name",
    "internal.metadata.log.segment.bytes",
    "listener.security.protocol.map",
    "listeners",
    "log.dir",
    "log.dirs",
    "max.connections.per.ip.overrides",
    "metadata.log.dir",
    "offsets.topic.replication.factor",
    "offsets.topic.segment.bytes",
    "process.roles",
    "security.inter.broker.protocol",
    "share.coordinator.state.topic.min.isr",
    "share.coordinator.state.topic.num.partitions",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.segment.bytes",
    "transaction.state.log.min.isr",
    "transaction.state.log.num.partitions",
    "transaction.state.log.replication.factor",
    "transaction.state.log.segment.bytes",
};
constexpr std::string_view kTyped[] = {
#define KLAMM_X(type, member, name) name,
    KLAMM_BROKER_CONFIGS(KLAMM_X)
#undef KLAMM_X
};
constexpr std::string_view kCleanerTyped[] = {
#define KLAMM_X(type, member, name) name,
    KLAMM_CLEANER_CONFIGS(KLAMM_X)
#undef KLAMM_X
};
constexpr std::string_view kTopicTyped[] = {
#define KLAMM_X(type, member, name) name,
    KLAMM_TOPIC_CONFIGS(KLAMM_X)
#undef KLAMM_X
};

// Names of listeners and of security protocols mean the same in capitals and small letters.
std::string capitals(std::string_view name) {
  std::string out(trimmed(name));
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

bool among(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The groups' own configs may not be set beyond these.
bool bounds_group_configs(std::string_view name) {
  return name.starts_with("group.") && (name.find(".min.") != name.npos || name.find(".max.") != name.npos);
}

}  // namespace

bool broker_config_has_effect(std::string_view name) {
  if (among(kTyped, name) || among(kCleanerTyped, name) || among(kReadByName, name) || bounds_group_configs(name))
    return true;
  for (const std::string_view topic : kTopicTyped)
    for (const std::string_view synonym : config_list(find_config(ConfigScope::topic, topic)->synonyms))
      if (synonym.substr(0, synonym.find('*')) == name) return true;
  return false;
}

namespace {

// ---- reading a broker's properties, problem by problem
constexpr std::string_view kAuthorizer = "authorizer.class.name";
constexpr char kProtocolMap[] = "listener.security.protocol.map";
// Names and addresses, as Kafka tells them from anything else.
constexpr std::string_view kInHosts = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-%._:";

struct Reading {
  const Properties& properties;
  ConfigReport& report;

  void wrong(std::string_view key, std::string_view value, std::string wanted) {
    report.errors.push_back({std::string(key), std::string(value), std::move(wanted)});
  }
  std::string text(std::string_view name) const { return broker_config_text(properties, name); }
  void check_all();
  void connections(BrokerConfig& c);
  template<class T>
  void member(std::string_view name, T& out) {
    const ConfigDef* def = find_config(ConfigScope::broker, name);
    KLAMM_ASSERT(def != nullptr);
    if (const std::string value = text(name); !value.empty()) read(*def, value, out);
  }
  std::optional<Endpoint> host_port(std::string_view key, std::string_view text);
  std::vector<Endpoint> endpoints(std::string_view key, bool ports_differ);
  void roles(BrokerConfig& c);
  void directories(BrokerConfig& c);
  void cordoned(BrokerConfig& c);
  void quorum(BrokerConfig& c);
  bool own_controller(const BrokerConfig& c, const Endpoint& server) const;
  void listeners(BrokerConfig& c);
  std::map<std::string, std::string> protocols(const BrokerConfig& c);
  void security(const BrokerConfig& c);
};

void Reading::check_all() {
  std::string idle;
  for (const auto& [key, value] : properties) {
    const ConfigDef* def = find_config(ConfigScope::broker, key);
    if (def) {
      if (key == kAuthorizer && !trimmed(value).empty())
        report.warnings.push_back(
            "NOTHING IS AUTHORIZED: " + key +
            " has no effect in this version, there is no "
            "access control, and every client that connects may read, write and delete everything");
      else if (!broker_config_has_effect(key))
        idle.append(idle.empty() ? "" : ", ").append(key);
      if (const auto fault = config_fault(*def, value)) {
        const bool tell = def->valid[0] == '[' && fault->find("one of") == fault->npos;
        wrong(key, def->sensitive() ? "[hidden]" : value,
              *fault + (tell ? std::string(" (allowed: ") + def->valid + ")" : ""));
      }
      continue;
    }
    if (key.starts_with("listener.name.") || key.starts_with("rsm.config.") || key.starts_with("rlmm.config."))
      continue;
    std::string warning = "Unknown configuration '" + key + "' is ignored";
    const std::vector<std::string_view> near = near_configs(ConfigScope::broker, key);
    for (size_t i = 0; i < near.size(); ++i) warning.append(i == 0 ? "; did you mean " : " or ").append(near[i]);
    report.warnings.push_back(std::move(warning));
  }
  if (!idle.empty()) report.warnings.push_back("Without effect in this version: " + idle);
  if (!set(properties, "process.roles"))
    wrong("process.roles", "", "Missing required configuration: broker, controller, or both");
  if (!set(properties, "node.id") && !set(properties, "broker.id"))
    wrong("node.id", "", "Missing required configuration: a number from 0, unlike that of every other node");
}

// "host:port" or "[v6]:port".
std::optional<Endpoint> Reading::host_port(std::string_view key, std::string_view text) {
  const size_t colon = text.rfind(':');
  const std::optional<int64_t> port = colon == text.npos ? std::nullopt : parse_integer(text.substr(colon + 1));
  if (!port || *port < 0 || *port > 65535) {
    wrong(key, text, "a host and a port from 0 to 65535 are wanted, HOST:PORT");
    return std::nullopt;
  }
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return Endpoint{"", std::string(host), static_cast<uint16_t>(*port)};
}

// "NAME://host:port,..."; several may be advertised under one address, that of a balancer.
std::vector<Endpoint> Reading::endpoints(std::string_view key, bool ports_differ) {
  std::vector<Endpoint> out;
  const std::string value = text(key);
  for (std::string_view item : config_list(value)) {
    const size_t mark = item.find("://");
    if (mark == item.npos || mark == 0) {
      wrong(key, item, "listeners are wanted as NAME://HOST:PORT");
      continue;
    }
    std::optional<Endpoint> e = host_port(key, item.substr(mark + 3));
    if (!e) continue;
    e->listener = capitals(item.substr(0, mark));
    for (const Endpoint& other : out) {
      if (other.listener == e->listener) wrong(key, item, "each listener must have a different name");
      if (ports_differ && other.port == e->port && e->port != 0 && other.host == e->host)
        wrong(key, item, "each listener must have a different port");
    }
    out.push_back(std::move(*e));
  }
  return out;
}

// "address:number,..."
void Reading::connections(BrokerConfig& c) {
  const std::string value = text("max.connections.per.ip.overrides");
  for (std::string_view item : config_list(value)) {
    const size_t colon = item.rfind(':');
    const std::optional<int64_t> most =
        colon == item.npos ? std::nullopt : parse_integer(trimmed(item.substr(colon + 1)));
    if (trimmed(item.substr(0, colon)).find_first_not_of(kInHosts) != item.npos)
      wrong("max.connections.per.ip.overrides", value,
            "max.connections.per.ip.overrides contains invalid addresses : " + std::string(item.substr(0, colon)));
    else if (!most || *most < 0 || *most > INT32_MAX)
      wrong("max.connections.per.ip.overrides", item,
            "an address and a number of connections are wanted, ADDRESS:NUMBER");
    else
      c.max_connections_overrides[std::string(trimmed(item.substr(0, colon)))] = static_cast<uint32_t>(*most);
  }
}

void Reading::roles(BrokerConfig& c) {
  const std::string value = text("process.roles");
  for (std::string_view role : config_list(value)) c.broker |= role == "broker", c.controller |= role == "controller";
  if (!set(properties, "node.id"))
    if (const std::string* id = set(properties, "broker.id"))
      c.node_id = static_cast<int32_t>(parse_integer(*id).value_or(-1));
  if (c.node_id < 0) wrong("node.id", std::to_string(c.node_id), "Value must be at least 0");
}

void Reading::directories(BrokerConfig& c) {
  const ConfigDef& def = *find_config(ConfigScope::broker, "log.dirs");
  const std::string dirs = text("log.dirs");
  read(def, dirs.empty() ? text("log.dir") : dirs, c.log_dirs);
  const ConfigDef& internal = *find_config(ConfigScope::broker, "internal.metadata.log.segment.bytes");
  if (const std::string bytes = text(internal.name); !bytes.empty()) read(internal, bytes, c.metadata_segment_bytes);
  c.metadata_log_dir = text("metadata.log.dir");
  if (c.metadata_log_dir.empty() && !c.log_dirs.empty()) c.metadata_log_dir = c.log_dirs[0];
}

// "*": all of them.
void Reading::cordoned(BrokerConfig& c) {
  read(*find_config(ConfigScope::broker, "cordoned.log.dirs"), text("cordoned.log.dirs"), c.cordoned_log_dirs);
  if (c.cordoned("*")) c.cordoned_log_dirs = c.log_dirs;
}

// Whether it is this very node's: on the port of its controller listener, and at a name that is surely its own. Taking
// another's for ours would found a second cluster.
bool Reading::own_controller(const BrokerConfig& c, const Endpoint& server) const {
  const auto loopback = [](const std::string& host) {
    return host == "localhost" || host == "::1" || host.starts_with("127.");
  };
  const auto any = [](const std::string& host) { return host.empty() || host == "0.0.0.0" || host == "::"; };
  const auto advertised = [&](const std::string& host) {
    return std::any_of(c.advertised_listeners.begin(), c.advertised_listeners.end(),
                       [&](const Endpoint& e) { return e.host == host; });
  };
  return std::any_of(c.listeners.begin(), c.listeners.end(), [&](const Endpoint& e) {
    if (!c.controller_listener(e.listener) || e.port != server.port || any(server.host)) return false;
    if (any(e.host)) return loopback(server.host) || advertised(server.host);
    return e.host == server.host || (loopback(e.host) && loopback(server.host));
  });
}

void Reading::quorum(BrokerConfig& c) {
  const std::string value = text("controller.quorum.voters"), servers = text("controller.quorum.bootstrap.servers");
  for (std::string_view item : config_list(value)) {
    const size_t at = item.find('@');
    const std::optional<int64_t> id = at == item.npos ? std::nullopt : parse_integer(item.substr(0, at));
    if (!id || *id < 0 || *id > INT32_MAX) {
      wrong("controller.quorum.voters", item, "voters are wanted as ID@HOST:PORT");
      continue;
    }
    if (const auto e = host_port("controller.quorum.voters", item.substr(at + 1)))
      c.voters.push_back({NodeId{static_cast<int32_t>(*id)}, e->host, e->port});
  }
  std::sort(c.voters.begin(), c.voters.end(), [](const Voter& a, const Voter& b) { return a.id < b.id; });
  for (size_t i = 1; i < c.voters.size(); ++i)
    if (c.voters[i].id == c.voters[i - 1].id)
      wrong("controller.quorum.voters", value, "each voter must have a different id");
  if (c.voters.size() > kMostVoters)
    wrong("controller.quorum.voters", value, "at most " + std::to_string(kMostVoters) + " voters are possible");
  for (std::string_view item : config_list(servers))
    if (auto e = host_port("controller.quorum.bootstrap.servers", item)) c.bootstrap_servers.push_back(std::move(*e));
  if (value.empty() && servers.empty())
    wrong("controller.quorum.voters", value, "this or controller.quorum.bootstrap.servers must name the controllers");
  if (value.empty() && !servers.empty()) {
    if (c.controller && c.bootstrap_servers.size() == 1 && own_controller(c, c.bootstrap_servers[0]))
      c.voters.push_back({NodeId{c.node_id}, c.bootstrap_servers[0].host, c.bootstrap_servers[0].port});
    else
      wrong("controller.quorum.bootstrap.servers", servers,
            "controllers are not discovered by this version: name all of them in controller.quorum.voters, "
            "ID@HOST:PORT,...");
  }
  const bool voter =
      std::any_of(c.voters.begin(), c.voters.end(), [&](const Voter& v) { return v.id.value == c.node_id; });
  if (!c.voters.empty() && voter != c.controller)
    wrong("controller.quorum.voters", value,
          "node.id " + std::to_string(c.node_id) +
              (c.controller ? " must be among the voters, for" : " must not be among the voters, for") +
              " process.roles is '" + text("process.roles") + "'");
}

void Reading::listeners(BrokerConfig& c) {
  const std::string value = text("listeners");
  c.listeners = endpoints("listeners", true);
  read(*find_config(ConfigScope::broker, "controller.listener.names"), text("controller.listener.names"),
       c.controller_listener_names);
  if (c.controller_listener_names.empty())
    wrong("controller.listener.names", "", "at least one name is wanted, such as CONTROLLER");
  bool broker = false, controller = false;
  for (const Endpoint& e : c.listeners) (c.controller_listener(e.listener) ? controller : broker) = true;
  if (c.controller && !controller)
    wrong("listeners", value, "a controller needs a listener that controller.listener.names names");
  if (!c.controller && controller)
    wrong("listeners", value, "a node that is no controller must not have a controller listener");
  if (c.broker && !broker)
    wrong("listeners", value, "a broker needs a listener that is not in controller.listener.names");
  c.advertised_listeners = endpoints("advertised.listeners", false);
  const bool stated = !c.advertised_listeners.empty();
  const auto listens = [&](const std::string& name) {
    return std::any_of(c.listeners.begin(), c.listeners.end(), [&](const Endpoint& e) { return e.listener == name; });
  };
  for (const Endpoint& e : c.advertised_listeners) {
    if (!listens(e.listener))
      wrong("advertised.listeners", e.listener, "only listeners of this node can be advertised");
    if (e.host == "0.0.0.0")
      wrong("advertised.listeners", text("advertised.listeners"),
            "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.");
  }
  for (const Endpoint& e : c.listeners)
    if (!stated && !c.controller_listener(e.listener)) c.advertised_listeners.push_back(e);

  const std::string* named = set(properties, "inter.broker.listener.name");
  if (named && set(properties, "security.inter.broker.protocol"))
    wrong("inter.broker.listener.name", *named,
          "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set.");
  c.inter_broker_listener_name = capitals(named ? *named : text("security.inter.broker.protocol"));
  if (c.broker && broker && !listens(c.inter_broker_listener_name)) {
    if (named) wrong("inter.broker.listener.name", *named, "it must be one of the listeners");
    for (const Endpoint& e : c.listeners)  // unnamed: the first that clients have
      if (!c.controller_listener(e.listener)) {
        c.inter_broker_listener_name = e.listener;
        break;
      }
  }
}

// The security protocol of each listener. Without a map a controller's is PLAINTEXT.
std::map<std::string, std::string> Reading::protocols(const BrokerConfig& c) {
  constexpr std::string_view kKnown[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};
  std::map<std::string, std::string> out;
  if (!set(properties, kProtocolMap))
    for (const std::string& name : c.controller_listener_names) out[name] = "PLAINTEXT";
  const std::string value = text(kProtocolMap);
  for (std::string_view pair : config_list(value)) {
    const size_t colon = pair.rfind(':');
    if (colon == pair.npos) {
      wrong(kProtocolMap, pair, "listeners and their security protocols are wanted as NAME:PROTOCOL");
      continue;
    }
    const std::string_view protocol = trimmed(pair.substr(colon + 1));
    std::string& own = out[capitals(pair.substr(0, colon))] = capitals(protocol);
    if (!among(kKnown, own))
      wrong(kProtocolMap, value,
            "Invalid security protocol `" + std::string(protocol) + "` defined in listener.security.protocol.map");
  }
  return out;
}

// Every listener needs a security protocol; only PLAINTEXT is served so far.
void Reading::security(const BrokerConfig& c) {
  const std::string value = text(kProtocolMap);
  const std::map<std::string, std::string> all = protocols(c);
  for (const Endpoint& e : c.listeners) {
    const auto at = all.find(e.listener);
    if (at == all.end())
      wrong(kProtocolMap, value, "no security protocol is stated for listener " + e.listener);
    else if (at->second != "PLAINTEXT")
      wrong(kProtocolMap, value, "only PLAINTEXT is served by this version (listener " + e.listener + ")");
  }
}

}  // namespace

std::string broker_config_text(const Properties& properties, std::string_view name) {
  if (const std::string* own = set(properties, name)) return *own;
  const ConfigDef* def = find_config(ConfigScope::broker, name);
  return def && def->default_value && !def->required() ? def->default_value : "";
}

bool TopicConfig::compacted() const {
  return std::find(cleanup_policy.begin(), cleanup_policy.end(), "compact") != cleanup_policy.end();
}
bool TopicConfig::deleted_by_age() const {
  return std::find(cleanup_policy.begin(), cleanup_policy.end(), "delete") != cleanup_policy.end();
}

bool BrokerConfig::controller_listener(const std::string& name) const {
  return std::find(controller_listener_names.begin(), controller_listener_names.end(), name) !=
         controller_listener_names.end();
}

bool BrokerConfig::cordoned(const std::string& log_dir) const {
  return std::find(cordoned_log_dirs.begin(), cordoned_log_dirs.end(), log_dir) != cordoned_log_dirs.end();
}

BrokerConfig parse_broker_config(const Properties& properties, ConfigReport& report) {
  BrokerConfig c;
  Reading r{properties, report};
  r.check_all();
  if (!report.errors.empty()) return c;
#define KLAMM_X(type, m, name) r.member(name, c.m);
  KLAMM_BROKER_CONFIGS(KLAMM_X)
#undef KLAMM_X
  r.roles(c);
  r.directories(c);
  r.cordoned(c);
  r.listeners(c);
  r.security(c);
  r.quorum(c);
  r.connections(c);
  check_together(properties, c, report);
  c.topic_defaults = make_topic_config({}, properties);
  return c;
}

void layer_dynamic_configs(BrokerConfig& c, const Properties& broker) {
  ConfigReport nothing;
  Reading r{broker, nothing};
  r.member("max.connections", c.max_connections);
  r.member("max.connections.per.ip", c.max_connections_per_ip);
  r.member("producer.id.expiration.ms", c.producer_id_expiration);
  r.member("klamm.disk.reserve.bytes", c.disk_reserve_bytes);
  r.cordoned(c);
  BrokerConfig read;
  r.connections(read);
  if (nothing.errors.empty()) c.max_connections_overrides = std::move(read.max_connections_overrides);
  c.topic_defaults = make_topic_config({}, broker);
}

std::optional<std::string> topic_config_value(const ConfigDef& def, const Properties& overrides,
                                              const Properties& broker) {
  if (const std::string* own = set(overrides, def.name)) return *own;
  for (std::string_view synonym : config_list(def.synonyms)) {
    const size_t star = synonym.find('*');
    const std::string* value = set(broker, synonym.substr(0, star));
    if (!value) continue;
    const int64_t n = parse_integer(trimmed(*value)).value_or(0);
    if (n < 0 && std::string_view(def.name) == "retention.ms") return "-1";  // for ever, however it is said
    if (star == synonym.npos) return *value;
    const int64_t factor = parse_integer(synonym.substr(star + 1)).value_or(1);
    return std::to_string(n < 0 ? n : n * factor);
  }
  if (!def.default_value) return std::nullopt;
  return def.default_value;
}

CleanerConfig make_cleaner_config(const Properties& broker) {
  CleanerConfig c;
  ConfigReport nothing;
  Reading r{broker, nothing};
#define KLAMM_X(type, m, name) r.member(name, c.m);
  KLAMM_CLEANER_CONFIGS(KLAMM_X)
#undef KLAMM_X
  return c;
}

TopicConfig make_topic_config(const Properties& overrides, const Properties& broker) {
  TopicConfig c;
  const auto member = [&](const char* name, auto& out) {
    const ConfigDef* def = find_config(ConfigScope::topic, name);
    KLAMM_ASSERT(def != nullptr);
    if (const auto value = topic_config_value(*def, overrides, broker)) read_or_default(*def, *value, out);
  };
#define KLAMM_X(type, m, name) member(name, c.m);
  KLAMM_TOPIC_CONFIGS(KLAMM_X)
#undef KLAMM_X
  member("internal.segment.bytes", c.segment_bytes);
  return c;
}

int32_t topic_integer(std::string_view name, const std::string& text) { return topic_value<int32_t>(name, text); }
bool topic_boolean(std::string_view name, const std::string& text) { return topic_value<bool>(name, text); }

std::optional<std::string> topic_config_fault(const Properties& overrides, const Properties& broker) {
  for (const auto& [name, value] : overrides)
    if (!find_config(ConfigScope::topic, name)) return "Unknown topic config name: " + name;
  for (const auto& [name, value] : overrides)
    if (auto refusal = config_refusal(*find_config(ConfigScope::topic, name), value)) return refusal;
  const auto number = [&](const char* name) {
    const auto value = topic_config_value(*find_config(ConfigScope::topic, name), overrides, broker);
    return value ? parse_integer(trimmed(*value)).value_or(0) : 0;
  };
  const int64_t least = number("min.compaction.lag.ms"), most = number("max.compaction.lag.ms");
  if (least > most)
    return "conflict topic config setting min.compaction.lag.ms (" + std::to_string(least) +
           ") > max.compaction.lag.ms (" + std::to_string(most) + ")";
  if (const std::string* remote = set(overrides, "remote.storage.enable"); remote && trimmed(*remote).size() == 4)
    return "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log "
           "storage.";
  return std::nullopt;
}

}  // namespace klamm::metadata
