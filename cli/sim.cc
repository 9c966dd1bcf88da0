// klamm sim: runs seeds of the simulated cluster, or tells the story of one.
#include <malloc.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "sim/run.h"
#include "sim/story.h"

namespace klamm::cli {
namespace {

using Json = nlohmann::ordered_json;
using SteadyClock = std::chrono::steady_clock;

struct SimArguments {
  uint64_t first = 1, last = 0;
  uint64_t stride = 1;
  std::string seeds;
  std::string seed;
  int jobs = 1;
  bool json = false, trace = false, verbose = false, twice = false, list_flaws = false;
  std::vector<std::string> flaws;
  std::vector<std::string> config;
  sim::RunOptions run;
};

double ms_since(SteadyClock::time_point from) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - from).count();
}

std::string hex16(uint64_t v) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(v));
  return text;
}

int bad_usage(const std::string& what) {
  std::cerr << "klamm sim: " << what << "\n";
  return 2;
}

// ---- one seed

Json run_one(const SimArguments& a, uint64_t seed) {
  sim::RunOptions options = a.run;
  options.seed = seed;
  const auto begun = SteadyClock::now();
  sim::RunResult r = sim::run_seed(options);
  if (a.twice) {
    const sim::RunResult again = sim::run_seed(options);
    if (again.digest != r.digest) {
      r.ok = false;
      r.violations.insert(r.violations.begin(), {0, "determinism", "a second run gives digest " + hex16(again.digest)});
    }
  }
  Json fired = Json::object(), probes = Json::object();
  for (size_t i = 0; i < sim::kFaults; ++i)
    if (r.fired[i]) fired[std::string(sim::kFaultEntries[i].name)] = r.fired[i];
  static constexpr const char* kProbes[] = {
#define KLAMM_X(name) #name,
      KLAMM_PROBES(KLAMM_X)
#undef KLAMM_X
  };
  for (size_t i = 0; i < r.probes.size(); ++i)
    if (r.probes[i]) probes[kProbes[i]] = r.probes[i];
  Json rules = Json::array();
  for (const sim::Violation& v : r.violations)
    if (rules.empty() || rules.back() != v.rule) rules.push_back(v.rule);
  Json line = {{"seed", seed},
               {"digest", hex16(r.digest)},
               {"ok", r.ok},
               {"violation", r.ok ? Json(nullptr) : Json(r.violation())},
               {"rules", rules},
               {"simulated_ms", r.simulated_ns / 1'000'000},
               {"wall_ms", std::llround(ms_since(begun))},
               {"events", r.events},
               {"turns", r.turns},
               {"acknowledged", r.acked},
               {"lost", r.lost},
               {"promise", r.beyond_promise ? "beyond" : "within"},
               {"fired", fired},
               {"probes", probes}};
  if (options.fail_disk) line["disk_failed"] = r.disk_failed;
  return line;
}

// ---- many seeds

struct Totals {
  uint64_t seeds = 0, failed = 0, beyond = 0, events = 0, turns = 0, acknowledged = 0, lost = 0, lost_beyond = 0;
  int64_t simulated_ms = 0, busy_ms = 0;
  std::map<std::string, uint64_t> fired, probes;
  std::vector<uint64_t> failures;
};

void add(Totals& t, const Json& line) {
  ++t.seeds;
  t.events += line["events"].get<uint64_t>();
  t.turns += line["turns"].get<uint64_t>();
  t.acknowledged += line["acknowledged"].get<uint64_t>();
  t.lost += line["lost"].get<uint64_t>();
  if (line["promise"] == "beyond") ++t.beyond, t.lost_beyond += line["lost"].get<uint64_t>();
  t.simulated_ms += line["simulated_ms"].get<int64_t>();
  t.busy_ms += line["wall_ms"].get<int64_t>();
  for (const auto& [name, count] : line["fired"].items()) t.fired[name] += count.get<uint64_t>();
  for (const auto& [name, count] : line["probes"].items()) t.probes[name] += count.get<uint64_t>();
  if (line["ok"].get<bool>()) return;
  ++t.failed;
  t.failures.push_back(line["seed"].get<uint64_t>());
}

struct Worker {
  pid_t pid = -1;
  int out = -1;
  std::string partial;
};

uint64_t seeds_of(const SimArguments& a) { return (a.last - a.first) / a.stride + 1; }

