// Directories as logs leave them: plain, compacted, in the middle of a compaction, with and without an orderly end.
#include "engine/log/log.h"
#include "engine/protocol/batch_builder.h"
#include "tests/fuzz/directory.h"
#include "tests/fuzz/parts.h"
#include "tests/fuzz/seeds.h"
#include "tests/support/fake_storage.h"
#include "tests/support/turns.h"

namespace klamm::fuzz {
namespace {

class Writer final {
 public:
  explicit Writer(bool compacted) : log_(options(compacted)) {
    turn([&](Io& io) { log_.open(io, {}); });
    settle();
  }
  static log::LogOptions options(bool compacted) {
    log::LogOptions o;
    o.topic_name = kFuzzTopic;
    o.topic.bytes[0] = kFuzzTopicId;
    o.config.compacted = compacted;
    o.config.segment_bytes = 700;
    o.config.index_interval_bytes = 100;
    o.config.min_dirty_ppm = 0;
    o.tail_bytes = 500;
    return o;
  }
  template<class F>
  void turn(F&& f) {
    TestWorld world;
    Ctx ctx = world.ctx();
    Commands commands;
    Io io{ctx, commands, ops_};
    f(io);
    log_.flush(io);
    disk_.submit(commands);
  }
  void settle(uint64_t most = UINT64_MAX) {
    for (; disk_.ready() > 0 && most > 0; --most) {
      const auto event = disk_.step(0);
      if (!event) continue;
      const auto [token, end] = end_of_command(*event);
      const auto owner = ops_.end(token);
      turn([&](Io& io) {
        log::Out out;
        log_.on_storage(io, *owner, end, out);
        if (out.clean_at) log_.go_on_cleaning(io, out);
      });
    }
  }
  void append(int n, LeaderEpoch epoch) {
    for (int i = 0; i < n; ++i) {
      protocol::BatchBuilder b({.producer_id = i % 2, .producer_epoch = 0, .base_sequence = i / 2 * 2});
      for (int k = 0; k < 2; ++k) {
        const std::string key = "k" + std::to_string((i + k) % 3);
        b.add({.timestamp = 1000 + i,
               .key = protocol::Bytes::of(as_bytes(key)),
               .value = protocol::Bytes::of(as_bytes("value"))});
      }
      turn([&](Io& io) { log_.append_as_leader(io.ctx, epoch, b.finish()); });
      settle();
    }
  }
  void checkpoint() {
    turn([&](Io& io) { log_.checkpoint(io); });
    settle();
    log_.note_checkpoint(log_.recovery_point());
  }
  void clean(uint64_t steps) {
    turn([&](Io& io) { log_.clean(io, {.high_watermark = log_.ends().written, .keys_bytes = 1 << 16}); });
    settle(steps);
  }
  void mark() {
    turn([&](Io& io) { log_.mark(io); });
    settle();
  }
  void close() {
    turn([&](Io& io) { log_.close(io); });
    settle();
  }
  std::vector<uint8_t> input(uint8_t flags) const {
    std::vector<uint8_t> all{static_cast<uint8_t>(flags | kFits), static_cast<uint8_t>(log_.recovery_point()), 0,
                             static_cast<uint8_t>(log_.cleaned_to()), 10};
    const std::string folder = log::partition_dir(kFuzzTopic, 0);
    for (const std::string& name : disk_.names(folder))
      for (size_t kind = 0; kind < std::size(kFuzzFiles); ++kind) {
        Offset base = 0;
        const std::string suffix = kFuzzFiles[kind];
        if (suffix[0] == '.' ? !log::parse_segment_file(name, suffix.c_str(), &base) : name != suffix) continue;
        all.push_back(static_cast<uint8_t>(kind));
        all.push_back(static_cast<uint8_t>(base));
        add_part(&all, *disk_.content(folder + "/" + name));
      }
    return all;
  }

 private:
  FakeStorage disk_;
  OpTable ops_;
  log::Log log_;
};

}  // namespace

void save_directories(const std::filesystem::path& folder) {
  for (const bool compacted : {false, true}) {
    const std::string kind = compacted ? "compacted-" : "plain-";
    const uint8_t flags = compacted ? kCompacted : 0;
    Writer w(compacted);
    w.append(4, 1);
    save(folder, kind + "short", w.input(flags));
    w.append(6, 1);
    w.append(6, 3);
    save(folder, kind + "crash", w.input(flags));
    w.checkpoint();
    w.mark();
    save(folder, kind + "mark", w.input(flags | kCuts));
    Writer cleaned = w;
    w.close();
    save(folder, kind + "closed", w.input(flags | kClean));
    save(folder, kind + "closed-cut", w.input(flags | kClean | kCuts));
    if (!compacted) continue;
    for (uint64_t steps = 1; steps < 120; steps += 8) {
      Writer c = cleaned;
      c.clean(steps);
      save(folder, "cleaning-" + std::to_string(steps), c.input(flags));
    }
    cleaned.clean(UINT64_MAX);
    save(folder, "cleaned", cleaned.input(flags));
  }
}

}  // namespace klamm::fuzz
