// The smallest machine that uses the whole door: sends back what it receives, once it is on disk; from there, if its
// property "echo.regions" is set.
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
      if (const auto* x = std::get_if<Asked>(&e)) asked(io, x->verb);
    }
  }
  Instant next_deadline() const override { return started_ ? kNever : Instant{0}; }
  std::unique_ptr<Machine> clone() const override { return std::make_unique<EchoMachine>(*this); }
  void fields(Visitor& v) const override { v("boot", boot_), v("end", end_), v("conns", conns_), v("ops", ops_); }

 private:
  enum Step : uint16_t { kOpen, kWrite, kSync, kOther };
  struct Waiting {
    ConnId conn;
    Slice bytes;
    int64_t at = 0;
  };
  void asked(Io& io, const std::string& verb) {
    if (verb == "stop") io.out.push_back(Exit{0, "asked"});
    if (verb == "cut") {  // what was written goes
      io.truncate({0, kOther, 0}, file_, 0);
      end_ = 0;
    }
    if (verb == "drop") dropping_ = true;  // once all is echoed the file goes, and nothing is echoed any more
    drop(io);
  }
  void drop(Io& io) {
    if (!dropping_ || !opened_ || !waiting_.empty()) return;
    io.close({0, kOther, 0}, file_);
    io.remove({0, kOther, 0}, DirId{0}, "echo/data.log");
    opened_ = false;
  }
  void received(Io& io, const Received& x) {
    if (!opened_ || x.bytes.empty()) return io.out.push_back(Close{x.conn});
    waiting_.push_back({x.conn, x.bytes, end_});
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
      const Waiting& w = waiting_.front();
      const FileRegion region{file_, w.at, static_cast<uint32_t>(w.bytes.size())};
      if (conns_.find(w.conn) && boot_.properties.count("echo.regions"))
        io.out.push_back(SendRegion{w.conn, region});
      else if (conns_.find(w.conn))
        io.out.push_back(Send{w.conn, w.bytes});
      waiting_.pop_front();
      drop(io);
    }
  }
  Boot boot_;
  OpTable ops_;
  Slab<int, ConnId> conns_;
  std::deque<Waiting> waiting_;  // syncs of one file end in order
  FileId file_;
  int64_t end_ = 0;
  bool started_ = false;
  bool opened_ = false;
  bool dropping_ = false;
};

}  // namespace klamm