Worker start_worker(const SimArguments& a, int index) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t pid = fork();
  if (pid != 0) {
    close(ends[1]);
    return {pid, ends[0], {}};
  }
  close(ends[0]);
  const uint64_t jobs = static_cast<uint64_t>(a.jobs);
  for (uint64_t i = static_cast<uint64_t>(index); i < seeds_of(a); i += jobs) {
    const uint64_t seed = a.first + i * a.stride;
    const std::string line = run_one(a, seed).dump() + "\n";
    for (size_t done = 0; done < line.size();) {
      const ssize_t n = write(ends[1], line.data() + done, line.size() - done);
      if (n <= 0) _exit(3);
      done += static_cast<size_t>(n);
    }
  }
  _exit(0);
}

void show_progress(const SimArguments& a, const Totals& t, SteadyClock::time_point begun) {
  const double seconds = ms_since(begun) / 1'000;
  const uint64_t all = seeds_of(a);
  const double rate = static_cast<double>(t.seeds) / (seconds > 0 ? seconds : 1);
  std::fprintf(stderr, "\r%llu of %llu seeds, %llu failed, %.1f a second, %.0f s left   ",
               static_cast<unsigned long long>(t.seeds), static_cast<unsigned long long>(all),
               static_cast<unsigned long long>(t.failed), rate,
               rate > 0 ? static_cast<double>(all - t.seeds) / rate : 0.0);
}

constexpr std::pair<const char*, sim::Promise> kPromises[] = {{"drawn", sim::Promise::drawn},
                                                              {"within", sim::Promise::within},
                                                              {"beyond", sim::Promise::beyond},
                                                              {"synced", sim::Promise::synced}};

std::string again(const SimArguments& a, uint64_t seed) {
  std::string text = "klamm sim --seed " + std::to_string(seed) + " --trace";
  for (const std::string& f : a.flaws) text += " --flaw " + f;
  for (const std::string& c : a.config) text += " --config " + c;
  for (const auto& [name, promise] : kPromises)
    if (promise == a.run.promise && promise != sim::Promise::drawn) text += std::string(" --promise ") + name;
  if (a.run.fail_disk)
    text += " --fail-disk";
  else if (!a.run.faults)
    text += " --no-faults";
  return text;
}

void show_failure(const SimArguments& a, const Json& line) {
  if (line["ok"].get<bool>()) return;
  const std::string violation = line["violation"].is_null() ? "" : line["violation"].get<std::string>();
  std::cout << "\rseed " << line["seed"] << " FAILED: " << violation << "\n    " << again(a, line["seed"]) << "\n";
}

std::string where_lost(const Totals& t) {
  if (t.lost == 0) return "";
  const std::string seeds = std::to_string(t.beyond) + " seeds whose faults go beyond the promise";
  if (t.lost == t.lost_beyond) return ", all in the " + seeds;
  return ", " + std::to_string(t.lost_beyond) + " of them in the " + seeds;
}

void show_summary(const Totals& t, double wall_ms) {
  std::cout << t.seeds << " seeds, " << t.failed << " failed; " << t.acknowledged << " records acknowledged, " << t.lost
            << " lost" << where_lost(t) << "; " << t.simulated_ms / 1'000 << " s simulated in "
            << static_cast<int64_t>(wall_ms) / 1'000.0 << " s";
  if (t.busy_ms > 0) std::cout << ", " << t.simulated_ms / t.busy_ms << " times real time a core";
  std::cout << "\nfaults:";
  for (const auto& [name, count] : t.fired) std::cout << " " << name << " " << count;
  std::cout << "\n";
  std::string holes;
  for (const sim::FaultEntry& f : sim::kFaultEntries)
    if (!t.fired.count(std::string(f.name))) holes += " " + std::string(f.name);
  if (!holes.empty()) std::cout << "never fired (a hole in this campaign):" << holes << "\n";
}

Json totals_line(const Totals& t, double wall_ms) {
  return {{"seeds", t.seeds},
          {"failed", t.failed},
          {"failures", t.failures},
          {"beyond", t.beyond},
          {"simulated_ms", t.simulated_ms},
          {"wall_ms", static_cast<int64_t>(wall_ms)},
          {"events", t.events},
          {"turns", t.turns},
          {"acknowledged", t.acknowledged},
          {"lost", t.lost},
          {"lost_within", t.lost - t.lost_beyond},
          {"fired", t.fired},
          {"probes", t.probes}};
}

// The memory of one seed serves the next; giving it back in between costs 4 % of a run.
void keep_memory() {
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
}

