#include "bindings/live_cluster.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/broker/node.h"
#include "engine/client/host.h"
#include "server/clock.h"
#include "server/signals.h"

namespace klamm::bindings {

namespace {

server::ClusterPlan::Options plan_options(const LiveOptions& o) {
  if (o.brokers < 1 || o.brokers > 32) throw std::invalid_argument("brokers must be between 1 and 32");
  return {o.brokers, o.dir, o.config};
}

std::string join(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& l : lines) out += (out.empty() ? "" : "; ") + l;
  return out;
}

}  // namespace

LiveCluster::LiveCluster(const LiveOptions& options)
    : plan_(plan_options(options)), began_(server::monotonic_now()), log_(server::LogLines::Options{}) {
  if (!plan_.problems.empty()) throw ClusterFailure(join(plan_.problems));
  server::raise_descriptor_limit();
  nodes_.resize(plan_.nodes.size());
  log_files_.resize(plan_.nodes.size());
  for (size_t i = 0; i < nodes_.size(); ++i) start(i);
  for (size_t i = 0; i < nodes_.size(); ++i) await_ready(i);
  start_clients();
}

LiveCluster::~LiveCluster() { close(); }

void LiveCluster::close() {
  if (clients_) {
    clients_->kill();
    thread_.join();
    clients_.reset();
  }
  for (auto& n : nodes_)
    if (n) n->ask_to_stop();
  for (auto& n : nodes_) {
    if (n) n->stop();
    n.reset();
  }
}

void LiveCluster::start(size_t i) {
  server::HostOptions o;
  o.boot = server::prepare_boot(plan_.nodes[i].properties);
  if (!o.boot.problems.empty()) throw ClusterFailure(join(o.boot.problems));
  o.make = [](const Boot& boot) { return broker::make_node(boot); };
  server::Opened file = server::open_file(plan_.nodes[i].log_file, OpenMode::create);
  if (file.error != IoError::none) throw ClusterFailure(plan_.nodes[i].log_file + " cannot be written");
  log_files_[i] = std::move(file.descriptor);
  o.log.descriptor = log_files_[i].get();
  o.log.name = "Broker id=" + std::to_string(i + 1);
  o.abort_on_assertion = false;
  o.descriptors = server::descriptor_share(nodes_.size() + 1);  // and the clients
  o.on_ended = [this, i](const server::DriverEnd& end) { ended(i, end); };
  nodes_[i] = std::make_unique<server::NodeHost>(std::move(o));
}

void LiveCluster::await_ready(size_t i) {
  if (!nodes_[i]->wait_ready(kReady))
    throw ClusterFailure("node " + std::to_string(i + 1) + " is not ready; see " + plan_.nodes[i].log_file);
}

void LiveCluster::start_clients() {
  server::DriverOptions o;
  o.boot = server::client_boot({{"bootstrap.servers", plan_.brokers()}, {"client.id", "klamm-python"}});
  o.make = [](const Boot& boot) { return client::make_host(boot); };
  o.log = &log_;
  o.answered = [this](uint64_t token, bool, std::string bytes) { answered(token, std::move(bytes)); };
  o.abort_on_assertion = false;
  o.descriptors = server::descriptor_share(nodes_.size() + 1);
  clients_ = std::make_unique<server::Driver>(std::move(o));
  thread_ = std::thread([this] {
    const server::DriverEnd end = clients_->run();
    if (end.code == server::kAsserted) ended(nodes_.size(), end);
  });
}

void LiveCluster::answered(uint64_t token, std::string bytes) {
  const std::lock_guard lock(mutex_);
  answers_[token].push_back(std::move(bytes));
  changed_.notify_all();
}

void LiveCluster::ended(size_t i, const server::DriverEnd& end) {
  if (end.code != server::kAsserted) return;
  const std::lock_guard lock(mutex_);
  died_.insert(i);
  failure_ = (i < nodes_.size() ? "node " + std::to_string(i + 1) : "the clients' host") + " died: " + end.reason;
  changed_.notify_all();
}

