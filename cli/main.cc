#include <cstring>
#include <iostream>

#include "cli/commands.h"

namespace {

struct Command {
  const char* name;
  int (*run)(int argc, char** argv);
  const char* help;
};

constexpr Command kCommands[] = {
    {"serve", klamm::cli::serve_main, "run one node on real sockets and files"},
    {"cluster", klamm::cli::cluster_main, "run a cluster on free ports"},
    {"codec", klamm::cli::codec_main, "translate Kafka messages between bytes and JSON, line by line"},
    {"sim", klamm::cli::sim_main, "run a simulated cluster from seeds, with faults, and check its promises"},
    {"version", klamm::cli::version_main, "print the version"},
};

int usage(std::ostream& out, int exit_code) {
  out << "usage: klamm COMMAND [ARGUMENTS]\n\n";
  for (const Command& c : kCommands) out << "  " << c.name << "\t" << c.help << "\n";
  out << "\n`klamm COMMAND --help` says more.\n";
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return usage(std::cerr, 2);
  if (std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "-h") == 0) return usage(std::cout, 0);
  for (const Command& c : kCommands) {
    if (std::strcmp(argv[1], c.name) == 0) return c.run(argc - 1, argv + 1);
  }
  std::cerr << "klamm: there is no command '" << argv[1] << "'\n";
  return usage(std::cerr, 2);
}