int run_many(const SimArguments& a) {
  keep_memory();
  const auto begun = SteadyClock::now();
  const bool terminal = isatty(2) && !a.json;
  Totals totals;
  std::map<uint64_t, Json> waiting;  // results come in any order and leave in that of the seeds
  uint64_t next = a.first;
  std::vector<Worker> workers;
  for (int i = 0; i < a.jobs; ++i) workers.push_back(start_worker(a, i));
  bool crashed = false;
  const auto take_line = [&](const std::string& text) {
    const Json line = Json::parse(text);
    waiting.emplace(line["seed"].get<uint64_t>(), line);
    for (auto it = waiting.find(next); it != waiting.end(); it = waiting.find(next += a.stride)) {
      add(totals, it->second);
      if (a.json)
        std::cout << it->second.dump() << std::endl;
      else
        show_failure(a, it->second);
      waiting.erase(it);
    }
    if (terminal) show_progress(a, totals, begun);
  };
  for (size_t open = workers.size(); open > 0;) {
    std::vector<pollfd> polled;
    for (const Worker& w : workers) polled.push_back({w.out, POLLIN, 0});
    if (poll(polled.data(), polled.size(), -1) < 0) break;
    for (size_t i = 0; i < workers.size(); ++i) {
      if (!(polled[i].revents & (POLLIN | POLLHUP))) continue;
      char bytes[65536];
      const ssize_t n = read(workers[i].out, bytes, sizeof bytes);
      if (n <= 0) {
        close(workers[i].out);
        workers[i].out = -1;
        int status = 0;
        waitpid(workers[i].pid, &status, 0);
        crashed = crashed || status != 0;
        --open;
        continue;
      }
      workers[i].partial.append(bytes, static_cast<size_t>(n));
      for (size_t end; (end = workers[i].partial.find('\n')) != std::string::npos;) {
        take_line(workers[i].partial.substr(0, end));
        workers[i].partial.erase(0, end + 1);
      }
    }
  }
  if (terminal) std::fprintf(stderr, "\r%70s\r", "");
  if (crashed)
    std::cerr << "klamm sim: a worker died at seed " << next << " or one of the next " << a.jobs * a.stride << "\n";
  const double wall = ms_since(begun);
  if (a.json)
    std::cout << totals_line(totals, wall).dump() << std::endl;
  else
    show_summary(totals, wall);
  return totals.failed > 0 || crashed ? 1 : 0;
}

// ---- one story

int tell(const SimArguments& a) {
  sim::RunOptions options = a.run;
  options.seed = a.first;
  sim::Simulation s(options);
  std::vector<std::string> hosts;
  for (sim::HostId h = 0; h < s.world().hosts(); ++h) hosts.push_back(s.world().name(h));
  sim::Story story(std::move(hosts), a.verbose);
  sim::Simulation::Phase phase = s.phase();
  size_t told = 0;
  static constexpr const char* kPhases[] = {"boot", "faults", "healed", "draining", "done"};
  bool more = true;
  while (more) {
    more = s.step(&story);
    for (; told < s.verdicts().list().size(); ++told) {
      const sim::Violation& v = s.verdicts().list()[told];
      story.tell(v.at, "VIOLATION", std::string(v.rule) + ": " + v.text);
    }
    if (s.phase() != phase) {
      phase = s.phase();
      story.tell(s.world().now(), "----", std::string("phase: ") + kPhases[static_cast<size_t>(phase)]);
    }
    std::cout << story.take(s.world());
  }
  const sim::RunResult r = sim::result_of(s, options);
  std::cout << "seed " << r.seed << (r.ok ? " ok" : " FAILED") << ", digest " << hex16(r.digest) << ", " << r.events
            << " events, " << r.acked << " records acknowledged, " << r.lost << " lost\n";
  if (!r.ok) std::cout << r.violation() << "\n";
  return r.ok ? 0 : 1;
}

// ---- arguments

bool parse_number(const std::string& text, uint64_t* out) {
  if (text.empty() || text.size() > 19 || text.find_first_not_of("0123456789") != std::string::npos) return false;
  *out = std::stoull(text);
  return true;
}

