#include "bindings/messages.h"

namespace klamm::bindings {

namespace {

std::optional<Slice> to_slice(const Text& text) {
  if (!text) return std::nullopt;
  return Slice::copy(*text);
}
Text to_text(const std::optional<Slice>& slice) {
  if (!slice) return std::nullopt;
  return std::string(slice->text());
}

}  // namespace

Slice pack_produce(uint32_t client, const std::string& topic, int32_t partition, const std::vector<Record>& records) {
  client::Produce ask{client, topic, partition, {}};
  for (const Record& r : records) {
    client::NewRecord& out = ask.records.emplace_back();
    out.key = to_slice(r.key);
    out.value = to_slice(r.value);
    out.timestamp = r.timestamp;
    for (const auto& [key, value] : r.headers) out.headers.push_back({key, to_slice(value)});
  }
  return client::pack(ask);
}

std::vector<Record> records_of(const client::ConsumerEvent& event) {
  std::vector<Record> out;
  for (const client::ConsumedRecord& r : event.records) {
    Record& record = out.emplace_back();
    record.partition = event.partition.partition;
    record.offset = r.offset;
    record.timestamp = r.timestamp;
    record.key = to_text(r.key);
    record.value = to_text(r.value);
    for (const client::Header& h : r.headers) record.headers.emplace_back(h.key, to_text(h.value));
  }
  return out;
}

}  // namespace klamm::bindings
