// The subcommands of `klamm`. Each parses its own arguments (argv[0] is its name) and returns the exit code.
#pragma once

namespace klamm::cli {

inline constexpr int kBadUsage = 2;  // the exit code

int serve_main(int argc, char** argv);
int cluster_main(int argc, char** argv);
int codec_main(int argc, char** argv);
int sim_main(int argc, char** argv);
int version_main(int argc, char** argv);

}  // namespace klamm::cli
