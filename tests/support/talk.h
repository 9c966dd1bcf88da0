// The echo machine's counterpart: dials, sends numbered lines one at a time, checks what comes back, dials again when
// the connection ends or stays silent for two seconds.
#pragma once
#include <string>

#include "engine/base/chance.h"
#include "engine/env/boot.h"
#include "engine/env/machine.h"

namespace klamm {

class TalkMachine final : public Machine {
 public:
  explicit TalkMachine(Boot boot) : boot_(std::move(boot)) {
    padding_.assign(static_cast<size_t>(std::stoi(boot_.properties.at("talk.padding"))), '.');
  }
  uint64_t echoed() const { return echoed_; }

  void turn(Ctx& ctx, std::span<const Event> events, Commands& out) override {
    for (const Event& e : events) {
      if (const auto* x = std::get_if<Dialed>(&e)) {
        if (x->conn != conn_) continue;
        if (x->error != IoError::none)
          retry(ctx);
        else
          say(ctx, out);
      }
      if (const auto* x = std::get_if<Received>(&e); x && x->conn == conn_) heard(ctx, x->bytes, out);
      if (const auto* x = std::get_if<Closed>(&e); x && x->conn == conn_) retry(ctx);
    }
    if (deadline_ <= ctx.now) {
      if (conn_) out.push_back(Close{conn_});
      heard_.clear();
      deadline_ = ctx.now + seconds(6);
      conn_ = ConnId{++number_ % 1024, 1 + number_ / 1024};
      out.push_back(Dial{conn_, boot_.properties.at("talk.to"), 7});
    }
  }
  Instant next_deadline() const override { return deadline_; }
  std::unique_ptr<Machine> clone() const override { return std::make_unique<TalkMachine>(*this); }
  void fields(Visitor& v) const override { v("echoed", echoed_), v("heard", heard_); }

 private:
  std::string line() const { return std::to_string(echoed_) + padding_ + "\n"; }
  void say(Ctx& ctx, Commands& out) {
    out.push_back(Send{conn_, Slice::copy(line())});
    deadline_ = ctx.now + seconds(2);
  }
  void heard(Ctx& ctx, const Slice& bytes, Commands& out) {
    heard_ += bytes.text();
    const std::string want = line();
    KLAMM_ASSERT(heard_ == want.substr(0, heard_.size()));
    if (heard_.size() < want.size()) return;
    heard_.clear();
    ++echoed_;
    say(ctx, out);
  }
  void retry(Ctx& ctx) {
    conn_ = {};
    heard_.clear();
    deadline_ = ctx.now + milliseconds(5);
  }
  Boot boot_;
  std::string padding_;
  ConnId conn_;
  uint32_t number_ = 0;
  Instant deadline_{0};
  std::string heard_;
  uint64_t echoed_ = 0;
};

}  // namespace klamm
