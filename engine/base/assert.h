// Assertions that stay on in every build. They guard against what *we* do wrong; what the world does to us is a Result.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace klamm {

// The engine's only throw. A driver catches it around `turn` and never touches that machine again.
class AssertionFailure final : public std::logic_error {
 public:
  explicit AssertionFailure(const std::string& text) : std::logic_error(text) {}
};

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line, int64_t left, int64_t right);

}  // namespace klamm

#define KLAMM_ASSERT(condition)                                  \
  do {                                                           \
    if (!(condition)) [[unlikely]]                               \
      ::klamm::assertion_failed(#condition, __FILE__, __LINE__); \
  } while (false)

// Compares two integers and prints both when they do not relate so: KLAMM_ASSERT_REL(hw, <=, end).
#define KLAMM_ASSERT_REL(left, relation, right)                                                                       \
  do {                                                                                                                \
    const auto klamm_left = (left);                                                                                   \
    const auto klamm_right = (right);                                                                                 \
    if (!(klamm_left relation klamm_right)) [[unlikely]]                                                              \
      ::klamm::assertion_failed(#left " " #relation " " #right, __FILE__, __LINE__, static_cast<int64_t>(klamm_left), \
                                static_cast<int64_t>(klamm_right));                                                   \
  } while (false)
