#include "server/log_lines.h"

#include <unistd.h>

#include <cstdio>
#include <ctime>

namespace klamm::server {
namespace {

const char* level_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "DEBUG";
    case LogLevel::info: return "INFO";
    case LogLevel::warn: return "WARN";
    case LogLevel::error: return "ERROR";
  }
  return "INFO";
}

// "2026-09-01 12:00:00,123", local time as log4j prints it; JSON wants "2026-09-01T12:00:00.123Z".
std::string timestamp(LogFormat format) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  format == LogFormat::text ? localtime_r(&now.tv_sec, &parts) : gmtime_r(&now.tv_sec, &parts);
  char day[40], out[64];
  std::strftime(day, sizeof day, format == LogFormat::text ? "%Y-%m-%d %H:%M:%S" : "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(out, sizeof out, format == LogFormat::text ? "%s,%03ld" : "%s.%03ldZ", day, now.tv_nsec / 1'000'000);
  return out;
}

}  // namespace

std::string json_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      out += escape;
    } else {
      out += c;
    }
  }
  return out;
}

void LogLines::write(LogLevel level, std::string_view component, std::string_view text) const {
  if (level < options_.least) return;
  std::string line;
  if (options_.format == LogFormat::text) {
    line.append("[").append(timestamp(LogFormat::text)).append("] ").append(level_name(level)).append(" [");
    line.append(options_.name).append("] ").append(text).append(" (").append(component).append(")\n");
  } else {
    line.append("{\"time\": \"").append(timestamp(LogFormat::json)).append("\", \"level\": \"");
    line.append(level_name(level)).append("\", \"node\": \"").append(json_escaped(options_.name));
    line.append("\", \"component\": \"").append(json_escaped(component));
    line.append("\", \"text\": \"").append(json_escaped(text)).append("\"}\n");
  }
  // One write a line keeps lines of several threads apart; a log that cannot be written is no reason to stop.
  [[maybe_unused]] const ssize_t written = ::write(options_.descriptor, line.data(), line.size());
}

}  // namespace klamm::server
