#include "engine/base/visit.h"

#include "engine/base/digest.h"

namespace klamm {

void HashVisitor::number(const char*, int64_t value) { state_ = mix(state_, static_cast<uint64_t>(value)); }
void HashVisitor::bytes(const char*, ByteSpan value) { state_ = mix(mix(state_, value.size()), hash_bytes(value)); }

namespace {
constexpr size_t kMostPrinted = 64;

std::string printable(ByteSpan value) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  bool plain = true;
  for (uint8_t c : value.first(value.size() < kMostPrinted ? value.size() : kMostPrinted))
    plain = plain && c >= 32 && c < 127;
  for (uint8_t c : value.first(value.size() < kMostPrinted ? value.size() : kMostPrinted)) {
    if (plain)
      text.push_back(static_cast<char>(c));
    else
      text.push_back(kHex[c >> 4]), text.push_back(kHex[c & 15]);
  }
  if (value.size() > kMostPrinted) text += "... (" + std::to_string(value.size()) + " bytes)";
  return text;
}
}  // namespace

void PrintVisitor::number(const char* name, int64_t value) {
  text_ += std::string(2 * depth_, ' ') + name + " = " + std::to_string(value) + "\n";
}
void PrintVisitor::bytes(const char* name, ByteSpan value) {
  text_ += std::string(2 * depth_, ' ') + name + " = " + printable(value) + "\n";
}
void PrintVisitor::enter(const char* name) {
  text_ += std::string(2 * depth_, ' ') + name + ":\n";
  ++depth_;
}

}  // namespace klamm
