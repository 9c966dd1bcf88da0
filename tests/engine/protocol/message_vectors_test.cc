#include <gtest/gtest.h>

#include <set>

#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/protocol/frame.h"
#include "engine/protocol/json.h"
#include "tests/engine/protocol/vectors.h"

namespace klamm::protocol {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// Bytes -> fields -> the same bytes, and fields -> bytes from the JSON alone.
void check(const json& x) {
  const MessageDescriptor* m = find_message(x["message"].get<std::string>());
  ASSERT_NE(m, nullptr);
  const auto version = x["version"].get<int16_t>();
  const std::vector<uint8_t> bytes = test::from_hex(x["hex"]);
  Arena arena;
  Reader reader(bytes, UnknownTags::keep);
  void* message = make_message(*m, arena);
  m->decode(reader, arena, version, message);
  ASSERT_TRUE(reader.finished()) << (reader.error() ? reader.error() : "bytes are left");
  EXPECT_EQ(json(to_json(*m, version, message)), x["json"]);
  Writer writer;
  m->encode(writer, version, message);
  ASSERT_TRUE(writer.ok()) << writer.error();
  EXPECT_EQ(test::to_hex(writer.finish_contiguous().span()), x["hex"].get<std::string>());

  void* second = make_message(*m, arena);
  ASSERT_EQ(from_json(ordered_json(x["json"]), *m, version, arena, second), "");
  if (x["kind"] == "unknown-tags") return;
  Writer again;
  m->encode(again, version, second);
  ASSERT_TRUE(again.ok()) << again.error();
  EXPECT_EQ(test::to_hex(again.finish_contiguous().span()), x["hex"].get<std::string>());
  if (x.contains("frame")) {
    Writer framing;
    write_framing(framing, *m, version);
    EXPECT_EQ(test::to_hex(framing.finish_contiguous().span()), x["frame"].get<std::string>());
  }
}

TEST(MessageVectors, every_message_in_every_version) {
  KLAMM_VECTORS(folder);
  std::set<std::pair<std::string, int>> seen;
  size_t n = 0;
  for (const char* part : {"messages", "records"}) {
    for (const auto& file : std::filesystem::directory_iterator(folder / part)) {
      n += test::each_line(file.path(), [&](const json& x) {
        SCOPED_TRACE(x["message"].get<std::string>() + " " + x["version"].dump() + " " + x["kind"].dump());
        check(x);
        seen.emplace(x["message"], x["version"]);
      });
    }
  }
  size_t versions = 0;
  for (const MessageDescriptor* m : all_messages())
    versions += static_cast<size_t>(m->versions.high - m->versions.low + 1);
  EXPECT_EQ(seen.size(), versions);
  std::cout << n << " vectors of " << seen.size() << " message versions\n";
}

void check_frame(const json& x) {
  const bool request = x["message"].get<std::string>().ends_with("Request");
  const auto key = x["apiKey"].get<int16_t>();
  const auto version = x["version"].get<int16_t>();
  const auto correlation = x["correlationId"].get<int32_t>();
  const std::vector<uint8_t> bytes = test::from_hex(x["hex"]);
  const MessageDescriptor* m = find_message(request ? MessageKind::request : MessageKind::response, key);
  ASSERT_NE(m, nullptr);
  Arena arena;
  Reader reader(bytes);
  ASSERT_EQ(reader.i32(), static_cast<int32_t>(bytes.size() - 4));
  Writer writer;
  if (request) {
    RequestHeader header;
    ASSERT_TRUE(decode_request_header(reader, arena, header));
    EXPECT_EQ(header.request_api_key, key);
    EXPECT_EQ(header.request_api_version, version);
    EXPECT_EQ(header.correlation_id, correlation);
    EXPECT_EQ(is_null(header.client_id), x["clientId"].is_null());
    begin_request(writer, {key, version, correlation, header.client_id});
  } else {
    ResponseHeader header;
    ASSERT_TRUE(decode_response_header(reader, arena, {key, version}, header));
    EXPECT_EQ(header.correlation_id, correlation);
    begin_response(writer, {key, version}, correlation);
  }
  void* message = make_message(*m, arena);
  m->decode(reader, arena, version, message);
  ASSERT_TRUE(reader.finished());
  EXPECT_EQ(json(to_json(*m, version, message)), x["json"]);
  m->encode(writer, version, message);
  end_frame(writer);
  EXPECT_EQ(test::to_hex(writer.finish_contiguous().span()), x["hex"].get<std::string>());
}

TEST(MessageVectors, whole_frames) {
  KLAMM_VECTORS(folder);
  test::each_line(folder / "frames.jsonl", [](const json& x) {
    SCOPED_TRACE(x["message"].get<std::string>() + " " + x["version"].dump());
    check_frame(x);
  });
}

TEST(ApiTable, agrees_with_the_messages) {
  for (const ApiInfo& api : all_apis()) {
    EXPECT_EQ(find_api(api.key), &api);
    const MessageDescriptor* request = find_message(MessageKind::request, api.key);
    const MessageDescriptor* response = find_message(MessageKind::response, api.key);
    ASSERT_EQ(request == nullptr, api.versions.empty());
    if (request == nullptr) continue;
    EXPECT_EQ(request->versions, api.versions);
    EXPECT_EQ(response->versions, api.versions) << api.name;
    EXPECT_EQ(request->first_flexible, api.first_flexible);
    for (const Versions served : {api.broker, api.controller}) {
      if (served.empty()) continue;
      EXPECT_GE(served.low, api.versions.low);
      EXPECT_LE(served.high, api.versions.high);
    }
  }
  EXPECT_EQ(find_api(-1), nullptr);
  EXPECT_EQ(find_api(1000), nullptr);
}

}  // namespace
}  // namespace klamm::protocol
