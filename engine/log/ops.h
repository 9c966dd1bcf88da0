// What a log has under way at the door. Commands that end together for the log share one Op and one Owner.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/env/io.h"

namespace klamm::log {

enum class Step : uint8_t {
  // opening
  list,
  load_identity,
  load_epochs,
  load_snapshot,
  load_aborted,
  newest,
  resume_offsets,
  resume_times,
  resume_head,
  open_scanned,
  scan,
  move_stray,
  name_stray,
  // writing
  open_segment,
  write,
  write_identity,
  sync_identity,
  sync,
  names,
  write_index,
  name_aborted,
  epoch_file,
  write_snapshot,
  sweep_marks,
  sweep_mark_names,
  // truncating
  cut,
  cut_remove,
  cut_names,
  drop_snapshots,
  drop_snapshot_names,
  // reading
  cold_open,
  cold_index,
  cold_times,
  cold_read,
  // retention
  front_names,
  put_away,
  put_away_names,
  // compaction
  clean_read,
  clean_write,
  clean_remove,
  swap_scan,
  swap_remove,
  swap_names,
  // leaving
  close_files,
  move_away,
  name_away,
  remove_away,
  sweep,
};

struct Op {
  Step step = Step::list;
  uint32_t left = 1;  // commands that have not ended
  IoError error = IoError::none;
  uint64_t generation = 0;
  uint64_t number = 0;  // which write, which cold read
  Offset segment = 0;   // base of the segment concerned
  std::vector<Offset> segments;
  std::vector<FileId> files;  // closed by this op: their ids are free when it ends
  template<class V>
  void fields(V& v) const {
    v("step", step), v("left", left), v("error", error), v("generation", generation), v("number", number),
        v("segment", segment), v("segments", segments), v("files", files);
  }
};

inline constexpr size_t kMaxOps = 4'096;

class Ops final {
 public:
  uint16_t add(Op op) {
    KLAMM_ASSERT_REL(size_, <, kMaxOps);
    ++size_;
    if (free_.empty()) {
      slots_.push_back(std::move(op));
      return static_cast<uint16_t>(slots_.size() - 1);
    }
    const uint16_t slot = free_.back();
    free_.pop_back();
    slots_[slot] = std::move(op);
    return slot;
  }
  Op& at(uint16_t slot) {
    KLAMM_ASSERT_REL(slot, <, slots_.size());
    KLAMM_ASSERT_REL(slots_[slot].left, >, 0);
    return slots_[slot];
  }
  Op take(uint16_t slot) {
    Op op = std::move(at(slot));
    slots_[slot] = {};
    slots_[slot].left = 0;
    free_.push_back(slot);
    --size_;
    return op;
  }
  size_t size() const { return size_; }
  void give_back_memory() {
    if (size_ == 0) *this = {};
  }
  bool any(Step step) const {
    for (const Op& op : slots_)
      if (op.left > 0 && op.step == step) return true;
    return false;
  }
  template<class V>
  void fields(V& v) const {
    v("slots", slots_), v("free", free_);
  }

 private:
  std::vector<Op> slots_;
  std::vector<uint16_t> free_;
  size_t size_ = 0;
};

}  // namespace klamm::log
