// Log lines as users of Kafka know them, for people or (JSON) for machines; any thread may write.
#pragma once
#include <string>
#include <string_view>

namespace klamm::server {

enum class LogLevel { debug, info, warn, error };
enum class LogFormat { text, json };

class LogLines final {
 public:
  struct Options {
    int descriptor = 1;
    LogFormat format = LogFormat::text;
    LogLevel least = LogLevel::info;
    std::string name;  // "Broker id=1"
  };
  explicit LogLines(Options options) : options_(std::move(options)) {}

  // `component` is the part that speaks: "quorum", "server".
  void write(LogLevel level, std::string_view component, std::string_view text) const;
  void info(std::string_view component, std::string_view text) const { write(LogLevel::info, component, text); }
  void warn(std::string_view component, std::string_view text) const { write(LogLevel::warn, component, text); }
  void error(std::string_view component, std::string_view text) const { write(LogLevel::error, component, text); }

 private:
  const Options options_;
};

// Text inside the quotes of a JSON string.
std::string json_escaped(std::string_view text);

}  // namespace klamm::server
