// A partition's directory, written by anybody, is opened by a log, which then is read, compacted, appended to, cut,
// retained and closed; a second life must find what the first one left.
//
// The input: whether checksums are made to fit and how the log is set up, where a checkpoint says that it was, and
// then files: a kind, the offset in the name, and the content.
#include "tests/fuzz/directory.h"

#include <string>

#include "engine/log/checkpoints.h"
#include "engine/log/log.h"
#include "engine/protocol/batch_builder.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/parts.h"
#include "tests/support/fake_storage.h"
#include "tests/support/turns.h"

namespace klamm::fuzz {
namespace {

using log::Log;

constexpr uint64_t kMostSteps = 20'000;  // of the disk, in one life
constexpr uint64_t kReadBase = 4 << 20;  // bytes read in one life, whatever the input
constexpr uint64_t kReadPerByte = 200;   // and more, for each byte of it
constexpr size_t kMostFiles = 64;

log::LogOptions options(uint8_t flags) {
  log::LogOptions o;
  o.topic_name = kFuzzTopic;
  o.topic.bytes[0] = kFuzzTopicId;
  o.config.compacted = (flags & kCompacted) != 0;
  o.config.segment_bytes = 700;
  o.config.index_interval_bytes = 100;
  o.config.delete_retention_ms = 0;
  o.config.file_delete_delay_ms = 0;
  o.config.min_dirty_ppm = 0;
  o.tail_bytes = 500;
  o.resume_least = 0;
  return o;
}

class Life final {
 public:
  Life(FakeStorage* disk, uint8_t flags) : disk_(disk), log_(options(flags)) {}
  const Log& log() const { return log_; }
  bool failed() const { return log_.failed(); }

  template<class F>
  void turn(F&& f) {
    Ctx ctx = world_.ctx();
    Commands commands;
    Io io{ctx, commands, ops_};
    f(io, log_);
    if (!log_.failed()) log_.flush(io);
    disk_->submit(commands);
  }
  // Until the disk has nothing left to do.
  void settle() {
    for (; disk_->ready() > 0; ++steps_) {
      FUZZ_CHECK(steps_ < kMostSteps);
      const auto event = disk_->step(0);
      if (!event) continue;
      const auto [token, end] = end_of_command(*event);
      const auto owner = ops_.end(token);
      FUZZ_CHECK(owner.has_value());
      turn([&](Io& io, Log& log) {
        log::Out out;
        log.on_storage(io, *owner, end, out);
        if (out.strayed) log.open(io, {});
        if (out.clean_at) log.go_on_cleaning(io, out);
        if (out.remove_at) log.remove_put_away(io);
      });
    }
  }
  void read_all() {
    Offset at = log_.ends().log_start;
    for (int i = 0; i < 1000 && at < log_.ends().submitted; ++i) {
      const log::ReadResult r = log_.read({at, 300, log_.ends().submitted, true});
      if (r.status == log::ReadStatus::cold) {
        turn([&](Io& io, Log& log) { FUZZ_CHECK(log.load_cold(io, {at, 300})); });
        settle();
        continue;
      }
      if (r.status == log::ReadStatus::damaged) return;  // recovery had no reason to look for it
      FUZZ_CHECK(r.status == log::ReadStatus::ok);
      FUZZ_CHECK(r.next > at);
      at = r.next;
    }
  }
  void append() {
    turn([&](Io& io, Log& log) {
      if (log.ends().submitted > kFuzzMostOffset) return;
      protocol::BatchBuilder b({.producer_id = 1, .producer_epoch = 0, .base_sequence = 0});
      b.add({.timestamp = world_.wall.ms, .key = protocol::Bytes::of(as_bytes("k"))});
      log.append_as_leader(io.ctx, std::max(log.epochs().latest(), 0), b.finish());
    });
    settle();
  }

 private:
  TestWorld world_;
  FakeStorage* disk_;
  OpTable ops_;
  Log log_;
  uint64_t steps_ = 0;
};

void lay_files(Parts* input, uint8_t flags, FakeStorage* disk) {
  const std::string folder = log::partition_dir(kFuzzTopic, 0) + "/";
  for (size_t i = 0; i < kMostFiles && !input->empty(); ++i) {
    const size_t kind = input->byte() % std::size(kFuzzFiles);
    const uint8_t named = input->byte();
    const Offset base = named == UINT8_MAX ? kFuzzMostOffset : named;
    const ByteSpan part = input->next();
    std::vector<uint8_t> content(part.begin(), part.end());
    const std::string_view suffix = kFuzzFiles[kind];
    if ((flags & kFits) && suffix.starts_with(".log")) fit_batches(&content);
    if ((flags & kFits) && suffix == ".snapshot") fit_producer_snapshot(&content);
    disk->set_content(folder + fuzz_file(kind, base), std::move(content));
  }
}

void live(Parts* input, uint64_t size) {
  const uint8_t flags = input->byte();
  log::OpenFrom from;
  from.clean = (flags & kClean) != 0;
  from.recovery_point = input->byte();
  from.log_start = input->byte();
  from.cleaned_to = input->byte();
  const Offset cut = input->byte();
  FakeStorage disk;
  lay_files(input, flags, &disk);

  Life first(&disk, flags);
  first.turn([&](Io& io, Log& log) { log.open(io, from); });
  first.settle();
  FUZZ_CHECK(first.log().ready());
  FUZZ_CHECK(disk.bytes_read() <= kReadBase + kReadPerByte * size);
  first.read_all();
  first.append();
  first.turn([&](Io& io, Log& log) {
    if (log.checkpoint(io)) log.note_checkpoint(log.recovery_point());
  });
  first.settle();
  first.turn([&](Io& io, Log& log) {
    log.note_checkpoint(log.recovery_point());
    log.clean(io, {.high_watermark = log.ends().written, .keys_bytes = 1 << 16});
  });
  first.settle();
  first.read_all();
  if (flags & kCuts) {
    first.turn([&](Io& io, Log& log) { log.truncate_to(io, std::max(cut, log.ends().log_start)); });
    first.settle();
    FUZZ_CHECK(first.log().ready());
  }
  first.append();
  first.turn([&](Io& io, Log& log) { log.mark(io); });
  first.settle();
  first.turn([&](Io& io, Log& log) { log.retain(io, {.high_watermark = log.ends().written, .policy = true}); });
  first.settle();
  FUZZ_CHECK(first.log().ready());
  first.turn([&](Io& io, Log& log) { log.close(io); });
  first.settle();
  FUZZ_CHECK(!first.failed());

  Life second(&disk, flags);
  const log::Ends left = first.log().ends();
  second.turn([&](Io& io, Log& log) {
    log.open(io, {first.log().recovery_point(), left.log_start, true, first.log().cleaned_to()});
  });
  second.settle();
  FUZZ_CHECK(second.log().ready());
  FUZZ_CHECK(second.log().ends().log_start == left.log_start);
  FUZZ_CHECK(second.log().ends().submitted == left.submitted);
  second.read_all();
  FUZZ_CHECK(disk.bytes_read() <= 2 * (kReadBase + kReadPerByte * size));
}

}  // namespace
}  // namespace klamm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  klamm::fuzz::Parts input({data, size});
  klamm::fuzz::live(&input, size);
  return 0;
}
