// klamm._engine: the two kinds of cluster and the verbs of their client hosts. The words that people use are Python,
// in klamm/cluster.py.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/live_cluster.h"
#include "bindings/messages.h"
#include "bindings/sim_cluster.h"
#include "sim/run.h"

namespace py = pybind11;
using namespace klamm;
using namespace klamm::bindings;

namespace {

Duration seconds_of(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) throw std::invalid_argument("a time between 0 and 1e9 seconds, please");
  return nanoseconds(static_cast<int64_t>(seconds * 1e9));
}

py::object to_python(const Text& text) { return text ? py::object(py::bytes(*text)) : py::object(py::none()); }

py::dict to_python(const std::string& topic, const Record& r) {
  py::list headers;
  for (const auto& [key, value] : r.headers) headers.append(py::make_tuple(key, to_python(value)));
  using py::arg;
  return py::dict(arg("topic") = topic, arg("partition") = r.partition, arg("offset") = r.offset,
                  arg("timestamp") = r.timestamp, arg("key") = to_python(r.key), arg("value") = to_python(r.value),
                  arg("headers") = headers);
}

std::string error_name(ErrorCode error) { return std::string(name(error)); }

// ---- asking

uint64_t create_topic(AnyCluster& c, const std::string& topic, int32_t partitions, int16_t replicas,
                      const std::map<std::string, std::string>& config) {
  client::NewTopic t{topic, partitions, replicas, {}, {}};
  for (const auto& [key, value] : config) t.configs.push_back({key, value});
  return c.ask("create_topics", client::pack(client::CreateTopics{{t}}), 1);
}

uint64_t delete_topic(AnyCluster& c, const std::string& topic) {
  return c.ask("delete_topics", client::pack(client::DeleteTopics{{topic}}), 1);
}

uint64_t produce(AnyCluster& c, uint32_t client, const std::string& topic, int32_t partition,
                 const std::vector<std::pair<Text, Text>>& key_values) {
  std::vector<Record> records;
  for (const auto& [key, value] : key_values) {
    Record& r = records.emplace_back();
    r.timestamp = -1;
    r.key = key;
    r.value = value;
  }
  return c.ask("produce", pack_produce(client, topic, partition, records), records.size());
}

uint64_t open_consumer(AnyCluster& c, uint32_t client, const std::string& group, bool latest) {
  client::ConsumerOpen open;
  open.client = client;
  open.group = group;
  open.reset = latest ? client::Reset::latest : client::Reset::earliest;
  open.session_timeout_ms = 6'000;
  open.heartbeat_ms = 1'000;
  open.auto_commit_ms = 0;
  return c.ask("consumer.open", client::pack(open), 1);
}

uint64_t assign(AnyCluster& c, uint32_t client, const std::string& topic,
                const std::vector<std::pair<int32_t, int64_t>>& from) {
  client::Assign a;
  a.client = client;
  for (const auto& [partition, offset] : from) a.partitions.push_back({{topic, partition}, offset});
  return c.ask("assign", client::pack(a), 1);
}

// ---- answers

py::tuple topic_result(const std::string& bytes) {  // error, message, id
  const auto r = read_answer<client::TopicResults>(bytes);
  if (r.error != ErrorCode::none || r.topics.empty()) return py::make_tuple(error_name(r.error), "", "");
  return py::make_tuple(error_name(r.topics[0].error), r.topics[0].message, r.topics[0].id.text());
}

py::tuple produced(const std::string& bytes) {  // error, maybe written, partition, offset
  const auto p = read_answer<client::Produced>(bytes);
  return py::make_tuple(error_name(p.error), p.maybe_written, p.partition, p.offset);
}

py::dict consumer_event(const std::string& bytes) {
  static constexpr const char* kKinds[] = {"opened", "records", "assigned", "revoked", "error", "closed"};
  const auto e = read_answer<client::ConsumerEvent>(bytes);
  py::list records, partitions;
  for (const Record& r : records_of(e)) records.append(to_python(e.partition.topic, r));
  for (const auto& tp : e.partitions) partitions.append(py::make_tuple(tp.topic, tp.partition));
  using py::arg;
  return py::dict(arg("kind") = kKinds[static_cast<size_t>(e.kind)], arg("error") = error_name(e.error),
                  arg("partition") = e.partition.partition, arg("next") = e.next, arg("records") = records,
                  arg("partitions") = partitions, arg("generation") = e.generation);
}

py::dict description(const std::string& bytes) {
  const auto d = read_answer<client::Description>(bytes);
  using py::arg;
  py::dict topics;
  for (const auto& t : d.topics) {
    py::list partitions;
    for (const auto& p : t.partitions)
      partitions.append(py::dict(arg("leader") = p.leader, arg("leader_epoch") = p.leader_epoch,
                                 arg("replicas") = p.replicas, arg("isr") = p.isr));
    topics[py::str(t.name)] =
        py::dict(arg("id") = t.id.text(), arg("error") = error_name(t.error), arg("partitions") = partitions);
  }
  py::dict brokers;
  for (const auto& b : d.brokers) brokers[py::int_(b.id)] = b.host + ":" + std::to_string(b.port);
  return py::dict(arg("error") = error_name(d.error), arg("controller") = d.controller, arg("brokers") = brokers,
                  arg("topics") = topics);
}

py::list log_of(AnyCluster& c, int node, const std::string& topic, int32_t partition) {
  py::list out;
  for (const LogBatch& b : read_segments(c.segments(node, topic, partition))) {
    py::list records;
    for (const auto& [key, value] : b.records) records.append(py::make_tuple(py::bytes(key), py::bytes(value)));
    using py::arg;
    out.append(py::dict(arg("base_offset") = b.base_offset, arg("last_offset") = b.last_offset,
                        arg("leader_epoch") = b.leader_epoch, arg("records") = records));
  }
  return out;
}

