// Plays scenarios/raft/*.txt. A line "> command" is carried out, and what follows it must be what happens. With
// KLAMM_REWRITE=1 the files are written anew with what happens.
#include "tests/engine/raft/story.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace klamm::raft {
namespace {

std::string played(std::istream& in) {
  Story story;
  std::string out, line;
  while (std::getline(in, line)) {
    if (line.rfind("> ", 0) == 0)
      out += line + "\n" + story.run(line.substr(2));
    else if (line.empty() || line[0] == '#')
      out += line + "\n";
  }
  return out;
}

std::filesystem::path find_upwards(const char* name) {
  for (auto at = std::filesystem::current_path();; at = at.parent_path()) {
    if (std::filesystem::is_directory(at / name)) return at / name;
    if (at == at.parent_path()) return {};
  }
}

TEST(raft_stories, happen_as_told) {
  const auto folder = find_upwards("scenarios/raft");
  ASSERT_FALSE(folder.empty()) << "run this below the repository's root";
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    SCOPED_TRACE(path.filename().string());
    std::ifstream in(path);
    std::stringstream told;
    told << in.rdbuf();
    const std::string happened = played(told);
    if (std::getenv("KLAMM_REWRITE") != nullptr)
      std::ofstream(path) << happened;
    else
      EXPECT_EQ(told.str(), happened);
  }
}

}  // namespace
}  // namespace klamm::raft
