// The driver with the echo machine: real sockets, a real directory.
#include "server/driver.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <filesystem>
#include <numeric>
#include <thread>

#include "server/node_host.h"
#include "tests/support/echo.h"

namespace klamm::server {
namespace {

class TemporaryDirectory final {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "klamm-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

HostOptions echo_options(const std::string& directory) {
  HostOptions o;
  o.boot.boot.directories = {directory};
  o.boot.sockets.push_back(bind_socket({"127.0.0.1", 0}));
  o.boot.boot.listeners.push_back({"PLAINTEXT", "127.0.0.1", o.boot.sockets[0].address.port, "", 0});
  o.make = [](const Boot& b) { return std::make_unique<EchoMachine>(b); };
  o.log.least = LogLevel::error;
  return o;
}

// A blocking peer. Connects as soon as the machine listens.
class Peer final {
 public:
  explicit Peer(uint16_t port) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 2000; ++i) {
      socket_ = Descriptor(::socket(AF_INET, SOCK_STREAM, 0));
      if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ADD_FAILURE() << "nobody listens";
  }
  uint16_t port() const {
    sockaddr_in own{};
    socklen_t size = sizeof own;
    EXPECT_EQ(getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&own), &size), 0);
    return ntohs(own.sin_port);
  }
  void send(const std::string& text) {
    for (size_t at = 0; at < text.size();) {
      const ssize_t n = ::send(socket_.get(), text.data() + at, text.size() - at, MSG_NOSIGNAL);
      ASSERT_GT(n, 0);
      at += static_cast<size_t>(n);
    }
  }
  void try_send(const std::string& text) { (void)!::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL); }
  std::string receive(size_t size) {
    std::string out(size, '\0');
    for (size_t at = 0; at < size;) {
      const ssize_t n = ::recv(socket_.get(), out.data() + at, size - at, 0);
      if (n <= 0) return out.substr(0, at);
      at += static_cast<size_t>(n);
    }
    return out;
  }

 private:
  Descriptor socket_;
};

std::string file_text(const std::string& path) { return load_file(path, 1 << 30).bytes; }

// Asks its driver for an address and ends with it.
class Asker final : public Machine {
 public:
  void turn(Ctx&, std::span<const Event> events, Commands& out) override {
    if (!std::exchange(asked_, true)) out.push_back(Answered{0, false, Slice::copy("resolve 127.1")});
    for (const Event& e : events)
      if (const auto* x = std::get_if<Asked>(&e); x && x->verb == "resolved")
        out.push_back(Exit{0, std::string(x->bytes.text())});
  }
  Instant next_deadline() const override { return asked_ ? kNever : Instant{0}; }
  std::unique_ptr<Machine> clone() const override { return std::make_unique<Asker>(*this); }
  void fields(Visitor&) const override {}

 private:
  bool asked_ = false;
};

TEST(Driver, looks_up_names) {
  const TemporaryDirectory dir;
  HostOptions o = echo_options(dir.path());
  o.make = [](const Boot&) { return std::make_unique<Asker>(); };
  NodeHost host(std::move(o));
  EXPECT_EQ(host.join().reason, "127.1 127.0.0.1");
}

TEST(Driver, echoes_what_is_on_disk) {
  const TemporaryDirectory dir;
  NodeHost host(echo_options(dir.path()));
  Peer a(host.port()), b(host.port());
  a.send("hello");
  EXPECT_EQ(a.receive(5), "hello");
  b.send("world");
  EXPECT_EQ(b.receive(5), "world");
  EXPECT_EQ(host.stop().code, 0);
  EXPECT_EQ(file_text(dir.path() + "/echo/data.log"), "helloworld");
}

TEST(Driver, carries_more_than_buffers_hold) {
  const TemporaryDirectory dir;
  NodeHost host(echo_options(dir.path()));
  Peer peer(host.port());
  std::string text(8 << 20, '\0');
  std::iota(text.begin(), text.end(), '\0');
  std::thread sender([&] { peer.send(text); });
  EXPECT_EQ(peer.receive(text.size()), text);
  sender.join();
  EXPECT_EQ(host.stop().code, 0);
  EXPECT_EQ(file_text(dir.path() + "/echo/data.log"), text);
}

