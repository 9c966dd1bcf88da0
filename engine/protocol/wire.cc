#include "engine/protocol/wire.h"

namespace klamm::protocol::wire {
namespace {

// A length or count; -1 for null, which has been checked to be legal.
int32_t read_length(Reader& r, bool flexible, bool nullable, int32_t plain) {
  const int32_t n = flexible ? static_cast<int32_t>(r.uvarint() - 1) : plain;
  if (n >= 0) return n;
  if (n < -1 && flexible) r.fail("a length is too large");
  if (!nullable) r.fail("null where none is allowed");
  return r.ok() ? -1 : 0;
}

void write_length(Writer& w, size_t n, bool flexible) {
  if (n >= std::numeric_limits<int32_t>::max()) return w.fail("a value is too long");
  if (flexible)
    w.uvarint(static_cast<uint32_t>(n) + 1);
  else
    w.i32(static_cast<int32_t>(n));
}

void write_null(Writer& w, bool flexible, bool nullable) {
  if (!nullable) w.fail("null where none is allowed");
  if (flexible)
    w.uvarint(0);
  else
    w.i32(-1);
}

template<class T>
T read_one(Reader& r) {
  if constexpr (sizeof(T) == 1) return r.i8();
  if constexpr (sizeof(T) == 2) return r.i16();
  if constexpr (sizeof(T) == 4) return r.i32();
  if constexpr (sizeof(T) == 8) return r.i64();
}

template<class T>
void read_all_numbers(Reader& r, Arena& a, List<T>& list, bool flexible, bool nullable) {
  const int32_t n = read_list(r, list, sizeof(T), flexible, nullable);
  if (n > 0) list.reserve(a, static_cast<size_t>(n));  // the bytes are there: the count was checked against them
  for (int32_t i = 0; i < n; ++i) list.add(a) = read_one<T>(r);
}

template<class T>
void write_all_numbers(Writer& w, const List<T>& list, bool flexible, bool nullable) {
  write_list(w, list, flexible, nullable);
  for (const T v : list) {
    if constexpr (sizeof(T) == 1) w.i8(v);
    if constexpr (sizeof(T) == 2) w.i16(v);
    if constexpr (sizeof(T) == 4) w.i32(v);
    if constexpr (sizeof(T) == 8) w.i64(v);
  }
}

}  // namespace

Str read_string(Reader& r, bool flexible, bool nullable) {
  const int32_t n = read_length(r, flexible, nullable, flexible ? 0 : r.i16());
  if (n < 0) return kNullStr;
  if (static_cast<size_t>(n) > kStringMax) r.fail("a string is too long");
  const uint8_t* p = r.take(static_cast<size_t>(n));
  return p ? Str(reinterpret_cast<const char*>(p), static_cast<size_t>(n)) : Str("");
}

Bytes read_bytes(Reader& r, bool flexible, bool nullable) {
  const int32_t n = read_length(r, flexible, nullable, flexible ? 0 : r.i32());
  if (n < 0) return {};
  const uint8_t* p = r.take(static_cast<size_t>(n));
  return p ? Bytes{p, static_cast<size_t>(n)} : Bytes::empty();
}

int32_t read_count(Reader& r, size_t element_min, bool flexible, bool nullable) {
  const int32_t n = read_length(r, flexible, nullable, flexible ? 0 : r.i32());
  if (n > 0 && static_cast<size_t>(n) > r.remaining() / element_min) {
    r.fail("a list claims more elements than there are bytes");
    return 0;
  }
  return n;
}

void read_numbers(Reader& r, Arena& a, List<int8_t>& list, bool flexible, bool nullable) {
  read_all_numbers(r, a, list, flexible, nullable);
}
void read_numbers(Reader& r, Arena& a, List<int16_t>& list, bool flexible, bool nullable) {
  read_all_numbers(r, a, list, flexible, nullable);
}
void read_numbers(Reader& r, Arena& a, List<int32_t>& list, bool flexible, bool nullable) {
  read_all_numbers(r, a, list, flexible, nullable);
}
void read_numbers(Reader& r, Arena& a, List<int64_t>& list, bool flexible, bool nullable) {
  read_all_numbers(r, a, list, flexible, nullable);
}
void read_uuids(Reader& r, Arena& a, List<Uuid>& list, bool flexible, bool nullable) {
  const int32_t n = read_list(r, list, 16, flexible, nullable);
  for (int32_t i = 0; i < n; ++i) next(a, list, n) = r.uuid();
}
void read_strings(Reader& r, Arena& a, List<Str>& list, bool flexible, bool nullable) {
  const int32_t n = read_list(r, list, flexible ? 1 : 2, flexible, nullable);
  for (int32_t i = 0; i < n && r.ok(); ++i) next(a, list, n) = read_string(r, flexible);
}

bool TagReader::next() {
  if (!first_ && reader_.at() != end_) reader_.fail("a tagged field's size is wrong");
  if (left_ == 0 || !reader_.ok()) return false;
  --left_;
  const uint32_t tag = reader_.uvarint();
  const uint32_t size = reader_.uvarint();
  if (!first_ && tag <= tag_) reader_.fail("tagged fields are out of order");
  if (size > reader_.remaining()) reader_.fail("the bytes end too early");
  first_ = false;
  tag_ = tag;
  end_ = reader_.at() + (reader_.ok() ? size : 0);
  return reader_.ok();
}

void TagReader::unknown(Arena& arena, const RawTag*& kept) {
  const ByteSpan value = reader_.span(static_cast<size_t>(end_ - reader_.at()));
  if (!reader_.keeps_unknown_tags()) return;
  RawTag* t = arena.make_array<RawTag>(1);
  t->tag = tag_;
  t->value = Bytes::of(value);
  (last_kept_ ? last_kept_->next : kept) = t;
  last_kept_ = t;
}

void read_unknown_tags(Reader& r, Arena& a, const RawTag*& kept) {
  for (TagReader t(r); t.next();) t.unknown(a, kept);
}

void write_string(Writer& w, Str s, bool flexible, bool nullable) {
  if (is_null(s)) {
    if (flexible) return write_null(w, true, nullable);
    if (!nullable) w.fail("null where none is allowed");
    return w.i16(-1);
  }
  if (s.size() > kStringMax) return w.fail("a string is too long");
  if (flexible)
    w.uvarint(static_cast<uint32_t>(s.size()) + 1);
  else
    w.i16(static_cast<int16_t>(s.size()));
  w.raw(as_bytes(s));
}

void write_bytes(Writer& w, Bytes b, bool flexible, bool nullable) {
  if (b.is_null()) return write_null(w, flexible, nullable);
  write_length(w, b.size, flexible);
  w.raw(b.span());
}

void write_records(Writer& w, const Records& records, bool flexible, bool nullable) {
  if (records.is_null()) return write_null(w, flexible, nullable);
  write_length(w, records.size, flexible);
  if (records.region) return w.region(*records.region);
  if (records.parts == nullptr) return w.raw(records.span());
  for (size_t i = 0; i < records.part_count; ++i) w.attach(records.parts[i]);
}

void write_count(Writer& w, size_t n, bool null, bool flexible, bool nullable) {
  if (null) return write_null(w, flexible, nullable);
  write_length(w, n, flexible);
}

void write_numbers(Writer& w, const List<int8_t>& list, bool flexible, bool nullable) {
  write_all_numbers(w, list, flexible, nullable);
}
void write_numbers(Writer& w, const List<int16_t>& list, bool flexible, bool nullable) {
  write_all_numbers(w, list, flexible, nullable);
}
void write_numbers(Writer& w, const List<int32_t>& list, bool flexible, bool nullable) {
  write_all_numbers(w, list, flexible, nullable);
}
void write_numbers(Writer& w, const List<int64_t>& list, bool flexible, bool nullable) {
  write_all_numbers(w, list, flexible, nullable);
}
void write_uuids(Writer& w, const List<Uuid>& list, bool flexible, bool nullable) {
  write_list(w, list, flexible, nullable);
  for (const Uuid& v : list) w.uuid(v);
}
void write_strings(Writer& w, const List<Str>& list, bool flexible, bool nullable) {
  write_list(w, list, flexible, nullable);
  for (const Str s : list) write_string(w, s, flexible);
}

uint32_t count_tags(const RawTag* t) {
  uint32_t n = 0;
  for (; t != nullptr; t = t->next) ++n;
  return n;
}

void write_tags_below(Writer& w, const RawTag*& t, uint32_t tag) {
  for (; t != nullptr && (t->tag < tag || tag == std::numeric_limits<uint32_t>::max()); t = t->next) {
    w.uvarint(t->tag);
    w.uvarint(static_cast<uint32_t>(t->value.size));
    w.raw(t->value.span());
  }
}

}  // namespace klamm::protocol::wire
