// What the generated codecs share: the compound types of the protocol on top of Reader and Writer.
#pragma once
#include <algorithm>
#include <concepts>

#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/protocol/types.h"

namespace klamm::protocol::wire {

inline constexpr size_t kStringMax = 0x7fff;
inline constexpr size_t kFirstElements = 1024;  // room made for a list before its elements have proved to be there

// Bytes that are not UTF-8 are read as the replacement character, as Java reads them: two names that differ in nothing
// else are one. `a` holds what is not as it was sent.
Str read_string(Reader& r, Arena& a, bool flexible, bool nullable = false);
Bytes read_bytes(Reader& r, bool flexible, bool nullable = false);
inline Records read_records(Reader& r, bool flexible, bool nullable = false) {
  const Bytes b = read_bytes(r, flexible, nullable);
  return {b.data, b.size, nullptr, 0};
}
// The count of elements, each at least `element_min` bytes long; -1 for null.
int32_t read_count(Reader& r, size_t element_min, bool flexible, bool nullable);

template<class T>
int32_t read_list(Reader& r, List<T>& list, size_t element_min, bool flexible, bool nullable = false) {
  const int32_t n = read_count(r, element_min, flexible, nullable);
  list = n < 0 ? List<T>::null() : List<T>();
  return n;
}
// The next element of a list that claims to have n: memory grows with the bytes that were really there.
template<class T>
T& next(Arena& arena, List<T>& list, int32_t n) {
  if (list.size() == list.capacity())
    list.reserve(arena, std::min<size_t>(static_cast<size_t>(n), std::max(kFirstElements, 2 * list.size())));
  return list.add(arena);
}

void read_numbers(Reader& r, Arena& a, List<int8_t>& list, bool flexible, bool nullable = false);
void read_numbers(Reader& r, Arena& a, List<int16_t>& list, bool flexible, bool nullable = false);
void read_numbers(Reader& r, Arena& a, List<int32_t>& list, bool flexible, bool nullable = false);
void read_numbers(Reader& r, Arena& a, List<int64_t>& list, bool flexible, bool nullable = false);
void read_uuids(Reader& r, Arena& a, List<Uuid>& list, bool flexible, bool nullable = false);
void read_strings(Reader& r, Arena& a, List<Str>& list, bool flexible, bool nullable = false);

// Walks the tag section at the end of a flexible struct. Order and sizes are enforced.
class TagReader final {
 public:
  explicit TagReader(Reader& r) : reader_(r), left_(r.uvarint()) {}
  bool next();
  uint32_t tag() const { return tag_; }
  void unknown(Arena& arena, const RawTag*& kept);

 private:
  Reader& reader_;
  uint32_t left_;
  uint32_t tag_ = 0;
  bool first_ = true;
  const uint8_t* end_ = nullptr;  // of the current value
  RawTag* last_kept_ = nullptr;
};
void read_unknown_tags(Reader& r, Arena& a, const RawTag*& kept);  // of a struct that knows none
inline void skip_tags(Reader& r, Arena& a, const RawTag*& kept) {
  if (r.remaining() != 0 && *r.at() == 0) [[likely]]
    r.u8();
  else
    read_unknown_tags(r, a, kept);
}

void write_string(Writer& w, Str s, bool flexible, bool nullable = false);
void write_bytes(Writer& w, Bytes b, bool flexible, bool nullable = false);
void write_records(Writer& w, const Records& records, bool flexible, bool nullable = false);
void write_count(Writer& w, size_t n, bool null, bool flexible, bool nullable);
template<class T>
void write_list(Writer& w, const List<T>& list, bool flexible, bool nullable = false) {
  write_count(w, list.size(), list.is_null(), flexible, nullable);
}
void write_numbers(Writer& w, const List<int8_t>& list, bool flexible, bool nullable = false);
void write_numbers(Writer& w, const List<int16_t>& list, bool flexible, bool nullable = false);
void write_numbers(Writer& w, const List<int32_t>& list, bool flexible, bool nullable = false);
void write_numbers(Writer& w, const List<int64_t>& list, bool flexible, bool nullable = false);
void write_uuids(Writer& w, const List<Uuid>& list, bool flexible, bool nullable = false);
void write_strings(Writer& w, const List<Str>& list, bool flexible, bool nullable = false);

uint32_t count_tags(const RawTag* t);
// Writes the kept tags below `tag`, so that all come out in ascending order; then the caller writes `tag` itself.
void write_tags_below(Writer& w, const RawTag*& t, uint32_t tag);
inline Writer::Sized begin_tag(Writer& w, const RawTag*& kept, uint32_t tag) {
  if (kept != nullptr) write_tags_below(w, kept, tag);
  w.uvarint(tag);
  return w.begin_sized();
}
inline void write_rest(Writer& w, const RawTag* t) {
  if (t != nullptr) write_tags_below(w, t, std::numeric_limits<uint32_t>::max());
}
inline void write_tags(Writer& w, const RawTag* t) {  // of a struct that knows none
  w.uvarint(count_tags(t));
  write_rest(w, t);
}

// Whether a field is at its default; null is a value of its own.
inline bool same(Str a, Str b) { return is_null(a) == is_null(b) && a == b; }
inline bool is_empty(const Bytes& b) { return !b.is_null() && b.size == 0; }
template<class T>
bool is_empty(const List<T>& l) {
  return !l.is_null() && l.empty();
}

}  // namespace klamm::protocol::wire
