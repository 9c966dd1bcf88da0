// A Server and what it needs of a turn.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/net/server.h"
#include "engine/protocol/frame.h"
#include "engine/protocol/messages/metadata.h"
#include "engine/protocol/messages/produce.h"

namespace klamm::net {

class ServerChance final : public Chance {
 public:
  uint64_t below(ChoiceKey, uint64_t) override { return 0; }
  uint64_t name(ChoiceKey key) override { return key.entity * 31 + key.ordinal; }
};

struct ServerFixture {
  ServerChance chance;
  Flaws flaws;
  NoTrace trace;
  Scratch scratch;
  Commands out;
  OpTable ops;
  ConnTable conns;
  Ctx ctx{Instant{1}, Wall{1}, chance, flaws, trace, scratch};
  Io io{ctx, out, ops};
  NetIo net{io, conns};
  Server server;

  bool accepts(uint32_t listener, const char* peer) {
    server.on_event(net, Accepted{ListenerId{listener}, PendingId{7}, peer, 1, ""});
    const auto adopts = [](const Command& c) { return std::holds_alternative<Adopt>(c); };
    for (const Command& c : out)
      if (const auto* adopt = std::get_if<Adopt>(&c)) last = adopt->conn;
    const bool adopted = std::any_of(out.begin(), out.end(), adopts);
    std::erase_if(out, adopts);
    return adopted;
  }
  ConnId accept(uint32_t listener = 0) {
    EXPECT_TRUE(accepts(listener, "peer"));
    return last;
  }
  void receive(ConnId conn, const Slice& bytes) { server.on_event(net, Received{conn, bytes}); }
  void closed(ConnId conn) { server.on_event(net, Closed{conn}); }

  template<class Message>
  static Slice frame(const Message& m, int16_t version, int32_t correlation) {
    Writer w;
    protocol::encode_request(w, {Message::kApiKey, version, correlation, "me"}, m);
    return w.finish_contiguous();
  }
  static Slice metadata(int32_t correlation) { return frame(protocol::MetadataRequest{}, 12, correlation); }
  static Slice produce(int32_t correlation) { return frame(protocol::ProduceRequest{}, 9, correlation); }
  // A request of that size in all, whose body nobody looks at.
  static Slice large(int16_t api, size_t size) {
    Writer w;  // header 1
    w.i32(static_cast<int32_t>(size)), w.i16(api), w.i16(api == 0 ? 3 : 1), w.i32(0), w.i16(-1);
    w.raw(ByteSpan(std::vector<uint8_t>(size - 10)));
    return w.finish_contiguous();
  }

  // The next request that may start; its correlation -1: none.
  Incoming next() {
    Incoming in;
    if (!server.next(io, &in)) in.ticket.correlation = -1;
    return in;
  }
  void answer(const Incoming& in, const std::string& body) { server.reply(io, {in.ticket, {Slice::copy(body)}}); }
  // Starts what may start, until nothing may, and answers it; says which.
  std::vector<int32_t> serve() {
    std::vector<int32_t> served;
    for (Incoming in = next(); in.ticket.correlation >= 0; in = next()) {
      served.push_back(in.ticket.correlation);
      answer(in, "x");
    }
    return served;
  }
  std::string sent(ConnId conn) const {
    std::string all;
    for (const Command& c : out)
      if (const auto* s = std::get_if<Send>(&c); s && s->conn == conn) all += s->bytes.text();
    return all;
  }
  template<class T>
  long count() const {
    return std::count_if(out.begin(), out.end(), [](const Command& c) { return std::holds_alternative<T>(c); });
  }
  // How the connection was closed last.
  enum class Ended { not_at_all, after_sends, now };
  Ended close_of(ConnId conn) const {
    Ended how = Ended::not_at_all;
    for (const Command& c : out)
      if (const auto* x = std::get_if<Close>(&c); x && x->conn == conn)
        how = x->after_sends ? Ended::after_sends : Ended::now;
    return how;
  }
  void pass(Duration time) {
    const Instant end = ctx.now + time;
    while (server.next_deadline() <= end) {
      ctx.now = std::max(ctx.now, server.next_deadline());
      server.on_time(io);
    }
    ctx.now = end;
  }

  ConnId last;  // adopted
};

}  // namespace klamm::net
