#include "engine/protocol/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/base/base64.h"
#include "engine/base/writer.h"

namespace klamm::protocol {
namespace {

using Json = nlohmann::ordered_json;

template<class T>
T get(const void* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template<class T>
void set(void* p, T v) {
  std::memcpy(p, &v, sizeof v);
}
const uint8_t* at(const void* p, size_t offset) { return static_cast<const uint8_t*>(p) + offset; }
uint8_t* at(void* p, size_t offset) { return static_cast<uint8_t*>(p) + offset; }

size_t size_of(const FieldDescriptor& f) {
  switch (f.type) {
    case FieldType::boolean:
    case FieldType::int8: return 1;
    case FieldType::int16:
    case FieldType::uint16: return 2;
    case FieldType::int32:
    case FieldType::uint32: return 4;
    case FieldType::int64:
    case FieldType::float64: return 8;
    case FieldType::string: return sizeof(Str);
    case FieldType::bytes: return sizeof(Bytes);
    case FieldType::records: return sizeof(Records);
    case FieldType::uuid: return sizeof(Uuid);
    case FieldType::structure: return f.of->size;
  }
  return 0;
}

Json struct_to_json(const StructDescriptor& s, int16_t version, const void* p);

Json double_to_json(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "Infinity" : "-Infinity";
  return v;
}

Json records_to_json(const Records& r) {
  if (r.is_null()) return nullptr;
  if (r.parts == nullptr) return to_base64(r.span());
  std::string joined;
  for (size_t i = 0; i < r.part_count; ++i) joined += r.parts[i].text();
  return to_base64(as_bytes(joined));
}

Json one_to_json(const FieldDescriptor& f, int16_t version, const void* p) {
  switch (f.type) {
    case FieldType::boolean: return get<bool>(p);
    case FieldType::int8: return get<int8_t>(p);
    case FieldType::int16: return get<int16_t>(p);
    case FieldType::int32: return get<int32_t>(p);
    case FieldType::int64: return get<int64_t>(p);
    case FieldType::uint16: return get<uint16_t>(p);
    case FieldType::uint32: return get<uint32_t>(p);
    case FieldType::float64: return double_to_json(get<double>(p));
    case FieldType::string: {
      const Str s = get<Str>(p);
      return is_null(s) ? Json(nullptr) : Json(s);
    }
    case FieldType::bytes: {
      const Bytes b = get<Bytes>(p);
      return b.is_null() ? Json(nullptr) : Json(to_base64(b.span()));
    }
    case FieldType::records: return records_to_json(get<Records>(p));
    case FieldType::uuid: return get<Uuid>(p).text();
    case FieldType::structure:
      // A struct that may be null is a Nullable: the flag follows the value.
      if (!f.list && f.may_be_null() && get<bool>(at(p, f.of->size))) return nullptr;
      return struct_to_json(*f.of, version, p);
  }
  return nullptr;
}

Json field_to_json(const FieldDescriptor& f, int16_t version, const void* p) {
  if (!f.list) return one_to_json(f, version, p);
  const RawList list = get<RawList>(p);
  if (list.null) return nullptr;
  Json out = Json::array();
  for (size_t i = 0; i < list.size; ++i) out.push_back(one_to_json(f, version, at(list.data, i * size_of(f))));
  return out;
}

Json struct_to_json(const StructDescriptor& s, int16_t version, const void* p) {
  Json out = Json::object();
  for (const FieldDescriptor& f : s.fields) {
    if (f.versions.contains(version)) out[f.name] = field_to_json(f, version, at(p, f.offset));
  }
  return out;
}

// ---- from JSON. The first error ends it; its path is put together on the way out.

class FromJson final {
 public:
  FromJson(int16_t version, Arena& arena) : version_(version), arena_(arena) {}
  std::string structure(const Json& j, const StructDescriptor& s, void* p);

 private:
  std::string field(const Json& j, const FieldDescriptor& f, void* p);
  std::string list(const Json& j, const FieldDescriptor& f, void* p);
  std::string one(const Json& j, const FieldDescriptor& f, void* p);
  std::string number(const Json& j, void* p);
  template<class T>
  std::string integer(const Json& j, void* p);
  std::string text(const Json& j, const FieldDescriptor& f, void* p);

  int16_t version_;
  Arena& arena_;
};

template<class T>
std::string FromJson::integer(const Json& j, void* p) {
  if (!j.is_number_integer()) return "not an integer";
  const bool too_big =
      j.is_number_unsigned() && j.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<T>::max());
  const bool too_small =
      !j.is_number_unsigned() && j.get<int64_t>() < static_cast<int64_t>(std::numeric_limits<T>::min());
  if (too_big || too_small) return "out of range";
  set<T>(p, j.get<T>());
  return "";
}

std::string FromJson::number(const Json& j, void* p) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (j.is_number()) {
    set(p, j.get<double>());
  } else if (j == "NaN") {
    set(p, std::numeric_limits<double>::quiet_NaN());
  } else if (j == "Infinity" || j == "-Infinity") {
    set(p, j == "Infinity" ? kInfinity : -kInfinity);
  } else {
    return "not a number";
  }
  return "";
}

std::string FromJson::text(const Json& j, const FieldDescriptor& f, void* p) {
  if (!j.is_string()) return "not a string";
  const std::string& s = j.get_ref<const std::string&>();
  if (f.type == FieldType::string) {
    set(p, arena_.copy(s));
    return "";
  }
  if (f.type == FieldType::uuid) {
    Uuid id;
    if (!Uuid::parse(s.data(), s.size(), &id)) return "not a uuid";
    set(p, id);
    return "";
  }
  const std::optional<std::string> raw = from_base64(s);
  if (!raw) return "not base64";
  const ByteSpan copy = as_bytes(arena_.copy(*raw));
  if (f.type == FieldType::bytes)
    set(p, Bytes::of(copy));
  else
    set(p, Records::of(copy));
  return "";
}

std::string FromJson::one(const Json& j, const FieldDescriptor& f, void* p) {
  switch (f.type) {
    case FieldType::boolean:
      if (!j.is_boolean()) return "not a bool";
      set(p, j.get<bool>());
      return "";
    case FieldType::int8: return integer<int8_t>(j, p);
    case FieldType::int16: return integer<int16_t>(j, p);
    case FieldType::int32: return integer<int32_t>(j, p);
    case FieldType::int64: return integer<int64_t>(j, p);
    case FieldType::uint16: return integer<uint16_t>(j, p);
    case FieldType::uint32: return integer<uint32_t>(j, p);
    case FieldType::float64: return number(j, p);
    case FieldType::string:
    case FieldType::bytes:
    case FieldType::records:
    case FieldType::uuid: return text(j, f, p);
    case FieldType::structure: return structure(j, *f.of, p);
  }
  return "of an unknown type";
}

std::string FromJson::list(const Json& j, const FieldDescriptor& f, void* p) {
  if (!j.is_array()) return "not an array";
  const size_t size = size_of(f);
  RawList list{arena_.allocate(std::max<size_t>(1, j.size() * size), alignof(std::max_align_t)),
               static_cast<uint32_t>(j.size()), static_cast<uint32_t>(j.size()), false};
  for (size_t i = 0; i < j.size(); ++i) {
    uint8_t* element = at(list.data, i * size);
    if (f.of != nullptr) std::memcpy(element, f.of->defaults, size);
    if (std::string why = one(j[i], f, element); !why.empty()) return "[" + std::to_string(i) + "] " + why;
  }
  set(p, list);
  return "";
}

std::string FromJson::field(const Json& j, const FieldDescriptor& f, void* p) {
  if (!j.is_null()) {
    if (!f.list && f.of != nullptr && f.may_be_null()) set(at(p, f.of->size), false);
    return f.list ? list(j, f, p) : one(j, f, p);
  }
  if (!f.nullable.contains(version_)) return "null where none is allowed";
  if (f.list)
    set(p, RawList{nullptr, 0, 0, true});
  else if (f.of != nullptr)
    set(at(p, f.of->size), true);
  else if (f.type == FieldType::string)
    set(p, kNullStr);
  else if (f.type == FieldType::bytes)
    set(p, Bytes{});
  else
    set(p, Records{});
  return "";
}

std::string FromJson::structure(const Json& j, const StructDescriptor& s, void* p) {
  if (!j.is_object()) return "not an object";
  size_t known = 0;
  for (const FieldDescriptor& f : s.fields) {
    if (!f.versions.contains(version_)) continue;
    const auto found = j.find(f.name);
    if (found == j.end()) {
      if (f.tag < 0) return std::string(f.name) + " is missing";
      continue;
    }
    ++known;
    if (std::string why = field(*found, f, at(p, f.offset)); !why.empty())
      return std::string(f.name) + (why[0] == '[' ? "" : ": ") + why;
  }
  if (known == j.size()) return "";
  for (const auto& item : j.items()) {
    const bool there = std::any_of(s.fields.begin(), s.fields.end(), [&](const FieldDescriptor& f) {
      return f.versions.contains(version_) && item.key() == f.name;
    });
    if (!there) return item.key() + ": this version has no such field";
  }
  return "a field is given twice";
}

}  // namespace

Json to_json(const MessageDescriptor& m, int16_t version, const void* message) {
  return struct_to_json(*m.root, version, message);
}

std::string from_json(const Json& j, const MessageDescriptor& m, int16_t version, Arena& a, void* message) {
  return FromJson(version, a).structure(j, *m.root, message);
}

void* make_message(const MessageDescriptor& m, Arena& a) {
  void* p = a.allocate(m.root->size, alignof(std::max_align_t));
  std::memcpy(p, m.root->defaults, m.root->size);
  return p;
}

void write_framing(Writer& w, const MessageDescriptor& m, int16_t version) {
  switch (m.framing) {
    case Framing::none:
    case Framing::json: return;
    case Framing::log:
      w.uvarint(1);
      w.uvarint(static_cast<uint32_t>(m.id));
      return w.uvarint(static_cast<uint32_t>(version));
    case Framing::type: return w.i16(m.id);
    case Framing::version: return w.i16(version);
  }
}

}  // namespace klamm::protocol
