// klamm serve [server.properties] [--config key=value]...: one node, until SIGTERM.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "engine/broker/node.h"
#include "server/node_host.h"
#include "server/properties.h"
#include "server/signals.h"

namespace klamm::cli {
namespace {

struct ServeArguments {
  std::string file;
  std::vector<std::string> config;
  std::string log_format = "text";
  int ready_descriptor = -1;
};

int complain(const std::vector<std::string>& problems) {
  for (const std::string& p : problems) std::cerr << "klamm serve: " << p << "\n";
  return kBadUsage;
}

// The file, or the environment where there is none; then the command line, which wins.
std::string gather(const ServeArguments& a, server::Properties& p) {
  if (!a.file.empty())
    if (std::string why = server::read_properties(a.file, p); !why.empty()) return why;
  if (a.file.empty()) server::read_environment(environ, p);
  server::Properties assigned;
  if (std::string why = server::read_assignments(a.config, server::node_id(p), assigned); !why.empty()) return why;
  for (auto& [key, value] : assigned) p[key] = value;
  if (a.file.empty()) server::add_single_node_defaults(p);
  return "";
}

int serve(const ServeArguments& a) {
  server::MainWait wait;
  server::raise_descriptor_limit();
  server::Properties properties;
  if (std::string why = gather(a, properties); !why.empty()) return complain({why});
  server::HostOptions options;
  options.boot = server::prepare_boot(properties);
  if (!options.boot.problems.empty()) return complain(options.boot.problems);
  options.make = broker::make_node;
  options.log.name = "Broker id=" + server::node_id(properties);
  options.log.format = a.log_format == "json" ? server::LogFormat::json : server::LogFormat::text;
  options.on_ready = [&a] {
    if (a.ready_descriptor >= 0 && ::write(a.ready_descriptor, "\n", 1) == 1) ::close(a.ready_descriptor);
  };
  options.on_ended = [&wait](const server::DriverEnd&) { wait.wake(); };
  server::NodeHost host(std::move(options));
  if (wait.wait(false, seconds(INT32_MAX)) == server::MainWait::Why::stopped) {
    server::exit_at_latest_after(server::NodeHost::kStopDeadline + seconds(1), server::kKilled);
    return host.stop().code;
  }
  const server::DriverEnd end = host.join();
  if (end.code != 0) std::cerr << "klamm serve: " << end.reason << "\n";
  return end.code;
}

}  // namespace

int serve_main(int argc, char** argv) {
  ServeArguments a;
  CLI::App app(
      "Runs one node. Without a file: broker and controller on 127.0.0.1:9092, data in ./klamm-data, and\n"
      "properties from the environment (KAFKA_NODE_ID=1 is node.id=1).");
  app.name("klamm serve");
  app.add_option("properties", a.file, "a file of Kafka's properties");
  app.add_option("--config", a.config, "key=value, over the file; repeatable")->allow_extra_args(false);
  app.add_option("--log-format", a.log_format, "text or json")->check(CLI::IsMember({"text", "json"}));
  app.add_option("--ready-descriptor", a.ready_descriptor, "a descriptor to write a line to when the node serves")
      ->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kBadUsage;
  }
  return serve(a);
}

}  // namespace klamm::cli
