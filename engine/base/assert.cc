#include "engine/base/assert.h"

namespace klamm {

void assertion_failed(const char* condition, const char* file, int line) {
  throw AssertionFailure(std::string(file) + ":" + std::to_string(line) + ": " + condition);
}

void assertion_failed(const char* condition, const char* file, int line, int64_t left, int64_t right) {
  throw AssertionFailure(std::string(file) + ":" + std::to_string(line) + ": " + condition + " (" +
                         std::to_string(left) + " and " + std::to_string(right) + ")");
}

}  // namespace klamm
