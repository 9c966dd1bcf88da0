// Memory of one turn: decoded messages and replies under construction live here and are gone when the turn ends.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/base/assert.h"

namespace klamm {

// Bump allocator. Runs no destructors, so it holds only trivially destructible things. `reset` keeps the first block.
class Arena final {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void* allocate(size_t size, size_t align) {
    taken_ += size;
    const size_t at = (used_ + align - 1) & ~(align - 1);
    if (blocks_.empty() || at + size > blocks_.back().size) return allocate_slow(size, align);
    used_ = at + size;
    return blocks_.back().memory.get() + at;
  }
  template<class T>
  T* make_array(size_t n) {
    static_assert(std::is_trivially_destructible_v<T>);
    T* p = static_cast<T*>(allocate(n * sizeof(T), alignof(T)));
    for (size_t i = 0; i < n; ++i) new (p + i) T();
    return p;
  }
  std::string_view copy(std::string_view s) {
    char* p = static_cast<char*>(allocate(s.size() ? s.size() : 1, 1));
    if (!s.empty()) std::memcpy(p, s.data(), s.size());
    return {p, s.size()};
  }
  size_t allocated() const { return total_; }  // bytes of all blocks, for budgets
  size_t taken() const { return taken_; }  // bytes asked for since the last reset: the same whatever lay here before
  void reset();

 private:
  struct Block {
    std::unique_ptr<char[]> memory;
    size_t size;
  };
  void* allocate_slow(size_t size, size_t align);
  std::vector<Block> blocks_;
  size_t used_ = 0;
  size_t total_ = 0;
  size_t taken_ = 0;
};

// What one answer may take of memory beyond its request. A request can ask for the same large thing again and again: it
// is not answered then, and its connection is closed.
class AnswerRoom final {
 public:
  static constexpr size_t kMost = 256 << 20;
  explicit AnswerRoom(const Arena& arena) : arena_(arena), end_(arena.allocated() + kMost) {}
  bool left() const { return arena_.allocated() + shared_ < end_; }
  void share(size_t bytes) { shared_ += bytes; }  // of the answer that lie outside the arena

 private:
  const Arena& arena_;
  size_t end_;
  size_t shared_ = 0;
};

// Kafka's string: a view; null is a view without data (`is_null`), distinct from the empty string.
using Str = std::string_view;
inline constexpr Str kNullStr{};
inline constexpr bool is_null(Str s) { return s.data() == nullptr; }

// A growable array in an arena. Copying copies the handle, not the elements. Null is distinct from empty.
template<class T>
class List final {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  List() = default;
  static constexpr List null() {
    List l;
    l.null_ = true;
    return l;
  }
  bool is_null() const { return null_; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) {
    KLAMM_ASSERT(i < size_);
    return data_[i];
  }
  const T& operator[](size_t i) const {
    KLAMM_ASSERT(i < size_);
    return data_[i];
  }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T& back() { return (*this)[size_ - 1]; }
  void reserve(Arena& arena, size_t n) {
    if (n <= capacity_) return;
    T* p = static_cast<T*>(arena.allocate(n * sizeof(T), alignof(T)));
    for (size_t i = 0; i < size_; ++i) new (p + i) T(data_[i]);
    data_ = p;
    capacity_ = static_cast<uint32_t>(n);
  }
  // Appends a default element and returns it; the reference holds until the next growth.
  T& add(Arena& arena) {
    if (size_ == capacity_) reserve(arena, capacity_ == 0 ? 4 : size_t{capacity_} * 2);
    null_ = false;
    return *new (data_ + size_++) T();
  }
  void push_back(Arena& arena, const T& v) { add(arena) = v; }

 private:
  T* data_ = nullptr;
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
  bool null_ = false;
};

}  // namespace klamm
