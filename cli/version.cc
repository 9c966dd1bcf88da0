#include <iostream>

#include "cli/commands.h"

namespace klamm::cli {

int version_main(int, char**) {
  std::cout << "klamm " KLAMM_VERSION " (speaks the protocol of Apache Kafka 4.3.1)\n";
  return 0;
}

}  // namespace klamm::cli
