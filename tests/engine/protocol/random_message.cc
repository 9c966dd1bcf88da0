#include "tests/engine/protocol/random_message.h"

#include <string>

#include "engine/protocol/json.h"

namespace klamm::test {
namespace {

using namespace protocol;

class Filler final {
 public:
  Filler(const MessageDescriptor& m, RandomMessageOptions options, Arena& arena, Dice& dice)
      : message_(m), options_(options), arena_(arena), dice_(dice) {}

  void structure(const StructDescriptor& s, uint8_t* p) {
    for (const FieldDescriptor& f : s.fields) {
      if (!f.versions.contains(options_.version) || (f.tag >= 0 && dice_.one_in(2))) continue;
      field(f, p + f.offset);
    }
    const bool tags = options_.unknown_tags && s.unknown_tags >= 0 && message_.flexible(options_.version);
    if (tags && dice_.one_in(4)) set(p + s.unknown_tags, unknown_tags());
  }

 private:
  template<class T>
  static void set(uint8_t* p, T v) {
    std::memcpy(p, &v, sizeof v);
  }

  void field(const FieldDescriptor& f, uint8_t* p) {
    const bool null = f.nullable.contains(options_.version) && dice_.one_in(4);
    if (f.list) return list(f, p, null);
    if (f.of != nullptr && f.may_be_null()) set(p + f.of->size, null);
    if (!null || f.of == nullptr) one(f, p, null);
  }

  void list(const FieldDescriptor& f, uint8_t* p, bool null) {
    const size_t n = null || left_ == 0 ? 0 : dice_.below(4);
    left_ -= std::min(left_, n);
    const size_t size = element_size(f);
    RawList l{arena_.allocate(n * size + 1, alignof(std::max_align_t)), static_cast<uint32_t>(n),
              static_cast<uint32_t>(n), null};
    for (size_t i = 0; i < n; ++i) {
      uint8_t* element = static_cast<uint8_t*>(l.data) + i * size;
      if (f.of != nullptr) std::memcpy(element, f.of->defaults, size);
      one(f, element, false);
    }
    set(p, l);
  }

  static size_t element_size(const FieldDescriptor& f) {
    switch (f.type) {
      case FieldType::structure: return f.of->size;
      case FieldType::string: return sizeof(Str);
      case FieldType::uuid: return sizeof(Uuid);
      case FieldType::int64: return 8;
      case FieldType::int32: return 4;
      case FieldType::int16: return 2;
      case FieldType::int8: return 1;
      default: KLAMM_ASSERT(false); return 0;
    }
  }

  uint64_t number() {
    const uint64_t edges[] = {
        0, 1, ~0ull, 0x7f, 0x80, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0x7fffffffffffffff, 1ull << 63};
    return dice_.one_in(3) ? edges[dice_.below(std::size(edges))] : dice_.next();
  }
  std::string_view text(size_t size_max) {
    std::string s;
    for (size_t n = dice_.one_in(20) ? dice_.below(300) : dice_.below(size_max); s.size() < n;)
      s += dice_.one_in(10) ? "\xc3\xa4" : std::string(1, static_cast<char>(' ' + dice_.below(95)));
    return arena_.copy(s);
  }

  void one(const FieldDescriptor& f, uint8_t* p, bool null) {
    switch (f.type) {
      case FieldType::boolean: return set(p, dice_.one_in(2));
      case FieldType::int8: return set(p, static_cast<int8_t>(number()));
      case FieldType::int16:
      case FieldType::uint16: return set(p, static_cast<uint16_t>(number()));
      case FieldType::int32:
      case FieldType::uint32: return set(p, static_cast<uint32_t>(number()));
      case FieldType::int64: return set(p, number());
      case FieldType::float64: return set(p, static_cast<double>(static_cast<int64_t>(number())) / 3);
      case FieldType::string: return set(p, null ? kNullStr : text(12));
      case FieldType::bytes: return set(p, null ? Bytes{} : Bytes::of(as_bytes(text(20))));
      case FieldType::records: return set(p, null ? Records{} : Records::of(as_bytes(text(20))));
      case FieldType::uuid: {
        Uuid id;
        for (uint8_t& b : id.bytes) b = static_cast<uint8_t>(dice_.next());
        return set(p, id);
      }
      case FieldType::structure: return structure(*f.of, p);
    }
  }

  const RawTag* unknown_tags() {
    const RawTag* first = nullptr;
    for (uint32_t tag = 10'000'000; !dice_.one_in(3); tag -= 1 + static_cast<uint32_t>(dice_.below(1000))) {
      RawTag* t = arena_.make_array<RawTag>(1);
      *t = {tag, Bytes::of(as_bytes(text(10))), first};
      first = t;
    }
    return first;
  }

  const MessageDescriptor& message_;
  const RandomMessageOptions options_;
  Arena& arena_;
  Dice& dice_;
  size_t left_ = 60;  // elements that may still be made: nested lists would multiply
};

}  // namespace

void* random_message(const MessageDescriptor& m, RandomMessageOptions options, Arena& arena, Dice& dice) {
  void* message = make_message(m, arena);
  Filler(m, options, arena, dice).structure(*m.root, static_cast<uint8_t*>(message));
  return message;
}

}  // namespace klamm::test
