// Strings that are no UTF-8, and tagged fields that are not as they should be, as Kafka takes them.
#include "engine/protocol/wire.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace klamm::protocol {
namespace {

std::string read_back(Str s) {
  Writer w;
  wire::write_string(w, s, false);
  const Slice bytes = w.finish_contiguous();
  Reader r(bytes.span());
  Arena arena;
  const Str text = wire::read_string(r, arena, false);
  return r.ok() ? std::string(text) : "refused";
}

TEST(Wire, what_is_no_utf8_is_read_as_by_java) {
  const std::string x = "\xef\xbf\xbd";  // the replacement character
  const std::pair<std::string, std::string> cases[] = {
      {"plain", "plain"},
      {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
      {"\xff\xfe", x + x},
      {"a\xc3", "a" + x},
      {"\xc3(", x + "("},
      {"\xc0\x80", x + x},  // longer than need be
      {"\xe0\x80\x80", x + x + x},
      {"\xe2\x82", x},  // cut
      {"\xe2\x82(", x + "("},
      {"\xed\xa0\x80", x},  // half of a pair
      {"\xf0\x9f\x98", x},
      {"\xf0\x9f(", x + "("},
      {"\xf0\x9f\x98(", x + "("},
      {"\xf0\x80\x80\x80", x + x + x + x},
      {"\xf4\x90\x80\x80", x + x + x + x},  // beyond the last character
      {"\xf8\x88", x + x},
  };
  for (const auto& [bytes, want] : cases) EXPECT_EQ(read_back(bytes), want) << testing::PrintToString(bytes);
  const std::string longest(wire::kStringMax, '\xff');
  EXPECT_EQ(read_back(longest), longest) << "mended it could not be written again";
}

// Whether a struct that knows no tagged field takes these.
bool taken(std::string_view bytes) {
  Reader r(as_bytes(bytes));
  Arena arena;
  const RawTag* kept = nullptr;
  wire::skip_tags(r, arena, kept);
  return r.ok();
}

TEST(Wire, tagged_fields_come_in_any_order) {
  using namespace std::string_view_literals;
  EXPECT_TRUE(taken("\0"sv));
  EXPECT_TRUE(taken("\2\1\0\0\0"sv));
  EXPECT_TRUE(taken("\2\1\0\1\0"sv));
  EXPECT_TRUE(taken("\xff\xff\xff\xff\x0f"sv));  // -1 of them
  EXPECT_FALSE(taken("\1\1\2a"sv));
  EXPECT_FALSE(taken("\2\1\0"sv));
}

}  // namespace
}  // namespace klamm::protocol
