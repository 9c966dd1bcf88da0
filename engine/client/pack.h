// Turns the verbs' structs into bytes and back. A struct lists its members once, in `wire(C&)`; integers are
// big-endian, strings, byte runs and lists have an int32 count in front, an optional a byte.
#pragma once
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/base/reader.h"
#include "engine/base/writer.h"

namespace klamm::client {

class Pack final {
 public:
  template<class... Ts>
  void operator()(const Ts&... values) {
    (put(values), ...);
  }
  Slice finish() { return writer_.finish_contiguous(); }

 private:
  template<class T>
  void put(const T& v) {
    if constexpr (std::is_enum_v<T>) {
      put(static_cast<std::underlying_type_t<T>>(v));
    } else if constexpr (std::is_integral_v<T>) {
      put_number(v);
    } else {
      const_cast<T&>(v).wire(*this);  // `wire` serves both directions; packing does not write
    }
  }
  void put_number(bool v) { writer_.boolean(v); }
  void put_number(uint8_t v) { writer_.u8(v); }
  void put_number(int8_t v) { writer_.i8(v); }
  void put_number(int16_t v) { writer_.i16(v); }
  void put_number(uint16_t v) { writer_.u16(v); }
  void put_number(int32_t v) { writer_.i32(v); }
  void put_number(uint32_t v) { writer_.u32(v); }
  void put_number(int64_t v) { writer_.i64(v); }
  void put(const Uuid& v) { writer_.uuid(v); }
  void put(const std::string& v) { count(v.size()), writer_.raw(as_bytes(v)); }
  void put(const Slice& v) { count(v.size()), writer_.attach(v); }
  template<class T>
  void put(const std::optional<T>& v) {
    writer_.boolean(v.has_value());
    if (v) put(*v);
  }
  template<class T>
  void put(const std::vector<T>& v) {
    count(v.size());
    for (const T& x : v) put(x);
  }
  void count(size_t n) { writer_.i32(static_cast<int32_t>(n)); }
  Writer writer_;
};

// Slices share the memory they are read from.
class Unpack final {
 public:
  explicit Unpack(const Slice& bytes) : bytes_(bytes), reader_(bytes.span()) {}
  template<class... Ts>
  void operator()(Ts&... values) {
    (get(values), ...);
  }
  bool finished() const { return reader_.finished(); }

 private:
  template<class T>
  void get(T& v) {
    if constexpr (std::is_enum_v<T>) {
      std::underlying_type_t<T> number{};
      get(number);
      v = static_cast<T>(number);
    } else if constexpr (std::is_integral_v<T>) {
      get_number(v);
    } else {
      v.wire(*this);
    }
  }
  void get_number(bool& v) { v = reader_.boolean(); }
  void get_number(uint8_t& v) { v = reader_.u8(); }
  void get_number(int8_t& v) { v = reader_.i8(); }
  void get_number(int16_t& v) { v = reader_.i16(); }
  void get_number(uint16_t& v) { v = reader_.u16(); }
  void get_number(int32_t& v) { v = reader_.i32(); }
  void get_number(uint32_t& v) { v = reader_.u32(); }
  void get_number(int64_t& v) { v = reader_.i64(); }
  void get(Uuid& v) { v = reader_.uuid(); }
  void get(std::string& v) { v = as_text(reader_.span(count())); }
  void get(Slice& v) {
    const size_t n = count();
    if (reader_.ok()) v = bytes_.part(reader_.position(), n);
    reader_.take(n);
  }
  template<class T>
  void get(std::optional<T>& v) {
    if (reader_.boolean())
      get(v.emplace());
    else
      v.reset();
  }
  template<class T>
  void get(std::vector<T>& v) {
    const size_t n = count();
    v.clear();
    for (size_t i = 0; i < n && reader_.ok(); ++i) get(v.emplace_back());
  }
  size_t count() {  // at most what is there: an element has at least one byte
    const int32_t n = reader_.i32();
    if (n < 0 || static_cast<size_t>(n) > reader_.remaining()) {
      reader_.fail("a count beyond the bytes");
      return 0;
    }
    return static_cast<size_t>(n);
  }
  Slice bytes_;
  Reader reader_;
};

template<class T>
Slice pack(const T& value) {
  Pack p;
  p(value);
  return p.finish();
}
template<class T>
bool unpack(const Slice& bytes, T& value) {
  Unpack u(bytes);
  u(value);
  return u.finished();
}

}  // namespace klamm::client
