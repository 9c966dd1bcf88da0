#include "engine/broker/supported.h"

#include <algorithm>
#include <array>

namespace klamm::broker {
namespace {

struct Complete {
  int16_t api;
  int16_t highest;  // the highest version that is complete here; -1: all of Kafka's
};
// Of the APIs on a broker's listener.
constexpr Complete kBroker[] = {
    {0, -1},  {1, -1},  {2, -1},  {3, -1},  {8, -1},  {9, -1},  {10, -1}, {11, -1}, {12, -1}, {13, -1}, {14, -1},
    {15, -1}, {16, -1}, {17, -1}, {18, -1}, {19, -1}, {20, -1}, {21, -1}, {22, -1}, {23, -1}, {29, -1}, {30, -1},
    {31, -1}, {32, -1}, {33, -1}, {35, -1}, {36, -1}, {37, -1}, {38, -1}, {39, -1}, {40, -1}, {41, -1}, {42, -1},
    {44, -1}, {47, -1}, {55, -1}, {57, -1}, {60, -1}, {61, -1}, {64, -1}, {74, -1}, {75, -1}, {80, -1}, {81, -1}};
// Of the APIs on a controller's listener.
constexpr Complete kController[] = {{1, -1},  {17, -1}, {18, -1}, {19, -1}, {20, -1}, {29, -1}, {30, -1}, {31, -1},
                                    {33, -1}, {36, -1}, {37, -1}, {38, -1}, {39, -1}, {40, -1}, {41, -1}, {44, -1},
                                    {52, -1}, {53, -1}, {54, -1}, {55, -1}, {56, -1}, {57, -1}, {58, -1}, {60, -1},
                                    {62, -1}, {63, -1}, {64, -1}, {67, -1}, {70, -1}, {80, -1}, {81, -1}};

Served narrowed(Complete c, ListenerKind kind) {
  const protocol::ApiInfo* info = protocol::find_api(c.api);
  KLAMM_ASSERT(info != nullptr);
  Served s{c.api, kind == ListenerKind::broker ? info->broker : info->controller,
           kind == ListenerKind::broker ? info->broker_advertised : info->controller_advertised};
  if (c.highest >= 0) {
    s.versions.high = std::min(s.versions.high, c.highest);
    s.advertised.high = std::min(s.advertised.high, c.highest);
  }
  KLAMM_ASSERT(!s.versions.empty());
  return s;
}

template<size_t N>
std::array<Served, N> table(const Complete (&rows)[N], ListenerKind kind) {
  std::array<Served, N> out{};
  for (size_t i = 0; i < N; ++i) out[i] = narrowed(rows[i], kind);
  return out;
}

}  // namespace

std::span<const Served> served(ListenerKind kind) {
  static const auto broker = table(kBroker, ListenerKind::broker);
  static const auto controller = table(kController, ListenerKind::controller);
  if (kind == ListenerKind::broker) return broker;
  return controller;
}

const Served* find_served(ListenerKind kind, int16_t api) {
  for (const Served& s : served(kind))
    if (s.api == api) return &s;
  return nullptr;
}

}  // namespace klamm::broker
