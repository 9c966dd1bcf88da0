// The verbs of client hosts, as flat arguments and results: what module.cc turns into Python's types.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/client/verbs.h"

namespace klamm::bindings {

using Text = std::optional<std::string>;  // bytes; none is null

struct Record {
  int32_t partition = 0;
  int64_t offset = 0;
  int64_t timestamp = 0;
  Text key;
  Text value;
  std::vector<std::pair<std::string, Text>> headers;
};

Slice pack_produce(uint32_t client, const std::string& topic, int32_t partition, const std::vector<Record>& records);
std::vector<Record> records_of(const client::ConsumerEvent& event);

// Answers come as bytes; what they are is known by what was asked. Throws if they cannot be read.
template<class T>
T read_answer(const std::string& bytes) {
  T value;
  if (client::unpack(Slice::copy(bytes), value)) return value;
  client::Done refused;  // what a host answers to a verb that it does not accept
  if (client::unpack(Slice::copy(bytes), refused)) throw std::invalid_argument(refused.message);
  throw std::runtime_error("an answer that cannot be read");
}

}  // namespace klamm::bindings
