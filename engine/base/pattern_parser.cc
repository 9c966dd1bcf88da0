// The parser of patterns: from Java's syntax to a program.
#include <algorithm>
#include <set>
#include <string>

#include "engine/base/pattern.h"

namespace klamm {

// Recursive descent, no deeper than kDepthMost. A part is a run of instructions that is entered at its start and falls
// off its end, with relative places only: so it can be repeated by copying.
class PatternParser final {
 public:
  explicit PatternParser(std::string_view text) : text_(unquoted(code_points(text))) {}

  bool parse(Pattern& out) {
    out_ = &out;
    return alternatives(out.program_, 0) && at_ == text_.size();
  }

 private:
  using Op = Pattern::Op;
  using Program = Pattern::Program;
  using Set = Pattern::Set;

  // \Q..\E, of which the second may be missing, as escapes of what is between.
  static std::vector<char32_t> unquoted(const std::vector<char32_t>& in) {
    std::vector<char32_t> out;
    bool quoted = false;
    for (size_t i = 0; i < in.size(); ++i) {
      const bool pair = in[i] == '\\' && i + 1 < in.size();
      if (pair && in[i + 1] == (quoted ? U'E' : U'Q')) {
        quoted = !quoted, ++i;
      } else if (quoted) {
        if (in[i] < 0x80 && !letter(in[i]) && !digit(in[i])) out.push_back('\\');
        out.push_back(in[i]);
      } else {
        out.push_back(in[i]);
        if (pair) out.push_back(in[++i]);
      }
    }
    return out;
  }

