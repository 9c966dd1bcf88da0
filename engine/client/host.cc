#include "engine/client/host.h"

#include <charconv>

namespace klamm::client {

namespace {

// "host:port, [v6]:port". What is not of that form is left out.
std::vector<net::Calls::Address> parse_servers(std::string_view text) {
  std::vector<net::Calls::Address> out;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    std::string_view one = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
    while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
    const size_t colon = one.rfind(':');
    if (colon == std::string_view::npos) continue;
    std::string_view host = one.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    uint16_t port = 0;
    const auto parsed = std::from_chars(one.data() + colon + 1, one.data() + one.size(), port);
    if (parsed.ec == std::errc() && parsed.ptr == one.data() + one.size() && port != 0)
      out.push_back({std::string(host), port});
  }
  return out;
}

int64_t number(const Boot& boot, const char* key, int64_t otherwise) {
  const auto it = boot.properties.find(key);
  if (it == boot.properties.end()) return otherwise;
  int64_t value = 0;
  const char* const end = it->second.data() + it->second.size();
  const auto parsed = std::from_chars(it->second.data(), end, value);
  return parsed.ec == std::errc() && parsed.ptr == end && value >= 0 ? value : otherwise;
}

std::string text(const Boot& boot, const char* key, const char* otherwise) {
  const auto it = boot.properties.find(key);
  return it == boot.properties.end() ? otherwise : it->second;
}

constexpr size_t kTextMax = 10'000;  // group ids and the like: what every request can carry

}  // namespace

