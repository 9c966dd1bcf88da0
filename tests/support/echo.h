// The smallest machine that uses the whole door: sends back what it receives, once it is on disk.
#pragma once
#include <deque>
#include <map>

#include "engine/env/boot.h"
#include "engine/env/io.h"
#include "engine/env/machine.h"

namespace klamm {

class EchoMachine final : public Machine {
 public:
  explicit EchoMachine(Boot boot) : boot_(std::move(boot)) {}

  void turn(Ctx& ctx, std::span<const Event> events, Commands& out) override {
    Io io{ctx, out, ops_};
    if (!started_) {
      started_ = true;
      file_ = io.open({0, kOpen, 0}, DirId{0}, "echo/data.log", OpenMode::create);
    }
    for (const Event& e : events) {
      if (const auto* x = std::get_if<Accepted>(&e)) out.push_back(Adopt{x->pending, conns_.add(0)});
      if (const auto* x = std::get_if<Received>(&e)) received(io, *x);
      if (const auto* x = std::get_if<Closed>(&e)) conns_.remove(x->conn);
      if (const auto* x = std::get_if<Ended>(&e)) ended(io, *x);
      if (const auto* x = std::get_if<Asked>(&e); x && x->verb == "stop") out.push_back(Exit{0, "asked"});
    }
  }
  Instant next_deadline() const override { return started_ ? kNever : Instant{0}; }
  std::unique_ptr<Machine> clone() const override { return std::make_unique<EchoMachine>(*this); }
  void fields(Visitor& v) const override { v("boot", boot_), v("end", end_), v("conns", conns_), v("ops", ops_); }

 private:
  enum Step : uint16_t { kOpen, kWrite, kSync };
  void received(Io& io, const Received& x) {
    if (!opened_) return io.out.push_back(Close{x.conn});
    waiting_.push_back({x.conn, x.bytes});
    io.write({0, kWrite, 0}, file_, end_, {x.bytes});
    io.sync({0, kSync, waiting_.size()}, file_);
    end_ += static_cast<int64_t>(x.bytes.size());
  }
  void ended(Io& io, const Ended& x) {
    const auto owner = ops_.end(x.token);
    if (!owner) return;
    if (x.error != IoError::none) return io.out.push_back(Exit{1, name(x.error)});
    if (owner->step == kOpen) {
      opened_ = true;
      end_ = x.value;
      io.out.push_back(Listen{ListenerId{0}});
    }
    if (owner->step == kSync) {
      if (conns_.find(waiting_.front().first)) io.out.push_back(Send{waiting_.front().first, waiting_.front().second});
      waiting_.pop_front();
    }
  }
  Boot boot_;
  OpTable ops_;
  Slab<int, ConnId> conns_;
  std::deque<std::pair<ConnId, Slice>> waiting_;  // syncs of one file end in order
  FileId file_;
  int64_t end_ = 0;
  bool started_ = false;
  bool opened_ = false;
};

}  // namespace klamm
