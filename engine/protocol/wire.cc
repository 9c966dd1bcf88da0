#include "engine/protocol/wire.h"

#include <algorithm>
#include <limits>
#include <string>

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

bool ascii(Str s) {
  return std::all_of(s.begin(), s.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

// How many of the bytes from `at` on one character takes, or one fault in the way of UTF-8 as Java's decoder counts it.
struct Run {
  size_t size = 1;
  bool fault = true;
};
Run next_run(Str s, size_t at) {
  const auto byte = [&](size_t i) -> int { return at + i < s.size() ? static_cast<uint8_t>(s[at + i]) : -1; };
  const auto follows = [&](size_t i) { return byte(i) >= 0 && (byte(i) & 0xc0) == 0x80; };
  const size_t left = s.size() - at;
  const int a = byte(0), b = byte(1);
  if (a < 0x80) return {1, false};
  if (a < 0xc2 || a > 0xf4) return {1, true};
  if (a < 0xe0) return follows(1) ? Run{2, false} : Run{1, true};
  if (a < 0xf0) {
    if (left > 1 && (!follows(1) || (a == 0xe0 && b < 0xa0))) return {1, true};
    if (left < 3) return {left, true};
    if (!follows(2)) return {2, true};
    return {3, a == 0xed && b >= 0xa0};  // half of a surrogate pair
  }
  if (left > 1 && (!follows(1) || (a == 0xf0 && b < 0x90) || (a == 0xf4 && b >= 0x90))) return {1, true};
  if (left > 2 && !follows(2)) return {2, true};
  if (left < 4) return {left, true};
  return follows(3) ? Run{4, false} : Run{3, true};
}

Str as_java_reads(Arena& a, Str s) {
  std::string out;
  bool faults = false;
  for (size_t at = 0; at < s.size();) {
    const Run run = next_run(s, at);
    out += run.fault ? Str("\xef\xbf\xbd") : s.substr(at, run.size);
    faults = faults || run.fault;
    at += run.size;
  }
  if (!faults || out.size() > kStringMax) return s;  // what is too long when mended could not be written again
  return a.copy(out);
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

Str read_string(Reader& r, Arena& a, bool flexible, bool nullable) {
  const int32_t n = read_length(r, flexible, nullable, flexible ? 0 : r.i16());
  if (n < 0) return kNullStr;
  if (static_cast<size_t>(n) > kStringMax) r.fail("a string is too long");
  const uint8_t* p = r.take(static_cast<size_t>(n));
  if (!p) return "";
  const Str s(reinterpret_cast<const char*>(p), static_cast<size_t>(n));
  return ascii(s) ? s : as_java_reads(a, s);
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
  for (int32_t i = 0; i < n && r.ok(); ++i) next(a, list, n) = read_string(r, a, flexible);
}

// Kafka takes tagged fields in any order and as often as they come, believes the size only of those that it does not
// know, and finds none where their number is below zero. What is kept to be written again must be in order.
bool TagReader::next() {
  const bool strict = reader_.keeps_unknown_tags();
  if (strict && !first_ && reader_.at() != end_) reader_.fail("a tagged field's size is wrong");
  if (left_ == 0 || (left_ > INT32_MAX && !strict) || !reader_.ok()) return false;
  --left_;
  const uint32_t tag = reader_.uvarint();
  const uint32_t size = reader_.uvarint();
  if (strict && !first_ && tag <= tag_) reader_.fail("tagged fields are out of order");
  const bool fits = size <= reader_.remaining();
  if (strict && !fits) reader_.fail("the bytes end too early");
  first_ = false;
  tag_ = tag;
  end_ = fits ? reader_.at() + size : nullptr;
  return reader_.ok();
}

void TagReader::unknown(Arena& arena, const RawTag*& kept) {
  if (end_ == nullptr) return reader_.fail("the bytes end too early");
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