void LiveCluster::check() {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw ClusterFailure(std::exchange(failure_, {}));
}

bool LiveCluster::alive(int node) const {
  const size_t i = index(node);
  const std::lock_guard lock(mutex_);
  return nodes_[i] && !died_.count(i);
}

uint64_t LiveCluster::ask(const std::string& verb, const Slice& bytes, uint64_t tokens) {
  if (!clients_) throw ClusterFailure("the cluster is closed");
  check();
  const uint64_t token = next_token_;
  next_token_ += tokens;
  clients_->ask(token, verb, std::string(bytes.text()));
  return token;
}

std::vector<std::string> LiveCluster::take(uint64_t token) {
  const std::lock_guard lock(mutex_);
  const auto it = answers_.find(token);
  if (it == answers_.end()) return {};
  std::vector<std::string> out = std::move(it->second);
  answers_.erase(it);
  return out;
}

bool LiveCluster::wait(uint64_t token, Duration at_most) {
  {
    std::unique_lock lock(mutex_);
    const auto told = [&] { return answers_.count(token) > 0 || !failure_.empty(); };
    changed_.wait_for(lock, std::chrono::nanoseconds(at_most.ns), told);
    if (answers_.count(token) > 0) return true;
  }
  check();
  return false;
}

void LiveCluster::run_for(Duration time) {
  std::this_thread::sleep_for(std::chrono::nanoseconds(time.ns));
  check();
}

Duration LiveCluster::now() const { return server::monotonic_now() - began_; }

size_t LiveCluster::index(int node) const {
  if (node < 1 || static_cast<size_t>(node) > nodes_.size())
    throw std::invalid_argument("there is no node " + std::to_string(node));
  return static_cast<size_t>(node) - 1;
}

void LiveCluster::kill(int node) {
  if (!alive(node)) throw std::invalid_argument("node " + std::to_string(node) + " is down already");
  nodes_[index(node)]->kill();
  nodes_[index(node)].reset();
}

void LiveCluster::restart(int node) {
  if (alive(node)) throw std::invalid_argument("node " + std::to_string(node) + " is running");
  nodes_[index(node)].reset();  // one that died of itself
  {
    const std::lock_guard lock(mutex_);
    died_.erase(index(node));
  }
  start(index(node));
  for (const auto& [a, b] : cuts_)  // a new process knows of no cut
    if (a == node || b == node) block(node, a == node ? b : a, true);
  await_ready(index(node));
}

void LiveCluster::partition(const std::vector<int>& side, const std::vector<int>& other) {
  for (const int a : side)
    for (const int b : other)
      if (a != b && cuts_.insert({std::min(a, b), std::max(a, b)}).second) cut(a, b, true);
}

void LiveCluster::heal() {
  for (const auto& [a, b] : std::exchange(cuts_, {})) cut(a, b, false);
}

// A link is made of what either end has dialed to the other.
void LiveCluster::cut(int a, int b, bool on) {
  block(a, b, on);
  block(b, a, on);
}

void LiveCluster::block(int from, int to, bool on) {
  server::NodeHost* node = nodes_[index(from)].get();
  const server::PlannedNode& peer = plan_.nodes[index(to)];
  if (!node) return;
  node->block(peer.port, on);
  if (peer.controller_port != 0) node->block(peer.controller_port, on);
}

std::vector<Slice> LiveCluster::segments(int node, const std::string& topic, int32_t partition) {
  namespace fs = std::filesystem;
  const fs::path dir = fs::path(plan_.nodes[index(node)].dir) / (topic + "-" + std::to_string(partition));
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& e : fs::directory_iterator(dir, error))
    if (e.path().extension() == ".log") files.push_back(e.path());
  std::sort(files.begin(), files.end());
  std::vector<Slice> out;
  for (const fs::path& f : files) {
    std::ifstream in(f, std::ios::binary);
    out.push_back(Slice::copy(std::string(std::istreambuf_iterator<char>(in), {})));
  }
  return out;
}

}  // namespace klamm::bindings
