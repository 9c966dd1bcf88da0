// One listing of a state's members serves hashing, printing and diffing: `void fields(Visitor& v) const { v("name",
// name_); ... }`.
#pragma once
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/ids.h"
#include "engine/base/units.h"

namespace klamm {

class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void number(const char* name, int64_t value) = 0;
  virtual void bytes(const char* name, ByteSpan value) = 0;
  virtual void enter(const char* name) = 0;  // a struct or container; containers give their size as a number first
  virtual void leave() = 0;

  template<class T>
  void operator()(const char* name, const T& value) {
    visit(name, value);
  }

 private:
  template<class T>
  static constexpr bool kHasFields = requires(const T& t, Visitor& v) { t.fields(v); };

  template<class T>
  void visit(const char* name, const T& value) {
    if constexpr (kHasFields<T>) {
      enter(name);
      value.fields(*this);
      leave();
    } else if constexpr (std::is_enum_v<T> || std::is_integral_v<T>) {
      number(name, static_cast<int64_t>(value));
    } else {
      static_assert(kHasFields<T>, "this type needs fields(Visitor&) const");
    }
  }
  template<class Tag, class Rep>
  void visit(const char* name, const Id<Tag, Rep>& id) {
    number(name, static_cast<int64_t>(id.value));
  }
  template<class Tag>
  void visit(const char* name, const Handle<Tag>& h) {
    number(name, static_cast<int64_t>(h.packed()));
  }
  void visit(const char* name, const Instant& t) { number(name, t.ns); }
  void visit(const char* name, const Duration& d) { number(name, d.ns); }
  void visit(const char* name, const Wall& w) { number(name, w.ms); }
  void visit(const char* name, const Uuid& u) { bytes(name, u.bytes); }
  void visit(const char* name, const std::string& s) { bytes(name, as_bytes(s)); }
  void visit(const char* name, const Slice& s) { bytes(name, s.span()); }
  void visit(const char* name, const OffsetAndEpoch& o) { number(name, o.offset), number("epoch", o.epoch); }
  void visit(const char* name, const TopicIdPartition& t) {
    bytes(name, t.topic.bytes), number("partition", t.partition);
  }
  void visit(const char* name, const std::monostate&) { number(name, 0); }
  template<class A, class B>
  void visit(const char* name, const std::pair<A, B>& p) {
    visit(name, p.first), visit("second", p.second);
  }
  template<class T>
  void visit(const char* name, const std::optional<T>& o) {
    if (o)
      visit(name, *o);
    else
      number(name, -1);
  }
  template<class T, class D>
  void visit(const char* name, const std::unique_ptr<T, D>& p) {
    if (p)
      visit(name, *p);
    else
      number(name, -1);
  }
  template<class... Ts>
  void visit(const char* name, const std::variant<Ts...>& o) {
    number(name, static_cast<int64_t>(o.index()));
    std::visit([&](const auto& x) { visit("value", x); }, o);
  }
  template<class C>
  void sequence(const char* name, const C& c) {
    enter(name);
    number("size", static_cast<int64_t>(c.size()));
    for (const auto& x : c) visit("item", x);
    leave();
  }
  template<class T, class A>
  void visit(const char* name, const std::vector<T, A>& c) {
    sequence(name, c);
  }
  template<class A>
  void visit(const char* name, const std::vector<bool, A>& c) {
    enter(name);
    for (bool b : c) number("item", b);
    leave();
  }
  template<class T, class A>
  void visit(const char* name, const std::deque<T, A>& c) {
    sequence(name, c);
  }
  template<class T, size_t N>
  void visit(const char* name, const std::array<T, N>& c) {
    sequence(name, c);
  }
  template<class T, class L, class A>
  void visit(const char* name, const std::set<T, L, A>& c) {
    sequence(name, c);
  }
  template<class K, class T, class L, class A>
  void visit(const char* name, const std::map<K, T, L, A>& c) {
    sequence(name, c);
  }
  template<class K, class T, class L, class A>
  void visit(const char* name, const std::multimap<K, T, L, A>& c) {
    sequence(name, c);
  }
};

// 64 bits over everything visited. Equal states hash equal on every compiler and build.
class HashVisitor final : public Visitor {
 public:
  void number(const char*, int64_t value) override;
  void bytes(const char*, ByteSpan value) override;
  void enter(const char*) override {}
  void leave() override {}
  uint64_t hash() const { return state_; }

 private:
  uint64_t state_ = 0x9e3779b97f4a7c15;
};

// One line a member, indented; bytes as text where printable, else hex.
class PrintVisitor final : public Visitor {
 public:
  void number(const char* name, int64_t value) override;
  void bytes(const char* name, ByteSpan value) override;
  void enter(const char* name) override;
  void leave() override { --depth_; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  int depth_ = 0;
};

template<class T>
uint64_t state_hash(const T& state) {
  HashVisitor v;
  v("state", state);
  return v.hash();
}
template<class T>
std::string state_text(const T& state) {
  PrintVisitor v;
  v("state", state);
  return v.text();
}

}  // namespace klamm