Host::Options Host::read_options(const Boot& boot) {
  Options o;
  o.client_id = text(boot, "client.id", "klamm").substr(0, 1000);
  o.retry_backoff = milliseconds(number(boot, "retry.backoff.ms", 100));
  o.request_timeout = milliseconds(number(boot, "request.timeout.ms", 30'000));
  o.calls.reconnect_first = milliseconds(std::max<int64_t>(1, number(boot, "reconnect.backoff.ms", 1)));
  o.calls.reconnect_max = milliseconds(std::max<int64_t>(1, number(boot, "reconnect.backoff.max.ms", 1000)));
  o.cluster.bootstrap = parse_servers(text(boot, "bootstrap.servers", ""));
  o.cluster.request_timeout = o.request_timeout;
  o.cluster.retry_backoff = o.retry_backoff;
  o.cluster.max_age = milliseconds(number(boot, "metadata.max.age.ms", 300'000));
  o.cluster.create_topics = text(boot, "allow.auto.create.topics", "false") == "true";
  return o;
}

Host::Host(const Boot& boot) : Host(read_options(boot)) {}

Host::Host(const Options& options)
    : options_(options),
      calls_(options.calls),
      cluster_(options.cluster),
      admin_(options.request_timeout, options.retry_backoff) {}

void Host::turn(Ctx& ctx, std::span<const Event> events, Commands& out) {
  std::vector<net::Answer> answers;
  Io io{ctx, out, ops_};
  Turn turn{{io, conns_}, calls_, cluster_, options_.client_id, answers};
  if (!std::exchange(started_, true)) cluster_.start(turn);
  calls_.on_time(turn.net, answers);
  for (const Event& e : events) {
    if (const auto* x = std::get_if<Asked>(&e))
      asked(turn, *x);
    else
      calls_.on_event(turn.net, e, answers);
  }
  pump(turn);
}

// Until nothing is left that one part has done to another.
void Host::pump(Turn& turn) {
  if (!cluster_.usable()) return;
  do {
    hand_out(turn);
    const bool all = std::exchange(seen_generation_, cluster_.generation()) != cluster_.generation();
    admin_.pump(turn);
    for (auto it = clients_.begin(); it != clients_.end();) {
      const auto& [number, c] = *it;
      ++it;  // a consumer that has closed goes
      if (all || c.dirty || turn.now() >= c.next_deadline()) pump(turn, number);
    }
    cluster_.pump(turn);
  } while (!turn.answers.empty() || seen_generation_ != cluster_.generation());
}

void Host::pump(Turn& turn, uint32_t number) {
  Client& c = clients_.at(number);
  c.dirty = false;
  if (c.producer) c.producer->pump(turn);
  if (c.consumer) c.consumer->pump(turn);
  if (c.consumer && c.consumer->closed()) close(turn, number);
}

void Host::hand_out(Turn& turn) {
  while (!turn.answers.empty()) {
    const std::vector<net::Answer> batch = std::exchange(turn.answers, {});
    for (const net::Answer& a : batch) {
      const auto part = static_cast<Part>(a.owner.module);
      if (part == Part::cluster) cluster_.on_answer(turn, a);
      if (part == Part::admin) admin_.on_answer(turn, a);
      if (part != Part::producer && part != Part::consumer) continue;
      Client* c = find(client_of(a.owner.key));
      if (!c) continue;  // closed meanwhile
      c->dirty = true;
      if (part == Part::producer && c->producer) c->producer->on_answer(turn, a);
      if (part == Part::consumer && c->consumer) c->consumer->on_answer(turn, a);
    }
  }
}

Host::Client* Host::find(uint32_t number) {
  const auto it = clients_.find(number);
  return it == clients_.end() ? nullptr : &it->second;
}

void Host::asked(Turn& turn, const Asked& ask) {
  if (ask.verb == "stop") return turn.net.io.out.push_back(Exit{0, "asked"});
  const bool administrative = Admin::knows(ask.verb);
  const bool opening = ask.verb == "producer.open" || ask.verb == "consumer.open";
  const bool good = administrative ? admin_.ask(turn, ask.token, ask.verb, ask.bytes)
                    : opening      ? open(turn, ask)
                                   : asked_of_client(turn, ask);
  if (!good) turn.answer(ask.token, Done{ErrorCode::invalid_request, "not understood: " + ask.verb});
}

bool Host::open(Turn& turn, const Asked& ask) {
  const auto free = [&](uint32_t client) { return client >= 1 && client <= kClientMax && !find(client); };
  if (ask.verb == "producer.open") {
    ProducerOpen o;
    if (!unpack(ask.bytes, o) || !free(o.client)) return false;
    const bool acks = o.acks == -1 || (!o.idempotent && (o.acks == 0 || o.acks == 1));
    const bool sizes = o.in_flight >= 1 && o.in_flight <= 5 && o.batch_bytes >= 0 && o.linger_ms >= 0;
    if (!acks || !sizes || o.compression < 0 || o.compression > 4) return false;
    clients_[o.client].producer.emplace(o, ask.token, options_.retry_backoff);
    return true;
  }
  ConsumerOpen o;
  if (!unpack(ask.bytes, o) || !free(o.client)) return false;
  if (o.group.size() > kTextMax || o.instance.size() > kTextMax || o.heartbeat_ms < 1) return false;
  clients_[o.client].consumer.emplace(o, ask.token, options_.retry_backoff).start(turn);
  return true;
}

bool Host::asked_of_client(Turn& turn, const Asked& ask) {
  const auto names_fit = [](const auto& topics, auto name) {
    for (const auto& t : topics)
      if (name(t).size() > kTextMax) return false;
    return true;
  };
  if (ask.verb == "produce") {
    Produce p;
    if (!unpack(ask.bytes, p) || p.topic.size() > kTextMax) return false;
    Client* c = find(p.client);
    if (!c || !c->producer) return false;
    c->dirty = true;
    c->producer->produce(turn, ask.token, std::move(p));
    return true;
  }
  if (ask.verb == "assign" || ask.verb == "subscribe") {
    Assign a;
    Subscribe s;
    const bool assigning = ask.verb == "assign";
    if (assigning ? !unpack(ask.bytes, a) : !unpack(ask.bytes, s)) return false;
    if (!names_fit(a.partitions, [](const Assign::From& f) { return f.partition.topic; })) return false;
    if (!names_fit(s.topics, [](const std::string& t) { return t; })) return false;
    Client* c = find(assigning ? a.client : s.client);
    if (!c || !c->consumer) return false;
    c->dirty = true;
    assigning ? c->consumer->assign(turn, ask.token, a) : c->consumer->subscribe(turn, ask.token, s);
    return true;
  }
  ClientRef ref;
  if (!unpack(ask.bytes, ref)) return false;
  Client* c = find(ref.client);
  if (!c) return false;
  c->dirty = true;
  if (ask.verb == "close") {
    if (c->consumer) return c->consumer->close(turn, ask.token), true;
    close(turn, ref.client);
    turn.answer(ask.token, Done{});
    return true;
  }
  if (ask.verb == "flush" && c->producer) return c->producer->flush(turn, ask.token), true;
  if (!c->consumer) return false;
  if (ask.verb == "commit") return c->consumer->commit(turn, ask.token), true;
  if (ask.verb != "pause" && ask.verb != "resume") return false;
  c->consumer->pause(ask.verb == "pause");
  turn.answer(ask.token, Done{});
  return true;
}

void Host::close(Turn& turn, uint32_t number) {
  Client& c = clients_.at(number);
  if (c.producer) c.producer->close(turn);
  clients_.erase(number);
  calls_.forget_channel(turn.net, data_channel(number), turn.answers);
  calls_.forget_channel(turn.net, group_channel(number), turn.answers);
}

Instant Host::next_deadline() const {
  if (!started_) return Instant{0};
  Instant at = earlier(calls_.next_deadline(), earlier(cluster_.next_deadline(), admin_.next_deadline()));
  for (const auto& [number, c] : clients_) at = earlier(at, c.next_deadline());
  return at;
}

void Host::fields(Visitor& v) const {
  v("conns", conns_), v("calls", calls_), v("cluster", cluster_), v("admin", admin_), v("clients", clients_),
      v("seen_generation", seen_generation_), v("started", started_);
}

std::unique_ptr<Machine> make_host(const Boot& boot) { return std::make_unique<Host>(boot); }

}  // namespace klamm::client