py::dict run_seed(uint64_t seed, bool faults, double seconds) {
  sim::RunOptions o;
  o.seed = seed;
  o.faults = faults;
  o.faults_ns = seconds_of(seconds).ns;
  sim::RunResult r;
  {
    const py::gil_scoped_release free;
    r = sim::run_seed(o);
  }
  using py::arg;
  return py::dict(arg("seed") = seed, arg("digest") = r.digest, arg("ok") = r.ok, arg("violation") = r.violation(),
                  arg("simulated_ms") = r.simulated_ns / 1'000'000, arg("events") = r.events,
                  arg("acknowledged") = r.acked);
}

// What takes real time lets other Python threads run. A simulated world keeps the lock: its family is touched by one
// thread at a time.
template<class F>
auto taking_time(AnyCluster& c, F f) {
  if (dynamic_cast<SimCluster*>(&c)) return f();
  const py::gil_scoped_release free;
  return f();
}

}  // namespace

PYBIND11_MODULE(_engine, m) {
  using py::arg;
  py::register_exception<ClusterFailure>(m, "ClusterFailure", PyExc_RuntimeError);
  py::register_exception<AssertionFailure>(m, "AssertionFailure", PyExc_AssertionError);

  py::class_<AnyCluster>(m, "AnyCluster")
      .def("take",
           [](AnyCluster& c, uint64_t token) {
             py::list out;
             for (const std::string& s : c.take(token)) out.append(py::bytes(s));
             return out;
           })
      .def("wait", [](AnyCluster& c, uint64_t token,
                      double seconds) { return taking_time(c, [&] { return c.wait(token, seconds_of(seconds)); }); })
      .def("run_for", [](AnyCluster& c, double seconds) { taking_time(c, [&] { c.run_for(seconds_of(seconds)); }); })
      .def("now", [](const AnyCluster& c) { return static_cast<double>(c.now().ns) / 1e9; })
      .def("nodes", &AnyCluster::nodes)
      .def("alive", &AnyCluster::alive)
      .def("kill", [](AnyCluster& c, int node) { taking_time(c, [&] { c.kill(node); }); })
      .def("restart", [](AnyCluster& c, int node) { taking_time(c, [&] { c.restart(node); }); })
      .def("partition", &AnyCluster::partition)
      .def("heal", &AnyCluster::heal)
      .def("log", &log_of)
      .def("create_topic", &create_topic)
      .def("delete_topic", &delete_topic)
      .def("describe",
           [](AnyCluster& c, int node) {
             return c.ask("describe", client::pack(client::Describe{std::nullopt, node < 0 ? 30'000 : 1'000, node}), 1);
           })
      .def("offset",
           [](AnyCluster& c, const std::string& topic, int32_t partition, int64_t at) {
             return c.ask("offset", client::pack(client::OffsetAt{{topic, partition}, at}), 1);
           })
      .def("open_producer",
           [](AnyCluster& c, uint32_t client) {
             client::ProducerOpen open;
             open.client = client;
             return c.ask("producer.open", client::pack(open), 1);
           })
      .def("produce", &produce)
      .def("open_consumer", &open_consumer)
      .def("assign", &assign)
      .def("subscribe",
           [](AnyCluster& c, uint32_t client, const std::string& topic) {
             return c.ask("subscribe", client::pack(client::Subscribe{client, {topic}}), 1);
           })
      .def("ask_client", [](AnyCluster& c, const std::string& verb, uint32_t client) {
        return c.ask(verb, client::pack(client::ClientRef{client}), 1);
      });

  py::class_<SimCluster, AnyCluster>(m, "SimCluster")
      .def(py::init([](uint64_t seed, int brokers, std::map<std::string, std::string> config,
                       std::vector<std::string> flaws) {
             return std::make_unique<SimCluster>(SimOptions{seed, brokers, std::move(config), std::move(flaws)});
           }),
           arg("seed"), arg("brokers"), arg("config"), arg("flaws"))
      .def("fork", &SimCluster::fork)
      .def("digest", &SimCluster::digest)
      .def("events", &SimCluster::events)
      .def("lose_power", &SimCluster::lose_power)
      .def("violations", &SimCluster::violations)
      .def("state_text", &SimCluster::state_text);

  py::class_<LiveCluster, AnyCluster>(m, "LiveCluster")
      .def(py::init([](int brokers, std::string dir, std::vector<std::string> config) {
             const py::gil_scoped_release free;
             return std::make_unique<LiveCluster>(LiveOptions{brokers, std::move(dir), std::move(config)});
           }),
           arg("brokers"), arg("dir"), arg("config"))
      .def("brokers", &LiveCluster::brokers)
      .def("close", &LiveCluster::close, py::call_guard<py::gil_scoped_release>());

  m.def("topic_result", &topic_result);
  m.def("produced", &produced);
  m.def("consumer_event", &consumer_event);
  m.def("description", &description);
  m.def("done", [](const std::string& bytes) { return error_name(read_answer<client::Done>(bytes).error); });
  m.def("offset_result", [](const std::string& bytes) {
    const auto r = read_answer<client::OffsetResult>(bytes);
    return py::make_tuple(error_name(r.error), r.offset, r.leader_epoch);
  });
  m.def("run_seed", &run_seed, arg("seed"), arg("faults"), arg("seconds"));
}
