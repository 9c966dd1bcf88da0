#include "engine/base/pattern.h"

#include <algorithm>

namespace klamm {

// One list of places in the program, each at most once.
struct Pattern::Threads {
  explicit Threads(size_t size) : on(size + 1) {}
  void clear() {
    for (size_t at : list) on[at] = false;
    list.clear();
  }
  std::vector<bool> on;
  std::vector<size_t> list;
  std::vector<size_t> open;  // to be followed
};

namespace {

constexpr char32_t kDamaged = 0xfffd;

// The code point at `at`, which moves on.
char32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(at++);
  if (first < 0x80) return first;
  const int more = first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xc2 ? 1 : 0;
  if (more == 0 || first >= 0xf5) return kDamaged;
  char32_t c = first & (0x3f >> more);
  for (int i = 0; i < more; ++i) {
    if (at == text.size() || (byte(at) & 0xc0) != 0x80) return kDamaged;
    c = c << 6 | (byte(at++) & 0x3f);
  }
  return c <= kLastCodePoint ? c : kDamaged;
}

bool line_end(char32_t c) { return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029; }

// Whether nothing but one line end is left.
bool last_line_end(const std::vector<char32_t>& text, size_t at) {
  if (at == text.size()) return true;
  if (at + 2 == text.size()) return text[at] == '\r' && text[at + 1] == '\n';
  if (at + 1 != text.size() || !line_end(text[at])) return false;
  return !(text[at] == '\n' && at > 0 && text[at - 1] == '\r');  // not between the two of one
}

}  // namespace

std::vector<char32_t> code_points(std::string_view text) {
  std::vector<char32_t> out;
  for (size_t at = 0; at < text.size();) out.push_back(next_code_point(text, at));
  return out;
}

bool Pattern::takes(const Instruction& i, char32_t c) const {
  if (i.op == Op::literal) return c == static_cast<char32_t>(i.x);
  if (i.op != Op::one_of) return false;
  const Set& set = sets_[static_cast<size_t>(i.x)];
  const auto after = std::upper_bound(set.begin(), set.end(), c, [](char32_t v, const auto& r) { return v < r.first; });
  return after != set.begin() && c <= std::prev(after)->second;
}

// Everything that is reached from `start` without taking a code point; false when the steps are used up.
bool Pattern::follow(Threads& threads, size_t start, const std::vector<char32_t>& text, size_t at,
                     int64_t& steps) const {
  threads.open.push_back(start);
  while (!threads.open.empty()) {
    const size_t place = threads.open.back();
    threads.open.pop_back();
    if (threads.on[place]) continue;
    if (--steps < 0) return false;
    threads.on[place] = true;
    threads.list.push_back(place);
    if (place == program_.size()) continue;
    const Instruction& i = program_[place];
    const auto to = [&](int32_t by) { threads.open.push_back(static_cast<size_t>(static_cast<int64_t>(place) + by)); };
    switch (i.op) {
      case Op::split: to(i.y), to(i.x); break;
      case Op::jump: to(i.x); break;
      case Op::begin:
        if (at == 0) to(1);
        break;
      case Op::end:
        if (at == text.size()) to(1);
        break;
      case Op::last:
        if (last_line_end(text, at)) to(1);
        break;
      case Op::literal:
      case Op::one_of: break;
    }
  }
  return true;
}

bool Pattern::matches(std::string_view utf8, int64_t& steps) const {
  const std::vector<char32_t> text = code_points(utf8);
  Threads now(program_.size()), next(program_.size());
  if (!follow(now, 0, text, 0, steps)) return false;
  for (size_t at = 0; at < text.size() && !now.list.empty(); ++at) {
    next.clear();
    for (size_t place : now.list)
      if (place < program_.size() && takes(program_[place], text[at]) && !follow(next, place + 1, text, at + 1, steps))
        return false;
    std::swap(now, next);
  }
  return now.on[program_.size()];
}

}  // namespace klamm