  bool done() const { return at_ == text_.size(); }
  char32_t peek(size_t by = 0) const { return at_ + by < text_.size() ? text_[at_ + by] : U'\0'; }
  bool take(char32_t c) {
    if (done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  static bool digit(char32_t c) { return c >= '0' && c <= '9'; }
  static bool letter(char32_t c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
  static bool fits(const Program& p) { return p.size() <= Pattern::kSizeMost; }
  static int32_t signed_size(const Program& p) { return static_cast<int32_t>(p.size()); }
  static void append(Program& to, const Program& part) { to.insert(to.end(), part.begin(), part.end()); }

  bool alternatives(Program& out, size_t depth) {
    if (depth > Pattern::kDepthMost) return false;
    std::vector<Program> all(1);
    size_t size = 0;
    do {
      Program& next = all.back();
      if (!sequence(next, depth)) return false;
      size += next.size() + 2;
      if (size > Pattern::kSizeMost + 2) return false;
    } while (take('|') && (all.emplace_back(), true));
    out = std::move(all.back());
    for (size_t i = all.size() - 1; i-- > 0;) {
      Program first = std::move(all[i]);
      first.push_back({Op::jump, signed_size(out) + 1});
      first.insert(first.begin(), {Op::split, 1, signed_size(first) + 1});
      append(first, out);
      out = std::move(first);
    }
    return true;
  }

  bool sequence(Program& out, size_t depth) {
    while (!done() && peek() != '|' && peek() != ')') {
      Program part;
      if (!atom(part, depth) || !quantified(part)) return false;
      append(out, part);
      if (!fits(out)) return false;
    }
    return true;
  }

  bool atom(Program& out, size_t depth) {
    const char32_t c = peek();
    if (c == '*' || c == '+' || c == '?') return false;
    if (c == '{') return true;  // a quantifier of nothing, as Java takes it
    ++at_;
    switch (c) {
      case '(': return group(out, depth);
      case '[': return bracket(out);
      case '.': return add_set(out, negated({{'\n', '\n'}, {'\r', '\r'}, {0x85, 0x85}, {0x2028, 0x2029}}));
      case '^': return add(out, {Op::begin});
      case '$': return add(out, {Op::last});
      case '\\': return escaped(out);
      default: return add_literal(out, c);
    }
  }

  bool group(Program& out, size_t depth) {
    const bool fold = fold_;
    if (take('?')) {
      if (take('<')) {
        if (!name()) return false;
      } else if (take('i')) {
        fold_ = true;
        if (take(')')) return true;  // from here to the end of the group around
        if (!take(':')) return false;
      } else if (!take(':')) {
        return false;
      }
    }
    if (!alternatives(out, depth + 1) || !take(')')) return false;
    fold_ = fold;
    return true;
  }
  bool name() {
    std::u32string n;
    while (letter(peek()) || digit(peek())) n.push_back(text_[at_++]);
    return !n.empty() && letter(n[0]) && take('>') && names_.insert(n).second;
  }

  // After an atom: at most one quantifier, lazy or not; which of several ways a match takes is all the same here.
  bool quantified(Program& part) {
    size_t least = 1, most = 1;
    if (take('?')) {
      least = 0;
    } else if (take('*')) {
      least = 0, most = kAny;
    } else if (take('+')) {
      most = kAny;
    } else if (take('{')) {
      if (!counts(least, most)) return false;
    } else {
      return true;
    }
    take('?');
    if (peek() == '+' && !done()) return false;  // possessive
    return repeated(part, least, most);
  }
  bool counts(size_t& least, size_t& most) {
    if (!number(least)) return false;
    most = least;
    if (take(',')) {
      most = kAny;
      if (digit(peek()) && !number(most)) return false;
    }
    return take('}') && least <= most;
  }
  bool number(size_t& n) {
    if (!digit(peek())) return false;
    for (n = 0; digit(peek()); ++at_) {
      n = n * 10 + (peek() - '0');
      if (n > Pattern::kSizeMost) return false;
    }
    return true;
  }
  static bool repeated(Program& part, size_t least, size_t most) {
    const int32_t size = signed_size(part);
    const size_t copies = most == kAny ? least + 1 : most;
    if (copies * (part.size() + 2) > Pattern::kSizeMost) return false;
    Program out;
    for (size_t i = 0; i < least; ++i) append(out, part);
    if (most == kAny) {
      out.push_back({Op::split, 1, size + 2});
      append(out, part);
      out.push_back({Op::jump, -size - 1});
    } else {
      for (size_t i = least; i < most; ++i) {
        out.push_back({Op::split, 1, size + 1});
        append(out, part);
      }
    }
    part = std::move(out);
    return true;
  }

  static bool add(Program& out, Pattern::Instruction i) {
    out.push_back(i);
    return true;
  }
  bool add_literal(Program& out, char32_t c) {
    if (fold_ && letter(c)) return add_set(out, {{c, c}});
    return add(out, {Op::literal, static_cast<int32_t>(c)});
  }
  bool add_set(Program& out, Set set) {
    set = normal(std::move(set));
    ranges_ += set.size() + 1;
    if (ranges_ > Pattern::kSizeMost) return false;
    out_->sets_.push_back(std::move(set));
    return add(out, {Op::one_of, static_cast<int32_t>(out_->sets_.size()) - 1});
  }

  // Ascending and apart; with letters of the other case if case is ignored, which is of ASCII only, as in Java.
  Set normal(Set set) const {
    if (fold_)
      for (size_t i = 0, n = set.size(); i < n; ++i) {
        const auto [from, to] = set[i];
        const auto other = [&](char32_t low, char32_t high, char32_t by) {
          if (std::max(from, low) <= std::min(to, high))
            set.push_back({std::max(from, low) ^ by, std::min(to, high) ^ by});
        };
        other('a', 'z', 0x20), other('A', 'Z', 0x20);
      }
    std::sort(set.begin(), set.end());
    Set out;
    for (const auto& range : set)
      if (!out.empty() && range.first <= out.back().second + 1)
        out.back().second = std::max(out.back().second, range.second);
      else
        out.push_back(range);
    return out;
  }
  Set negated(const Set& set) const {
    Set out;
    char32_t from = 0;
    for (const auto& [first, last] : normal(set)) {
      if (first > from) out.push_back({from, first - 1});
      from = last + 1;
    }
    if (from <= kLastCodePoint) out.push_back({from, kLastCodePoint});
    return out;
  }

  // After '['. A range takes the end as it stands; '-' first, last or after a class is itself.
  bool bracket(Program& out) {
    const bool negate = take('^');
    Set set;
    for (bool first = true; first || peek() != ']' || done(); first = false) {
      if (done() || (peek() == '&' && peek(1) == '&')) return false;
      char32_t from = 0, to = 0;
      bool whole_class = false;
      if (!class_item(set, from, whole_class)) return false;
      if (set.size() > Pattern::kSizeMost) return false;
      if (whole_class) continue;
      to = from;
      if (peek() == '-' && at_ + 1 < text_.size() && peek(1) != ']') {
        ++at_;
        if (!class_item(set, to, whole_class) || whole_class || to < from) return false;
      }
      set.push_back({from, to});
    }
    ++at_;
    return add_set(out, negate ? negated(set) : set);
  }
  bool class_item(Set& set, char32_t& c, bool& whole_class) {
    c = text_[at_++];
    if (c == '[') return false;
    if (c != '\\') return true;
    if (done()) return false;
    if (const auto shorthand = shorthand_class(peek())) {
      ++at_;
      whole_class = true;
      set.insert(set.end(), shorthand->begin(), shorthand->end());
      return true;
    }
    return escaped_literal(c);
  }

  std::optional<Set> shorthand_class(char32_t c) const {
    const Set digits = {{'0', '9'}};
    const Set words = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    const Set spaces = {{'\t', '\r'}, {' ', ' '}};
    const Set horizontal = {{'\t', '\t'},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x180e, 0x180e},
                            {0x2000, 0x200a}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
    const Set vertical = {{'\n', '\r'}, {0x85, 0x85}, {0x2028, 0x2029}};
    switch (c) {
      case 'd': return digits;
      case 'D': return negated(digits);
      case 'w': return words;
      case 'W': return negated(words);
      case 's': return spaces;
      case 'S': return negated(spaces);
      case 'h': return horizontal;
      case 'H': return negated(horizontal);
      case 'v': return vertical;
      case 'V': return negated(vertical);
      default: return std::nullopt;
    }
  }

  // After a backslash.
  bool escaped(Program& out) {
    if (done()) return false;
    if (auto shorthand = shorthand_class(peek())) {
      ++at_;
      return add_set(out, std::move(*shorthand));
    }
    switch (peek()) {
      case 'A': return ++at_, add(out, {Op::begin});
      case 'z': return ++at_, add(out, {Op::end});
      case 'Z': return ++at_, add(out, {Op::last});
      default: break;
    }
    char32_t c = 0;
    return escaped_literal(c) && add_literal(out, c);
  }
  bool escaped_literal(char32_t& c) {
    if (done()) return false;
    c = text_[at_++];
    switch (c) {
      case 't': return c = '\t', true;
      case 'n': return c = '\n', true;
      case 'r': return c = '\r', true;
      case 'f': return c = '\f', true;
      case 'a': return c = 7, true;
      case 'e': return c = 27, true;
      case 'c':
        if (done()) return false;
        c = text_[at_++] ^ 64;
        return true;
      case '0': return octal(c);
      case 'u': return hexadecimal(c, 4) && (c < 0xd800 || c > 0xdfff);
      case 'x': return peek() == '{' ? braced(c) : hexadecimal(c, 2);
      default: return !letter(c) && !digit(c);
    }
  }
  bool octal(char32_t& c) {
    const auto is = [&] { return !done() && peek() >= '0' && peek() <= '7'; };
    if (!is()) return false;
    const int most = peek() <= '3' ? 3 : 2;
    c = 0;
    for (int i = 0; i < most && is(); ++i) c = c * 8 + (text_[at_++] - '0');
    return true;
  }
  bool hexadecimal(char32_t& c, int digits) {
    c = 0;
    for (int i = 0; i < digits; ++i)
      if (!hex_digit(c)) return false;
    return true;
  }
  bool braced(char32_t& c) {
    ++at_;
    c = 0;
    do {
      if (!hex_digit(c) || c > kLastCodePoint) return false;
    } while (!take('}'));
    return true;
  }
  bool hex_digit(char32_t& c) {
    if (done()) return false;
    const char32_t d = text_[at_++];
    if (digit(d)) return c = c * 16 + (d - '0'), true;
    if (!letter(d) || (d | 0x20) > 'f') return false;
    return c = c * 16 + ((d | 0x20) - 'a' + 10), true;
  }

  static constexpr size_t kAny = SIZE_MAX;
  const std::vector<char32_t> text_;
  size_t at_ = 0;
  bool fold_ = false;
  size_t ranges_ = 0;
  std::set<std::u32string> names_;
  Pattern* out_ = nullptr;
};

std::optional<Pattern> Pattern::parse(std::string_view text) {
  Pattern out;
  if (text.size() > kTextMost || !PatternParser(text).parse(out)) return std::nullopt;
  return out;
}

}  // namespace klamm
