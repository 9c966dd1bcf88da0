// A value shared between forks until one of them writes. Used for partitions: copying a node with 10,000 of them copies
// pointers.
#pragma once
#include <cstdint>
#include <utility>

#include "engine/base/assert.h"

namespace klamm {

template<class T>
class Cow final {
 public:
  Cow() : box_(new Box{1, T()}) {}
  explicit Cow(T value) : box_(new Box{1, std::move(value)}) {}
  Cow(const Cow& o) : box_(o.box_) { ++box_->references; }
  Cow(Cow&& o) noexcept : box_(std::exchange(o.box_, nullptr)) {}
  Cow& operator=(Cow o) noexcept {
    std::swap(box_, o.box_);
    return *this;
  }
  ~Cow() { release(); }
  const T& operator*() const { return box_->value; }
  const T* operator->() const { return &box_->value; }
  T& write() {  // copies first if the value is shared
    if (box_->references > 1) {
      Box* own = new Box{1, box_->value};
      --box_->references;
      box_ = own;
    }
    return box_->value;
  }
  template<class V>
  void fields(V& v) const {
    box_->value.fields(v);
  }

 private:
  struct Box {
    uint32_t references;
    T value;
  };
  void release() {
    if (box_ && --box_->references == 0) delete box_;
  }
  Box* box_;
};

}  // namespace klamm
