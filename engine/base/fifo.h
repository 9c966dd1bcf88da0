// A queue that takes no memory while it is empty (a std::deque takes 600 bytes): for state that exists per partition.
//
// Entries lie side by side. What is popped in front is destroyed at once; its place is given back when a half is free.
// Adding or removing entries moves others: no reference or iterator outlives it.
#pragma once
#include <cstddef>
#include <utility>
#include <vector>

#include "engine/base/assert.h"

namespace klamm {

template<class T>
class Fifo final {
 public:
  using iterator = typename std::vector<T>::iterator;
  using const_iterator = typename std::vector<T>::const_iterator;
  using reverse_iterator = typename std::vector<T>::reverse_iterator;
  using const_reverse_iterator = typename std::vector<T>::const_reverse_iterator;

  bool empty() const { return head_ == items_.size(); }
  size_t size() const { return items_.size() - head_; }
  iterator begin() { return items_.begin() + static_cast<std::ptrdiff_t>(head_); }
  iterator end() { return items_.end(); }
  const_iterator begin() const { return items_.begin() + static_cast<std::ptrdiff_t>(head_); }
  const_iterator end() const { return items_.end(); }
  reverse_iterator rbegin() { return items_.rbegin(); }
  reverse_iterator rend() { return reverse_iterator(begin()); }
  const_reverse_iterator rbegin() const { return items_.rbegin(); }
  const_reverse_iterator rend() const { return const_reverse_iterator(begin()); }
  T& operator[](size_t i) { return items_[at(i)]; }
  const T& operator[](size_t i) const { return items_[at(i)]; }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[size() - 1]; }
  const T& back() const { return (*this)[size() - 1]; }

  void push_back(T item) { items_.push_back(std::move(item)); }
  template<class... A>
  void emplace_back(A&&... a) {
    items_.emplace_back(std::forward<A>(a)...);
  }
  void pop_back() {
    KLAMM_ASSERT(!empty());
    items_.pop_back();
    settle();
  }
  void pop_front() {
    KLAMM_ASSERT(!empty());
    items_[head_++] = T();
    settle();
  }
  iterator erase(iterator from, iterator to) { return items_.erase(from, to); }
  void clear() {
    items_ = {};
    head_ = 0;
  }
  template<class V>
  void fields(V& v) const {
    v("size", size());
    for (const T& item : *this) v("item", item);
  }

 private:
  size_t at(size_t i) const {
    KLAMM_ASSERT_REL(i, <, size());
    return head_ + i;
  }
  void settle() {
    if (empty()) {
      if (items_.capacity() * sizeof(T) > kKeptBytes)
        items_ = {};
      else
        items_.clear();
      head_ = 0;
    } else if (head_ >= items_.size() - head_) {
      items_.erase(items_.begin(), begin());
      head_ = 0;
    }
  }
  static constexpr size_t kKeptBytes = 256;  // an empty queue that is in use need not ask for memory each time

  std::vector<T> items_;
  size_t head_ = 0;  // those before it are gone
};

}  // namespace klamm
