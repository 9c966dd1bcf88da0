// The one source of everything that is not determined: a seed, and edits to single choices.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "engine/base/chance.h"

namespace klamm::sim {

// The simulator's own streams. Entities: links, files and hosts as their owners number them.
enum : uint16_t {
  kFirstStream = static_cast<uint16_t>(Stream::simulator),
  kSwarm,        // which faults and conditions this run has at all
  kTurnShare,    // how many ready events share a turn
  kNetDelay,     // per link and direction
  kNetShape,     // cuts of a stream
  kNetConnect,   // dials, closes, retransmissions
  kDiskLatency,  // per host
  kDiskSample,   // when a read looks
  kCrash,        // what a crash leaves
  kFaultTick,    // per fault kind
  kFaultTarget,  // whom it hits
  kFaultLength,  // for how long
  kWorkload,     // what clients do
  kBootName,     // names given to machines
};
inline constexpr Stream stream(uint16_t s) { return static_cast<Stream>(s); }

enum class TapeMode : uint8_t {
  seeded,  // a choice is hash(seed, key) scaled, unless edited
  zeros,   // every choice is the dull one
  replay,  // only edits: a missing key is 0, too large a value is n - 1
};

struct Choice {
  ChoiceKey key;
  uint64_t n = 0;
  uint64_t value = 0;
};

// Copyable: a fork draws on from where it was. Owned by one world.
class Tape final : public Chance {
 public:
  explicit Tape(uint64_t seed, TapeMode mode = TapeMode::seeded) : seed_(seed), mode_(mode) {}
  uint64_t below(ChoiceKey key, uint64_t n) override;
  uint64_t name(ChoiceKey key) override { return hash(kNameSalt, key); }

  void edit(ChoiceKey key, uint64_t value);
  void keep_log(bool on) { logging_ = on; }
  const std::vector<Choice>& log() const { return log_; }
  uint64_t seed() const { return seed_; }

 private:
  struct Less {
    bool operator()(const ChoiceKey& a, const ChoiceKey& b) const {
      if (a.stream != b.stream) return a.stream < b.stream;
      return a.entity != b.entity ? a.entity < b.entity : a.ordinal < b.ordinal;
    }
  };
  static constexpr uint64_t kNameSalt = 0x6e616d65;
  static constexpr uint64_t kChoiceSalt = 0x63686f69;
  uint64_t hash(uint64_t salt, const ChoiceKey& key) const;
  uint64_t slow_below(const ChoiceKey& key, uint64_t n);

  uint64_t seed_;
  TapeMode mode_;
  bool logging_ = false;
  std::map<ChoiceKey, uint64_t, Less> edits_;
  std::vector<Choice> log_;
};

// Draws of one entity, with its ordinal beside it.
struct Draws {
  Stream what = Stream::simulator;
  uint64_t entity = 0;
  uint64_t ordinal = 0;
  uint64_t below(Chance& tape, uint64_t n) { return tape.below({what, entity, ordinal++}, n); }
  // True with a probability of `per_mille`; the dull choice is false.
  bool hits(Chance& tape, uint64_t per_mille) { return per_mille > 0 && below(tape, 1000) >= 1000 - per_mille; }
  // In [from, to], `from` being the dull choice.
  int64_t between(Chance& tape, int64_t from, int64_t to) {
    return to <= from ? from : from + static_cast<int64_t>(below(tape, static_cast<uint64_t>(to - from) + 1));
  }
};

// A delay's distribution in integers; the least one is the dull choice.
struct Delay {
  enum class Shape : uint8_t { uniform, exponential, bimodal };
  int64_t least_ns = 1'000;
  int64_t spread_ns = 0;  // uniform: width; exponential: half-life; bimodal: width of the near mode
  int64_t far_ns = 0;     // bimodal: distance of the far mode, one in sixteen
  Shape shape = Shape::uniform;
  int64_t draw(Draws& draws, Chance& tape) const;
};

}  // namespace klamm::sim
