#include "server/properties.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <string_view>

#include "engine/metadata/config_defs.h"

namespace klamm::server {
namespace {

using metadata::trimmed;

// One logical line: a backslash at its end joins the next. A comment ends with its line, whatever that ends in.
bool logical_line(std::istream& in, std::string& line) {
  line.clear();
  bool joined = false;
  for (std::string piece; std::getline(in, piece); joined = true) {
    if (piece.ends_with('\r')) piece.pop_back();
    piece.erase(0, piece.find_first_not_of(" \t\f"));
    if (!joined && (piece.starts_with('#') || piece.starts_with('!'))) return true;
    line += piece;
    size_t slashes = 0;
    while (slashes < line.size() && line[line.size() - 1 - slashes] == '\\') ++slashes;
    if (slashes % 2 == 0) return true;
    line.pop_back();
  }
  return !line.empty();
}

// Four hexadecimal digits: a character of the basic plane, as UTF-8.
bool append_unicode(std::string_view digits, std::string& out) {
  uint32_t c = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), c, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return false;
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xe0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
  return true;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    if (c == 'u' && i + 4 < text.size() && append_unicode(text.substr(i + 1, 4), out))
      i += 4;
    else
      out += c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c;
  }
  return out;
}

}  // namespace

void read_properties(std::istream& in, Properties& into) {
  for (std::string line; logical_line(in, line);) {
    const std::string_view text = trimmed(line);
    if (text.empty()) continue;
    size_t end = 0;
    while (end < text.size() && !std::strchr("=: \t", text[end])) end += text[end] == '\\' ? 2 : 1;
    end = std::min(end, text.size());
    std::string_view value = trimmed(text.substr(end));
    if (!value.empty() && (value[0] == '=' || value[0] == ':')) value = trimmed(value.substr(1));
    into[unescaped(text.substr(0, end))] = unescaped(value);
  }
}

std::string read_properties(const std::string& path, Properties& into) {
  std::ifstream in(path);
  if (!in) return path + " cannot be read: " + std::strerror(errno);
  read_properties(in, into);
  return in.bad() ? path + " cannot be read" : "";
}

void write_properties(const std::string& path, const Properties& properties) {
  std::ofstream out(path);
  for (const auto& [key, value] : properties) {
    out << key << '=';
    for (const char c : value) out << (c == '\\' ? "\\\\" : std::string(1, c));
    out << '\n';
  }
}

void read_environment(const char* const* environment, Properties& into) {
  constexpr std::string_view kScripts[] = {
      "KAFKA_HOME",  "KAFKA_OPTS",    "KAFKA_HEAP_OPTS",   "KAFKA_JMX_OPTS",   "KAFKA_JMX_PORT",
      "KAFKA_DEBUG", "KAFKA_VERSION", "KAFKA_GC_LOG_OPTS", "KAFKA_LOG4J_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS"};
  for (; environment && *environment; ++environment) {
    const std::string_view entry = *environment;
    const size_t equals = entry.find('=');
    if (equals == entry.npos) continue;
    const std::string_view name = entry.substr(0, equals);
    if (name == "CLUSTER_ID") into["klamm.cluster.id"] = entry.substr(equals + 1);
    if (!name.starts_with("KAFKA_") || name.starts_with("KAFKA_LOG4J_") ||
        std::find(std::begin(kScripts), std::end(kScripts), name) != std::end(kScripts))
      continue;
    std::string key;
    for (size_t i = 6; i < name.size();) {
      size_t run = 0;
      while (i + run < name.size() && name[i + run] == '_' && run < 3) ++run;
      if (run > 0) {
        key += run == 1 ? '.' : run == 2 ? '_' : '-';
        i += run;
      } else {
        const char c = name[i++];
        key += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      }
    }
    into[key] = entry.substr(equals + 1);
  }
}

std::string read_assignments(const std::vector<std::string>& items, const std::string& id, Properties& into) {
  for (const std::string& item : items) {
    const size_t equals = item.find('=');
    if (equals == item.npos || equals == 0) return "--config " + item + ": key=value is wanted";
    std::string value = item.substr(equals + 1);
    for (size_t at = 0; (at = value.find("{id}", at)) != value.npos; at += id.size()) value.replace(at, 4, id);
    into[std::string(trimmed(item.substr(0, equals)))] = trimmed(value);
  }
  return "";
}

std::string node_id(const Properties& p) {
  for (const char* key : {"node.id", "broker.id"})
    if (const auto it = p.find(key); it != p.end()) return it->second;
  return "1";
}

void add_single_node_defaults(Properties& p) {
  const auto missing = [&](const char* key, const std::string& value) { p.emplace(key, value); };
  missing("process.roles", "broker,controller");
  missing("node.id", node_id(p));
  missing("listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093");
  missing("controller.listener.names", "CONTROLLER");
  if (!p.count("controller.quorum.bootstrap.servers")) {
    const std::string& listeners = p["listeners"];
    const size_t at = listeners.find(p["controller.listener.names"] + "://");
    std::string where = at == listeners.npos ? "127.0.0.1:9093" : listeners.substr(listeners.find("://", at) + 3);
    where = where.substr(0, where.find(','));
    missing("controller.quorum.voters", p["node.id"] + "@" + (where[0] == ':' ? "127.0.0.1" : "") + where);
  }
  if (!p.count("log.dir")) missing("log.dirs", "klamm-data");
  missing("group.initial.rebalance.delay.ms", "0");
  missing("offsets.topic.replication.factor", "1");
  missing("transaction.state.log.replication.factor", "1");
  missing("transaction.state.log.min.isr", "1");
  missing("share.coordinator.state.topic.replication.factor", "1");
  missing("share.coordinator.state.topic.min.isr", "1");
}

}  // namespace klamm::server