// A peer whose bytes come back from the file, and who does not read them yet.
struct SlowReader {
  explicit SlowReader(size_t size) : text(size, '\0'), host(region_options(dir.path())), peer(host.port()) {
    std::iota(text.begin(), text.end(), '\0');
    peer.send(text);
    await([&] { return std::filesystem::file_size(file) == text.size(); });
  }
  static HostOptions region_options(const std::string& directory) {
    HostOptions o = echo_options(directory);
    o.boot.boot.properties["echo.regions"] = "true";
    return o;
  }
  template<class Condition>
  static void await(Condition condition) {
    // A minute only ends a run that would never end.
    for (int i = 0; i < 60'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_TRUE(condition());
  }
  void ask(const std::string& verb) {
    host.ask(verb, "", [](bool, const std::string&) {});
  }
  const TemporaryDirectory dir;
  const std::string file = dir.path() + "/echo/data.log";
  std::string text;
  NodeHost host;
  Peer peer;
};

TEST(Driver, regions_of_files_arrive_whole) {
  SlowReader r(32 << 20);
  EXPECT_EQ(r.peer.receive(r.text.size()), r.text);
  r.peer.send("and more");
  EXPECT_EQ(r.peer.receive(8), "and more");
  EXPECT_EQ(r.host.stop().code, 0);
}

TEST(Driver, a_removed_file_goes_when_its_regions_have_left) {
  SlowReader r(32 << 20);
  r.ask("drop");
  SlowReader::await([&] { return !std::filesystem::exists(r.file); });
  EXPECT_EQ(r.peer.receive(r.text.size()), r.text);
  EXPECT_EQ(r.host.stop().code, 0);
}

TEST(Driver, a_truncation_ends_who_has_still_to_be_sent_what_it_cuts_off) {
  SlowReader r(32 << 20);
  Peer other(r.host.port());
  r.ask("cut");
  SlowReader::await([&] { return std::filesystem::file_size(r.file) == 0; });
  const std::string some = r.peer.receive(r.text.size());
  EXPECT_LT(some.size(), r.text.size());
  EXPECT_EQ(some, r.text.substr(0, some.size()));
  other.send("x");
  EXPECT_EQ(other.receive(1), "x");
  EXPECT_EQ(r.host.stop().code, 0);
}

TEST(Driver, who_leaves_in_the_middle_of_a_region_is_forgotten) {
  SlowReader r(32 << 20);
  for (int i = 0; i < 20; ++i) Peer(r.host.port()).send(r.text.substr(0, 1 << 20));
  EXPECT_EQ(r.peer.receive(100), r.text.substr(0, 100));
  EXPECT_EQ(r.host.stop().code, 0);
}

// Only so a connection whose peer vanished without a word ends some day.
TEST(Driver, connections_are_kept_alive) {
  const TemporaryDirectory dir;
  NodeHost host(echo_options(dir.path()));
  Peer peer(host.port());
  peer.send("x");
  EXPECT_EQ(peer.receive(1), "x");
  int found = 0;
  for (int fd = 0; fd < 1024; ++fd) {  // the host's end is a descriptor of this process, too
    sockaddr_in other{};
    socklen_t size = sizeof other;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&other), &size) != 0 || ntohs(other.sin_port) != peer.port())
      continue;
    int kept = 0;
    socklen_t kept_size = sizeof kept;
    EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &kept, &kept_size), 0);
    EXPECT_EQ(kept, 1);
    ++found;
  }
  EXPECT_EQ(found, 1);
}

// As where files were opened first: what counts is how many connections there are, not their descriptors' numbers.
TEST(Driver, many_open_files_shut_no_connection_out) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit usual{1024, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &usual), 0);
  {
    std::vector<Descriptor> files;
    for (int i = 0; i < 600; ++i) files.emplace_back(::dup(2));
    const TemporaryDirectory dir;
    NodeHost host(echo_options(dir.path()));
    Peer peer(host.port());
    peer.send("x");
    EXPECT_EQ(peer.receive(1), "x");
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST(Driver, connections_beyond_its_share_are_turned_away_and_told_once) {
  const TemporaryDirectory dir;
  HostOptions o = echo_options(dir.path());
  const Opened log = open_file(dir.path() + "/log", OpenMode::create);
  o.log.descriptor = log.descriptor.get();
  o.log.least = LogLevel::warn;
  o.descriptors = 4;  // half of them for files
  NodeHost host(std::move(o));
  auto first = std::make_unique<Peer>(host.port());
  Peer second(host.port());
  for (Peer* p : {first.get(), &second}) {
    p->send("x");
    EXPECT_EQ(p->receive(1), "x");
  }
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Peer(host.port()).receive(1), "");
  first.reset();
  for (std::string got; got.empty();) {  // once its end is known there is room again
    Peer next(host.port());
    next.try_send("y");
    got = next.receive(1);
  }
  EXPECT_EQ(host.stop().code, 0);
  const std::string told = file_text(dir.path() + "/log");
  EXPECT_NE(told.find("More than 2 connections"), told.npos);
  EXPECT_EQ(told.find("More than 2 connections"), told.rfind("More than 2 connections"));
}

