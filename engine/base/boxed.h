// A std::optional whose value lies apart: for the rare and large parts of state of which there are many.
#pragma once
#include <utility>

#include "engine/base/assert.h"

namespace klamm {

template<class T>
class Boxed final {
 public:
  Boxed() = default;
  Boxed(const Boxed& o) : value_(o.value_ ? new T(*o.value_) : nullptr) {}
  Boxed(Boxed&& o) noexcept : value_(std::exchange(o.value_, nullptr)) {}
  Boxed& operator=(Boxed o) noexcept {
    std::swap(value_, o.value_);
    return *this;
  }
  ~Boxed() { delete value_; }

  explicit operator bool() const { return value_ != nullptr; }
  T& operator*() { return *there(); }
  const T& operator*() const { return *there(); }
  T* operator->() { return there(); }
  const T* operator->() const { return there(); }
  void emplace(T value) { *this = Boxed(new T(std::move(value))); }
  void reset() { *this = Boxed(); }
  template<class V>
  void fields(V& v) const {
    v("there", value_ != nullptr);
    if (value_) v("value", *value_);
  }

 private:
  explicit Boxed(T* value) : value_(value) {}
  T* there() const {
    KLAMM_ASSERT(value_ != nullptr);
    return value_;
  }
  T* value_ = nullptr;
};

}  // namespace klamm
