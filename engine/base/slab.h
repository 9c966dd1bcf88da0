// Slots with generations: allocate gives a handle, a stale handle finds nothing. Iteration is by slot, so it is the
// same everywhere.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/base/assert.h"
#include "engine/base/ids.h"

namespace klamm {

template<class T, class H>
class Slab final {
 public:
  H add(T value) {
    uint32_t slot;
    if (!free_.empty()) {
      slot = free_.back();
      free_.pop_back();
    } else {
      slot = static_cast<uint32_t>(entries_.size());
      entries_.emplace_back();
    }
    Entry& e = entries_[slot];
    KLAMM_ASSERT(!e.value);
    e.value.emplace(std::move(value));
    ++size_;
    return H{slot, e.generation};
  }
  T* find(H h) {
    if (h.slot >= entries_.size()) return nullptr;
    Entry& e = entries_[h.slot];
    return e.generation == h.generation && e.value ? &*e.value : nullptr;
  }
  const T* find(H h) const { return const_cast<Slab*>(this)->find(h); }
  T& at(H h) {
    T* p = find(h);
    KLAMM_ASSERT(p != nullptr);
    return *p;
  }
  void remove(H h) {
    KLAMM_ASSERT(find(h) != nullptr);
    Entry& e = entries_[h.slot];
    e.value.reset();
    if (++e.generation == 0) e.generation = 1;
    free_.push_back(h.slot);
    --size_;
  }
  size_t size() const { return size_; }
  template<class F>
  void for_each(F f) {  // (handle, value&), by slot; f may remove the value that it is given
    for (uint32_t i = 0; i < entries_.size(); ++i)
      if (entries_[i].value) f(H{i, entries_[i].generation}, *entries_[i].value);
  }
  template<class V>
  void fields(V& v) const {
    v("size", size_);
    for (const Entry& e : entries_) v("generation", e.generation), v("value", e.value);
    v("free", free_);
  }

 private:
  struct Entry {
    uint32_t generation = 1;
    std::optional<T> value;
  };
  std::vector<Entry> entries_;
  std::vector<uint32_t> free_;
  size_t size_ = 0;
};

}  // namespace klamm