// As Kafka, which asks for the address of what is named there.
TEST(NodeHost, connection_overrides_may_be_names) {
  const TemporaryDirectory dir;
  metadata::Properties p{{"process.roles", "broker,controller"},
                         {"node.id", "1"},
                         {"listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"},
                         {"controller.listener.names", "CONTROLLER"},
                         {"controller.quorum.voters", "1@127.0.0.1:9093"},
                         {"log.dirs", dir.path()}};
  const std::string key = "max.connections.per.ip.overrides";
  p[key] = "localhost:5, 0:0:0:0:0:0:0:2:6, ::ffff:127.0.0.3:7";
  NodeBoot boot = prepare_boot(p);
  EXPECT_EQ(boot.problems, std::vector<std::string>());
  EXPECT_EQ(boot.boot.properties[key], "::2:6,127.0.0.3:7,127.0.0.1:5");
  p[key] = "no.such.host.invalid:5";
  EXPECT_EQ(prepare_boot(p).problems,
            std::vector<std::string>{key + "=no.such.host.invalid: no address is known for it"});
}

TEST(Driver, peers_may_leave_at_any_time) {
  const TemporaryDirectory dir;
  NodeHost host(echo_options(dir.path()));
  for (int i = 0; i < 50; ++i) Peer(host.port()).send("bye");
  Peer peer(host.port());
  peer.send("x");
  EXPECT_EQ(peer.receive(1), "x");
  EXPECT_EQ(host.stop().code, 0);
}

TEST(Driver, killed_node_is_gone_and_its_port_free) {
  const TemporaryDirectory dir;
  HostOptions o = echo_options(dir.path());
  auto host = std::make_unique<NodeHost>(std::move(o));
  const uint16_t port = host->port();
  Peer peer(port);
  peer.send("x");
  EXPECT_EQ(peer.receive(1), "x");
  host->kill();
  EXPECT_EQ(peer.receive(1), "");
  host.reset();
  EXPECT_EQ(bind_socket({"127.0.0.1", port}).error, "");
}

TEST(Driver, failed_assertion_prints_trace_and_aborts) {
  class Broken final : public Machine {
    void turn(Ctx& ctx, std::span<const Event>, Commands&) override {
      ctx.trace.event({TraceKind::raft_role, 0, 7});
      KLAMM_ASSERT(!"the sky is up");
    }
    Instant next_deadline() const override { return Instant{0}; }
    std::unique_ptr<Machine> clone() const override { return nullptr; }
    void fields(Visitor&) const override {}
  };
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    HostOptions o;
    o.make = [](const Boot&) { return std::make_unique<Broken>(); };
    o.log.descriptor = 2;
    NodeHost(std::move(o)).join();
  };
  EXPECT_DEATH(run(), "the sky is up[^~]*raft_role a=7");
}

// A host that shares its process with others ends alone, and says why.
class Doomed final : public Machine {
 public:
  void turn(Ctx&, std::span<const Event>, Commands&) override { KLAMM_ASSERT(false); }
  Instant next_deadline() const override { return Instant{0}; }
  std::unique_ptr<Machine> clone() const override { return std::make_unique<Doomed>(*this); }
  void fields(Visitor&) const override {}
};

TEST(NodeHost, failed_assertion_ends_only_its_host_where_that_is_asked_for) {
  TemporaryDirectory directory;
  HostOptions o = echo_options(directory.path());
  o.make = [](const Boot&) { return std::make_unique<Doomed>(); };
  const Opened log = open_file(directory.path() + "/log", OpenMode::create);
  o.log.descriptor = log.descriptor.get();
  o.abort_on_assertion = false;
  std::optional<int> told;
  o.on_ended = [&](const DriverEnd& end) { told = end.code; };
  NodeHost host(std::move(o));
  EXPECT_FALSE(host.wait_ready(seconds(5)));
  const DriverEnd end = host.join();
  EXPECT_EQ(end.code, kAsserted);
  EXPECT_NE(end.reason.find("driver_test.cc"), std::string::npos);
  EXPECT_EQ(told, kAsserted);
}

}  // namespace
}  // namespace klamm::server
