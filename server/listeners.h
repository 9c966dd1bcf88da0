// Sockets bound before a machine is born, so that it knows its ports. They listen when it says so.
#pragma once
#include <string>
#include <vector>

#include "server/posix.h"

namespace klamm::server {

struct ListenAddress {
  std::string host;   // "": every interface
  uint16_t port = 0;  // 0: any free one
};

struct BoundSocket {
  Descriptor descriptor;
  ListenAddress address;  // as bound: the port is not 0
  int family = 0;
  bool taken = false;  // another socket listens there
  std::string error;   // why it could not be bound; then there is no descriptor
};

BoundSocket bind_socket(const ListenAddress& address);
// A name or an address as connections from there are told: the first IPv4 address, else IPv6. "": there is none.
std::string numeric_address(const std::string& host);

}  // namespace klamm::server
