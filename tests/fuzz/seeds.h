#pragma once
#include <filesystem>
#include <string>

#include "engine/base/bytes.h"

namespace klamm::fuzz {

void save(const std::filesystem::path& folder, const std::string& name, ByteSpan bytes);
void save_directories(const std::filesystem::path& folder);
void save_records(const std::filesystem::path& folder);

}  // namespace klamm::fuzz
