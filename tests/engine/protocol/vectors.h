// Byte vectors of Apache Kafka, in a folder beside the repository: KLAMM_SHARED names it, else it is looked for
// upwards.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/bytes.h"

namespace klamm::test {

inline std::optional<std::filesystem::path> vector_folder() {
  namespace fs = std::filesystem;
  if (const char* named = std::getenv("KLAMM_SHARED")) {
    const fs::path folder = fs::path(named) / "protocol" / "vectors";
    return fs::exists(folder) ? std::optional(folder) : std::nullopt;
  }
  for (fs::path at = fs::current_path(); at != at.root_path(); at = at.parent_path()) {
    const fs::path folder = at / "shared" / "protocol" / "vectors";
    if (fs::exists(folder)) return folder;
  }
  return std::nullopt;
}

inline std::vector<uint8_t> from_hex(const std::string& hex) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}
inline std::string to_hex(ByteSpan bytes) {
  std::string out;
  for (const uint8_t b : bytes) {
    out += "0123456789abcdef"[b >> 4];
    out += "0123456789abcdef"[b & 15];
  }
  return out;
}

// Calls `check` with every line of the file, parsed; how many there were.
template<class Check>
size_t each_line(const std::filesystem::path& path, Check&& check) {
  std::ifstream file(path);
  size_t n = 0;
  for (std::string line; std::getline(file, line); ++n) check(nlohmann::json::parse(line));
  return n;
}
// The rows of a table, without its head.
inline std::vector<std::vector<std::string>> table_rows(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string>& row = rows.emplace_back();
    for (size_t from = 0; from <= line.size();) {
      const size_t to = std::min(line.find('\t', from), line.size());
      row.push_back(line.substr(from, to - from));
      from = to + 1;
    }
  }
  if (!rows.empty()) rows.erase(rows.begin());
  return rows;
}

}  // namespace klamm::test

// Skips the test, aloud, when the folder is absent; else `name` is its path.
#define KLAMM_VECTORS(name)                                                        \
  const auto name##_found = ::klamm::test::vector_folder();                        \
  if (!name##_found) {                                                             \
    std::cout << "NOT CHECKED: the folder shared/protocol/vectors is absent\n";    \
    GTEST_SKIP() << "the folder shared/protocol/vectors is absent (KLAMM_SHARED)"; \
  }                                                                                \
  const std::filesystem::path name = *name##_found
