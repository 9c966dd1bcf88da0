// klamm codec: JSON Lines {"message", "version", "hex"} or {"message", "version", "json"} come in, the same lines go
// out with both filled. Where both are given, hex counts.
#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/protocol/json.h"

namespace klamm::cli {
namespace {

using Json = nlohmann::ordered_json;
using protocol::MessageDescriptor;

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::optional<std::string> from_hex(const std::string& hex) {
  std::string out;
  if (hex.size() % 2 != 0) return std::nullopt;
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit(hex[i]), low = digit(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

std::string to_hex(ByteSpan bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const uint8_t b : bytes) (out += kDigits[b >> 4]) += kDigits[b & 15];
  return out;
}

// Fills `json` from `hex`; "" or what is wrong.
std::string fill_json(Json& line, const MessageDescriptor& m, int16_t version) {
  if (!line["hex"].is_string()) return "hex is not a string";
  const std::optional<std::string> raw = from_hex(line["hex"].get<std::string>());
  if (!raw) return "hex is not hexadecimal";
  Arena arena;
  Reader reader(as_bytes(*raw));
  void* message = protocol::make_message(m, arena);
  m.decode(reader, arena, version, message);
  if (!reader.ok()) return reader.error();
  if (reader.remaining() != 0) return std::to_string(reader.remaining()) + " bytes are left after the message";
  line["json"] = protocol::to_json(m, version, message);
  return "";
}

// Fills `hex` from `json`; "" or what is wrong.
std::string fill_hex(Json& line, const MessageDescriptor& m, int16_t version) {
  Arena arena;
  void* message = protocol::make_message(m, arena);
  if (std::string why = protocol::from_json(line["json"], m, version, arena, message); !why.empty()) return why;
  Writer writer;
  m.encode(writer, version, message);
  if (!writer.ok()) return writer.error();
  line["hex"] = to_hex(writer.finish_contiguous().span());
  return "";
}

std::string translate(Json& line) {
  if (!line.is_object()) return "not a JSON object";
  const auto name = line.find("message");
  const auto number = line.find("version");
  if (name == line.end() || !name->is_string()) return "message is missing";
  if (number == line.end() || !number->is_number_integer()) return "version is missing";
  const MessageDescriptor* m = protocol::find_message(name->get_ref<const std::string&>());
  if (m == nullptr) return "there is no message of this name";
  const int64_t version = number->get<int64_t>();
  if (version < m->versions.low || version > m->versions.high) {
    return "versions are " + std::to_string(m->versions.low) + " to " + std::to_string(m->versions.high);
  }
  const auto given = [&](const char* key) { return line.contains(key) && !line[key].is_null(); };
  if (given("hex")) return fill_json(line, *m, static_cast<int16_t>(version));
  if (given("json")) return fill_hex(line, *m, static_cast<int16_t>(version));
  return "neither hex nor json is given";
}

std::string dump(const Json& j) { return j.dump(-1, ' ', false, Json::error_handler_t::replace); }

int translate_lines(std::istream& in, std::ostream& out) {
  int failures = 0;
  size_t number = 0;
  for (std::string text; std::getline(in, text);) {
    ++number;
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    Json line = Json::parse(text, nullptr, false);
    const std::string why = line.is_discarded() ? "not JSON" : translate(line);
    if (!why.empty()) {
      ++failures;
      std::cerr << "line " << number << ": " << why << "\n";
      if (!line.is_object()) line = Json::object();
      line["error"] = why;
    }
    out << dump(line) << "\n";
  }
  return failures;
}

void list_messages(std::ostream& out) {
  for (const MessageDescriptor* m : protocol::all_messages()) {
    out << m->name << "\t" << m->versions.low << "-" << m->versions.high << "\n";
  }
}

}  // namespace

int codec_main(int argc, char** argv) {
  CLI::App app(
      "Reads JSON Lines {\"message\", \"version\", \"hex\"} or {\"message\", \"version\", \"json\"} from standard "
      "input "
      "and writes them with both filled.");
  app.name("klamm codec");
  bool list = false;
  app.add_flag("--list", list, "list the messages and their versions instead");
  CLI11_PARSE(app, argc, argv);
  if (list) {
    list_messages(std::cout);
    return 0;
  }
  std::ios::sync_with_stdio(false);
  return translate_lines(std::cin, std::cout) == 0 ? 0 : 1;
}

}  // namespace klamm::cli
