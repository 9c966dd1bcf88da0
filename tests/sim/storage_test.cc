#include "sim/storage.h"

#include <gtest/gtest.h>

namespace klamm::sim {
namespace {

struct Events {
  Storage storage{0, 1};
  Queue queue;
  Tape tape{1};
  std::vector<Event> ends;
  void run_until(int64_t now) {
    while (queue.next_at() <= now) {
      const Item item = queue.pop();
      Event end;
      if (storage.due(item, item.at, queue, tape, &end)) ends.push_back(std::move(end));
    }
  }
};

constexpr int64_t kMs = 1'000'000;

// The heal of a world ends a stall before its time; what it holds up stays held up, and nothing of the same file
// passes.
TEST(Storage, nothing_overtakes_what_a_stall_held_up) {
  constexpr FileId kFile{0, 1};
  for (const bool stalled_first : {true, false})
    for (const bool writes_first : {true, false}) {
      Events e;
      const auto stall = [&] { e.storage.model().stalled_until = 1'000 * kMs; };
      if (stalled_first) stall();
      e.storage.submit(OpenFile{kFile, {0, 1}, DirId{0}, "f", OpenMode::create}, 0, e.queue, e.tape);
      if (writes_first) e.storage.submit(WriteFile{kFile, {1, 1}, 0, {Slice::copy("first")}}, 0, e.queue, e.tape);
      stall();
      e.run_until(100 * kMs);
      EXPECT_TRUE(e.ends.empty());
      e.storage.model().stalled_until = 100 * kMs;
      e.storage.submit(WriteFile{kFile, {2, 1}, 0, {Slice::copy("second")}}, 100 * kMs, e.queue, e.tape);
      e.storage.submit(ReadFile{kFile, {3, 1}, 0, 100}, 100 * kMs, e.queue, e.tape);
      e.run_until(2'000 * kMs);
      std::vector<Token> ended;
      for (const Event& x : e.ends)
        if (const auto* w = std::get_if<Ended>(&x)) ended.push_back(w->token);
      EXPECT_EQ(ended,
                (writes_first ? std::vector<Token>{{0, 1}, {1, 1}, {2, 1}} : std::vector<Token>{{0, 1}, {2, 1}}));
      EXPECT_EQ(e.ends.size(), ended.size() + 1) << "the read has ended too";
    }
}

// A file is closed after all that was asked of it before, whatever takes long.
TEST(Storage, a_file_is_closed_last) {
  constexpr FileId kFile{0, 1};
  for (const bool stalls : {true, false})
    for (const bool reads : {true, false}) {
      Events e;
      e.storage.submit(OpenFile{kFile, {0, 1}, DirId{0}, "f", OpenMode::create}, 0, e.queue, e.tape);
      e.run_until(100 * kMs);
      e.storage.model().read = e.storage.model().sync = {10 * kMs};
      if (reads)
        for (uint32_t i = 1; i <= 8; ++i)  // some look at once, some at their end
          e.storage.submit(ReadFile{kFile, {i, 1}, 0, 100}, 100 * kMs, e.queue, e.tape);
      else
        e.storage.submit(SyncFile{kFile, {1, 1}}, 100 * kMs, e.queue, e.tape);
      if (stalls) e.storage.model().stalled_until = 1'000 * kMs;
      const int64_t closed_at = stalls ? 110 * kMs : 105 * kMs;
      e.run_until(closed_at);
      if (stalls) e.storage.model().stalled_until = closed_at;  // healed
      e.storage.submit(CloseFile{kFile, {9, 1}}, closed_at, e.queue, e.tape);
      e.run_until(2'000 * kMs);
      ASSERT_EQ(e.ends.size(), reads ? 10u : 3u);
      const auto* last = std::get_if<Ended>(&e.ends.back());
      EXPECT_TRUE(last && (last->token == Token{9, 1}));
    }
}

}  // namespace
}  // namespace klamm::sim