std::string understand(SimArguments& a) {  // "" or what is wrong
  if (a.seed.empty() == a.seeds.empty()) return "give either --seed S or --seeds A..B";
  if (!a.seed.empty()) {
    if (!parse_number(a.seed, &a.first)) return "--seed wants a number, not '" + a.seed + "'";
    a.last = a.first;
  } else {
    const size_t dots = a.seeds.find("..");
    if (dots == std::string::npos || !parse_number(a.seeds.substr(0, dots), &a.first) ||
        !parse_number(a.seeds.substr(dots + 2), &a.last) || a.last < a.first)
      return "--seeds wants A..B with A <= B, not '" + a.seeds + "'";
  }
  if (a.jobs < 1 || a.jobs > 256) return "--jobs wants 1 to 256";
  for (const std::string& name : a.flaws) {
    bool known = false;
    for (const FlawEntry& f : flaw_entries()) {
      if (f.id != name && f.name != name) continue;
      a.run.flaws.*f.field = true;
      known = true;
    }
    if (!known) return "there is no flaw '" + name + "'; --list-flaws shows them";
  }
  for (const std::string& c : a.config) {
    const size_t equals = c.find('=');
    if (equals == std::string::npos) return "--config wants key=value, not '" + c + "'";
    a.run.config[c.substr(0, equals)] = c.substr(equals + 1);
  }
  return {};
}

}  // namespace

int sim_main(int argc, char** argv) {
  SimArguments a;
  bool no_faults = false, calm = false;
  double seconds = 10;
  std::string promise = "drawn";
  CLI::App app{
      "Runs a three-broker cluster in virtual time from seeds, with faults, and checks that it keeps its "
      "promises. Exit code: 0 all well, 1 a violation, 2 bad usage."};
  app.name("klamm sim");
  app.add_option("--seeds", a.seeds, "seeds to run, A..B");
  app.add_option("--seed", a.seed, "one seed");
  app.add_option("--stride", a.stride, "run each how-manieth of --seeds")->check(CLI::Range(1, 1'000'000));
  app.add_option("--jobs", a.jobs, "processes");
  app.add_option("--flaw", a.flaws, "put a historic flaw back (repeatable): the museum's id or the switch's name");
  app.add_option("--config", a.config, "key=value for every broker (repeatable)");
  app.add_option("--brokers", a.run.brokers, "number of brokers")->check(CLI::Range(1, 9));
  app.add_option("--controllers", a.run.controllers, "how many brokers are controllers (0: all)")
      ->check(CLI::Range(0, 9));
  app.add_option("--partitions", a.run.partitions, "partitions of the topic")->check(CLI::Range(1, 1000));
  app.add_option("--rate", a.run.records_per_second, "records a second")->check(CLI::Range(0, 1'000'000));
  app.add_option("--seconds", seconds, "virtual length of the phase with faults")->check(CLI::Range(0.1, 86'400.0));
  app.add_flag("--trace", a.trace, "tell the story of one seed");
  app.add_flag("--verbose", a.verbose, "with --trace: requests, appends and syncs too");
  app.add_flag("--twice", a.twice, "run each seed twice and compare digests");
  app.add_flag("--no-faults", no_faults, "no faults");
  app.add_flag("--fail-disk", a.run.fail_disk,
               "instead of drawn faults one operation of one broker's disk fails; the seed says which and whose");
  app.add_flag("--calm", calm, "the same links and disks in every run");
  app.add_option("--promise", promise,
                 "faults within what the settings promise to survive; or beyond it, where records may be lost and are "
                 "reported; or such faults, but every record is synced before it is acknowledged and none may be lost; "
                 "drawn: one seed in eight goes beyond, one is synced")
      ->check(CLI::IsMember({"drawn", "within", "beyond", "synced"}));
  app.add_flag("--json", a.json, "a line a seed and one with totals, for machines");
  app.add_flag("--list-flaws", a.list_flaws, "show the flaws, a line each");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (a.list_flaws) {
    for (const FlawEntry& f : flaw_entries()) std::cout << f.id << "\t" << f.name << "\t" << f.about << "\n";
    return 0;
  }
  a.run.faults = !no_faults && !a.run.fail_disk;
  for (const auto& [name, which] : kPromises)
    if (promise == name) a.run.promise = which;
  a.run.rough = !calm && !a.run.fail_disk;
  a.run.faults_ns = static_cast<int64_t>(seconds * 1e9);
  if (const std::string wrong = understand(a); !wrong.empty()) return bad_usage(wrong);
  if (a.trace && a.first != a.last) return bad_usage("--trace wants one seed");
  return a.trace ? tell(a) : run_many(a);
}

}  // namespace klamm::cli
