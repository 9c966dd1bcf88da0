#include "server/dialer.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <list>
#include <optional>

namespace klamm::server {
namespace {

using namespace std::chrono_literals;
using boost::asio::ip::tcp;

class DialerTest : public testing::Test {
 protected:
  tcp::endpoint local() { return {boost::asio::ip::address_v4::loopback(), 0}; }
  static std::pair<std::string, uint16_t> address(const tcp::acceptor& a) {
    return {"127.0.0.1", a.local_endpoint().port()};
  }
  std::unique_ptr<Dialer> make(Duration most = Dialer::kMost) {
    const auto done = [this](IoError e, Dialer::Connected c) {
      error = e;
      connected = e == IoError::none && c.socket;
    };
    return std::make_unique<Dialer>(loop, done, most);
  }
  void run_for(std::chrono::milliseconds time) {
    context.restart();
    context.run_for(time);
  }
  // Listens, but its queue is full: the kernel drops every SYN.
  bool swallow(tcp::acceptor& full) {
    full.open(tcp::v4());
    full.bind(local());
    full.listen(0);
    for (int i = 0; i < 8; ++i) {
      tcp::socket& s = queued.emplace_back(context);
      bool ended = false;
      s.async_connect(full.local_endpoint(), [&](auto) { ended = true; });
      run_for(50ms);
      if (ended) continue;
      s.close();
      run_for(10ms);
      return true;
    }
    return false;
  }
  void run() {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!error && std::chrono::steady_clock::now() < end) run_for(5ms);
  }

  Loop loop;
  boost::asio::io_context& context = loop.context();
  std::list<tcp::socket> queued;
  std::optional<IoError> error;
  bool connected = false;
};

TEST_F(DialerTest, an_address_that_swallows_everything_does_not_take_the_others_time) {
  tcp::acceptor full(context), live(context, local());
  ASSERT_TRUE(swallow(full)) << "this kernel answers although the queue is full";
  const auto dialer = make(seconds(2));
  dialer->dial({address(full), address(full), address(live)});  // for a minute or two each, if nobody ended it
  run();
  EXPECT_TRUE(connected);
}

TEST_F(DialerTest, the_last_address_says_what_became_of_it) {
  tcp::acceptor gone(context, local());
  const auto nobody = address(gone);
  gone.close();
  const auto dialer = make();
  dialer->dial({nobody, nobody});
  run();
  EXPECT_EQ(error, IoError::refused);
}

TEST_F(DialerTest, names_and_numbers) {
  tcp::acceptor live(context, local());
  for (const char* host : {"127.0.0.1", "localhost"}) {
    error.reset(), connected = false;
    const auto dialer = make();
    dialer->dial(host, live.local_endpoint().port());
    run();
    EXPECT_TRUE(connected) << host;
  }
}

// A name that nobody waits for any more holds up no other.
TEST_F(DialerTest, one_that_is_dropped_tells_nothing) {
  tcp::acceptor live(context, local());
  for (int i = 0; i < 100; ++i) make()->dial("a-name-that-is-not.invalid", 9);
  make()->dial("127.0.0.1", live.local_endpoint().port());
  const auto dialer = make();
  dialer->dial("localhost", live.local_endpoint().port());
  run();
  EXPECT_TRUE(connected);
}

TEST(DialerRules, shares) {
  EXPECT_GT(Dialer::share(seconds(8), 1), seconds(3600));
  EXPECT_EQ(Dialer::share(seconds(8), 2), seconds(4));
  EXPECT_EQ(Dialer::share(seconds(8), 8), seconds(1));
  EXPECT_EQ(Dialer::share(seconds(8), 100), Dialer::kShareLeast);
  EXPECT_EQ(Dialer::share(Duration{-1}, 2), Dialer::kShareLeast);
}

}  // namespace
}  // namespace klamm::server
