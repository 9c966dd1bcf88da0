#include "engine/base/ids.h"

namespace klamm {
namespace {
constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int digit(char c) {
  for (int i = 0; i < 64; ++i)
    if (kAlphabet[i] == c) return i;
  return -1;
}
}  // namespace

std::string Uuid::text() const {
  std::string out;
  uint32_t bits = 0;
  int have = 0;
  for (uint8_t byte : bytes) {
    bits = (bits << 8) | byte;
    for (have += 8; have >= 6; have -= 6) out.push_back(kAlphabet[(bits >> (have - 6)) & 63]);
  }
  out.push_back(kAlphabet[(bits << (6 - have)) & 63]);
  return out;
}

bool Uuid::parse(const char* text, size_t size, Uuid* out) {
  if (size != 22) return false;
  uint32_t bits = 0;
  int have = 0;
  size_t at = 0;
  for (size_t i = 0; i < size; ++i) {
    const int d = digit(text[i]);
    if (d < 0) return false;
    bits = (bits << 6) | static_cast<uint32_t>(d);
    have += 6;
    if (have >= 8 && at < 16) {
      out->bytes[at++] = static_cast<uint8_t>(bits >> (have - 8));
      have -= 8;
    }
  }
  return at == 16;
}

}  // namespace klamm
