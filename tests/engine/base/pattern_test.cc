#include "engine/base/pattern.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <string>

namespace klamm {
namespace {

constexpr int64_t kPlenty = 1'000'000;

bool known(std::string_view pattern) { return Pattern::parse(pattern).has_value(); }
bool matches(std::string_view pattern, std::string_view text) {
  const auto p = Pattern::parse(pattern);
  EXPECT_TRUE(p) << pattern;
  int64_t steps = kPlenty;
  return p && p->matches(text, steps);
}

TEST(Pattern, matches_the_whole_text) {
  EXPECT_TRUE(matches("a|bc", "bc"));
  EXPECT_FALSE(matches("a|bc", "abc"));
  EXPECT_TRUE(matches("", ""));
  EXPECT_TRUE(matches("(a*)*b", "aab"));
  EXPECT_TRUE(matches("(?:a|bc){2,3}", "abca"));
  EXPECT_FALSE(matches("(?:a|bc){2,3}", "abcaa"));
  EXPECT_TRUE(matches("a{2}{3}", "aa"));
  EXPECT_TRUE(matches("a{0}b??", ""));
}

TEST(Pattern, classes_and_escapes) {
  EXPECT_TRUE(matches("[\\w.-]+", "my.client-1"));
  EXPECT_TRUE(matches("[]a]", "]"));
  EXPECT_FALSE(matches("[^\\D3]", "3"));
  EXPECT_TRUE(matches("[\\d-z]", "-"));
  EXPECT_TRUE(matches("\\Qa+\\E+", "a++"));
  EXPECT_TRUE(matches("\\x41\\u0042\\0103\\x{44}", "ABCD"));
  EXPECT_TRUE(matches("[à-ý]+", "é"));
  EXPECT_TRUE(matches(".", "\xff"));  // what is no UTF-8 is one U+FFFD
  EXPECT_FALSE(matches(".", "\n"));
}

TEST(Pattern, case_is_ignored_to_the_end_of_the_group) {
  EXPECT_TRUE(matches("(a(?i)b)c", "aBc"));
  EXPECT_FALSE(matches("(a(?i)b)c", "aBC"));
  EXPECT_FALSE(matches("(?i)[^b]", "B"));
  EXPECT_FALSE(matches("(?i)é", "É"));
}

TEST(Pattern, ends) {
  EXPECT_TRUE(matches("^ab$", "ab"));
  EXPECT_FALSE(matches("a^b", "ab"));
  EXPECT_TRUE(matches("a$\\n", "a\n"));
  EXPECT_FALSE(matches("a\\z\\n", "a\n"));
}

TEST(Pattern, what_java_refuses_is_refused) {
  for (const char* p :
       {"(a", "a)",  "[",    "[]",   "[^]", "[b-a]",   "[a-\\d]",        "{",  "a{1", "a{2,1}",     "a**", "*a", "a|*",
        "\\", "\\q", "\\x4", "\\08", "\\E", "(?<1>a)", "(?<n>a)(?<n>b)", "(?", "[a-", "\\x{110000}"})
    EXPECT_FALSE(known(p)) << p;
}

TEST(Pattern, what_no_finite_machine_decides_or_is_too_large_is_refused) {
  for (const char* p : {"[a&&b]", "[a[b]]", "a*+", "(a)\\1", "(?=a)a", "(?<!a)b", "(?>a)", "\\b", "\\pL", "a{1001}",
                        "((a{40}){40}){40}"})
    EXPECT_FALSE(known(p)) << p;
  EXPECT_FALSE(known(std::string(100, '(') + std::string(100, ')')));
  EXPECT_FALSE(known(std::string(100'000, 'a')));
  std::string nothing;  // quoted
  while (nothing.size() < Pattern::kTextMost) nothing += "\\Q\\E";
  EXPECT_TRUE(known(nothing));
  EXPECT_FALSE(known(nothing + "\\Q\\E"));
}

// What takes a machine that tries one way after the other a time that doubles with each letter.
TEST(Pattern, no_pattern_takes_more_steps_than_program_times_text) {
  const std::string text(200, 'a');
  for (const char* p : {"(a*)*b", "(a|a)*b", "(a|aa)+b", "(.*)(.*)(.*)(.*)b", "(a?){100}a{100}b"}) {
    const auto pattern = Pattern::parse(p);
    ASSERT_TRUE(pattern);
    int64_t steps = kPlenty;
    EXPECT_FALSE(pattern->matches(text, steps));
    EXPECT_GE(steps, kPlenty - static_cast<int64_t>((Pattern::kSizeMost + 1) * (text.size() + 1)));
  }
}

TEST(Pattern, without_steps_nothing_matches) {
  const auto pattern = Pattern::parse("a*");
  int64_t steps = 3;
  EXPECT_FALSE(pattern->matches("aaaa", steps));
}

// A random expression, and where in a text it may end when it starts at a place: the definition, by sets of places.
struct Expression {
  enum Kind { letter, any, sequence, either, repeated } kind = letter;
  char c = 'a';
  int least = 0, most = 0;  // most -1: any number
  std::vector<Expression> parts;

  std::string text() const {
    switch (kind) {
      case letter: return std::string(1, c);
      case any: return ".";
      case sequence: return parts[0].text() + parts[1].text();
      case either: return "(" + parts[0].text() + "|" + parts[1].text() + ")";
      case repeated: break;
    }
    const std::string upper = most < 0 ? "" : std::to_string(most);
    return "(?:" + parts[0].text() + "){" + std::to_string(least) + "," + upper + "}";
  }
  std::set<size_t> ends(const std::string& in, const std::set<size_t>& starts) const {
    std::set<size_t> out;
    if (kind == letter || kind == any)
      for (size_t at : starts)
        if (at < in.size() && (kind == any ? in[at] != '\n' : in[at] == c)) out.insert(at + 1);
    if (kind == sequence) return parts[1].ends(in, parts[0].ends(in, starts));
    if (kind == either) {
      out = parts[0].ends(in, starts);
      const std::set<size_t> more = parts[1].ends(in, starts);
      out.insert(more.begin(), more.end());
    }
    if (kind == repeated) {
      std::set<size_t> now = starts;
      const int rounds = most < 0 ? least + static_cast<int>(in.size()) + 1 : most;
      for (int i = 0; i <= rounds; ++i) {
        if (i >= least) out.insert(now.begin(), now.end());
        now = parts[0].ends(in, now);
      }
    }
    return out;
  }
};

Expression random_expression(int depth) {
  Expression e;
  const int kind = depth == 0 ? *rc::gen::inRange(0, 2) : *rc::gen::inRange(0, 5);
  e.kind = static_cast<Expression::Kind>(kind);
  e.c = *rc::gen::inRange('a', 'c');
  e.least = *rc::gen::inRange(0, 3);
  e.most = *rc::gen::inRange(0, 3) == 0 ? -1 : e.least + *rc::gen::inRange(0, 2);
  if (kind >= Expression::sequence) e.parts.push_back(random_expression(depth - 1));
  if (kind == Expression::sequence || kind == Expression::either) e.parts.push_back(random_expression(depth - 1));
  return e;
}

RC_GTEST_PROP(Pattern, matches_what_the_definition_says, ()) {
  const Expression e = random_expression(4);
  const auto pattern = Pattern::parse(e.text());
  RC_PRE(pattern.has_value());  // else it is too large
  const std::string text = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab\n")));
  int64_t steps = 100 * kPlenty;
  RC_ASSERT(pattern->matches(text, steps) == (e.ends(text, {0}).count(text.size()) == 1));
}

RC_GTEST_PROP(Pattern, survives_any_text, (const std::string& pattern, const std::string& text)) {
  int64_t steps = kPlenty;
  if (const auto p = Pattern::parse(pattern)) p->matches(text, steps);
}

}  // namespace
}  // namespace klamm
