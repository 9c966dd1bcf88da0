#include "engine/log/checkpoints.h"

#include <charconv>

namespace klamm::log {
namespace {

constexpr size_t kMaxFileName = 255;

tl::unexpected<Error> damaged(const char* why) { return fail(ErrorCode::kafka_storage_error, why); }

// Takes the text up to `end` (or all of it) off the front.
std::string_view take_until(std::string_view* text, char end) {
  const size_t at = text->find(end);
  const std::string_view word = text->substr(0, at);
  text->remove_prefix(at == std::string_view::npos ? text->size() : at + 1);
  return word;
}

template<class T>
bool parse_number(std::string_view word, T* out) {
  const auto r = std::from_chars(word.data(), word.data() + word.size(), *out);
  return !word.empty() && r.ec == std::errc() && r.ptr == word.data() + word.size();
}

// The head of every checkpoint file: version and number of lines, which cannot be more than the rest can hold.
Result<size_t> take_head(std::string_view* text, size_t least_line) {
  int32_t version = 0;
  size_t count = 0;
  if (!parse_number(take_until(text, '\n'), &version) || version != 0) return damaged("unknown checkpoint version");
  if (!parse_number(take_until(text, '\n'), &count)) return damaged("no count in a checkpoint");
  if (count > (text->size() + 1) / least_line) return damaged("a checkpoint promises more lines than it has");
  return count;
}

constexpr std::string_view suffix_of(PartitionDirKind kind) {
  switch (kind) {
    case PartitionDirKind::deleted: return "-delete";
    case PartitionDirKind::stray: return "-stray";
    case PartitionDirKind::future: return "-future";
    case PartitionDirKind::live: break;
  }
  return "";
}

}  // namespace

void OffsetLines::add(std::string_view topic, int32_t partition, Offset offset) {
  lines_.append(topic).append(" ").append(std::to_string(partition)).append(" ");
  lines_.append(std::to_string(offset)).append("\n");
  ++count_;
}

std::string encode_offset_checkpoint(const OffsetCheckpoint& offsets) {
  OffsetLines lines;
  for (const auto& [name, offset] : offsets) lines.add(name.first, name.second, offset);
  return lines.file();
}

Result<OffsetCheckpoint> parse_offset_checkpoint(std::string_view text) {
  if (text.empty()) return OffsetCheckpoint();  // Kafka makes the file before it has anything to write
  constexpr size_t kLeastLine = sizeof("t 0 0\n") - 1;
  const auto count = take_head(&text, kLeastLine);
  if (!count) return tl::unexpected(count.error());
  OffsetCheckpoint offsets;
  for (size_t i = 0; i < *count; ++i) {
    std::string_view line = take_until(&text, '\n');
    const std::string_view topic = take_until(&line, ' ');
    int32_t partition = 0;
    Offset offset = 0;
    if (topic.empty() || !parse_number(take_until(&line, ' '), &partition) || !parse_number(line, &offset))
      return damaged("a damaged line in an offset checkpoint");
    if (!offsets.emplace(std::pair(std::string(topic), partition), offset).second)
      return damaged("a partition twice in an offset checkpoint");
  }
  if (!text.empty()) return damaged("an offset checkpoint goes on behind its end");
  return offsets;
}

std::string encode_epoch_checkpoint(const std::vector<EpochEntry>& entries) {
  std::string text = "0\n" + std::to_string(entries.size()) + "\n";
  for (const EpochEntry& e : entries) text += std::to_string(e.epoch) + " " + std::to_string(e.start) + "\n";
  return text;
}

Result<std::vector<EpochEntry>> parse_epoch_checkpoint(std::string_view text) {
  constexpr size_t kLeastLine = sizeof("0 0\n") - 1;
  const auto count = take_head(&text, kLeastLine);
  if (!count) return tl::unexpected(count.error());
  std::vector<EpochEntry> entries;
  entries.reserve(*count);
  for (size_t i = 0; i < *count; ++i) {
    std::string_view line = take_until(&text, '\n');
    EpochEntry e;
    if (!parse_number(take_until(&line, ' '), &e.epoch) || !parse_number(line, &e.start) || e.epoch < 0 || e.start < 0)
      return damaged("a damaged line in an epoch checkpoint");
    if (!entries.empty() && (e.epoch <= entries.back().epoch || e.start <= entries.back().start))
      return damaged("an epoch checkpoint that does not rise");
    entries.push_back(e);
  }
  if (!text.empty()) return damaged("an epoch checkpoint goes on behind its end");
  return entries;
}

std::string encode_partition_metadata(const Uuid& topic) { return "version: 0\ntopic_id: " + topic.text(); }

Result<Uuid> parse_partition_metadata(std::string_view text) {
  constexpr std::string_view kVersion = "version: ", kTopic = "topic_id: ";
  std::string_view version = take_until(&text, '\n');
  std::string_view topic = take_until(&text, '\n');
  if (!version.starts_with(kVersion) || version.substr(kVersion.size()) != "0")
    return damaged("unknown version of partition.metadata");
  if (!topic.starts_with(kTopic)) return damaged("no topic id in partition.metadata");
  topic.remove_prefix(kTopic.size());
  Uuid id;
  if (!Uuid::parse(topic.data(), topic.size(), &id) || id.zero()) return damaged("no topic id in partition.metadata");
  return id;
}

std::string encode_clean_shutdown(BrokerEpoch epoch) {
  return "{\"version\":0,\"brokerEpoch\":" + std::to_string(epoch) + "}";
}

Result<BrokerEpoch> parse_clean_shutdown(std::string_view text) {
  constexpr std::string_view kKey = "\"brokerEpoch\":";
  const size_t at = text.find(kKey);
  if (at == std::string_view::npos) return damaged("no broker epoch in the clean shutdown file");
  text.remove_prefix(at + kKey.size());
  BrokerEpoch epoch = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), epoch).ec != std::errc())
    return damaged("no broker epoch in the clean shutdown file");
  return epoch;
}

std::string partition_dir(std::string_view topic, int32_t partition) {
  return std::string(topic) + "-" + std::to_string(partition);
}

Result<PartitionDir> parse_partition_dir(std::string_view name) {
  constexpr size_t kUniqueSize = sizeof(".0123456789abcdef0123456789abcdef") - 1;
  PartitionDir dir;
  for (const auto kind : {PartitionDirKind::deleted, PartitionDirKind::stray, PartitionDirKind::future}) {
    const std::string_view suffix = suffix_of(kind);
    if (name.size() <= suffix.size() + kUniqueSize || !name.ends_with(suffix)) continue;
    if (name[name.size() - suffix.size() - kUniqueSize] != '.') continue;
    name.remove_suffix(suffix.size() + kUniqueSize);
    dir.kind = kind;
    break;
  }
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0 || !parse_number(name.substr(dash + 1), &dir.partition) ||
      dir.partition < 0)
    return damaged("not the name of a partition's directory");
  dir.topic = std::string(name.substr(0, dash));
  return dir;
}

std::string moved_partition_dir(std::string_view topic, int32_t partition, const Uuid& away, PartitionDirKind kind) {
  std::string tail = "-" + std::to_string(partition) + ".";
  for (const uint8_t b : away.bytes) tail += "0123456789abcdef"[b >> 4], tail += "0123456789abcdef"[b & 15];
  tail += suffix_of(kind);
  return std::string(topic.substr(0, kMaxFileName - tail.size())) + tail;
}

}  // namespace klamm::log
