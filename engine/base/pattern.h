// Regular expressions of the kind that a finite machine can decide, in Java's syntax: matched whole, over code points,
// in time that is bounded by program times text, whatever the pattern.
//
// Known: literals and their escapes, \Q..\E, '.', classes with ranges and negation, \d \D \s \S \w \W \h \H \v \V,
// groups (plain, named, ?:), alternatives, ? * + {n} {n,} {n,m} greedy or lazy, ^ $ \A \z \Z, (?i) and (?i:..).
// Not known, though Java has them: classes within classes and their intersections, possessive quantifiers, references,
// looking ahead and behind, atomic groups, \b \B \G \R \X \p \N, other flags; and what is longer than kTextMost or
// becomes larger than kSizeMost.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace klamm {

inline constexpr char32_t kLastCodePoint = 0x10ffff;
// Of UTF-8; what is not counts as U+FFFD.
std::vector<char32_t> code_points(std::string_view text);

class Pattern final {
 public:
  static constexpr size_t kTextMost = 16'384;  // bytes
  static constexpr size_t kSizeMost = 1'000;   // instructions and ranges of classes, counted repetitions written out
  static constexpr size_t kDepthMost = 50;     // of groups within groups

  // Nothing for what Java refuses, and for what is not known here.
  static std::optional<Pattern> parse(std::string_view text);

  // Whether all of `text` (UTF-8) matches. Each instruction looked at takes one of
  // `steps`; without any left the answer is no.
  bool matches(std::string_view text, int64_t& steps) const;

 private:
  friend class PatternParser;
  enum class Op : uint8_t {
    literal,  // the code point x
    one_of,   // a code point of sets_[x]
    split,    // go on at x and at y, relative to this
    jump,     // go on at x, relative to this
    begin,    // only at the beginning
    end,      // only at the end
    last,     // at the end, or before the one line end that is there
  };
  struct Instruction {
    Op op;
    int32_t x = 0, y = 0;
  };
  using Program = std::vector<Instruction>;                // a match falls off its end
  using Set = std::vector<std::pair<char32_t, char32_t>>;  // both included; ascending, apart
  struct Threads;

  bool takes(const Instruction& i, char32_t c) const;
  bool follow(Threads& threads, size_t start, const std::vector<char32_t>& text, size_t at, int64_t& steps) const;

  Program program_;
  std::vector<Set> sets_;
};

}  // namespace klamm
