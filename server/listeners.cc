#include "server/listeners.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace klamm::server {
namespace {

uint16_t bound_port(int descriptor) {
  sockaddr_storage a{};
  socklen_t size = sizeof a;
  getsockname(descriptor, reinterpret_cast<sockaddr*>(&a), &size);
  const in_port_t port = a.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(a).sin6_port
                                                 : reinterpret_cast<const sockaddr_in&>(a).sin_port;
  return ntohs(port);
}

Descriptor bound(const addrinfo& a) {
  Descriptor d(::socket(a.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!d) return {};
  const int yes = 1, no = 0;
  setsockopt(d.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);  // a restart does not wait for old connections
  if (a.ai_family == AF_INET6) setsockopt(d.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  if (::bind(d.get(), a.ai_addr, a.ai_addrlen) != 0) return {};
  return d;
}

}  // namespace

BoundSocket bind_socket(const ListenAddress& address) {
  BoundSocket out;
  out.address = address;
  addrinfo hints{}, *found = nullptr;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  const std::string port = std::to_string(address.port);
  const char* host = address.host.empty() ? nullptr : address.host.c_str();
  if (const int e = getaddrinfo(host, port.c_str(), &hints, &found); e != 0) {
    out.error = "no address for " + address.host + ": " + gai_strerror(e);
    return out;
  }
  // Every interface: the IPv6 socket takes IPv4 too. Otherwise the first address that can be bound.
  for (const bool v6_first : {true, false})
    for (const addrinfo* a = found; a && !out.descriptor; a = a->ai_next)
      if (host || (a->ai_family == AF_INET6) == v6_first) {
        out.descriptor = bound(*a);
        out.family = a->ai_family;
      }
  out.taken = !out.descriptor && errno == EADDRINUSE;
  if (!out.descriptor)
    out.error = (address.host.empty() ? "*" : address.host) + ":" + port + " cannot be bound: " + std::strerror(errno);
  else
    out.address.port = bound_port(out.descriptor.get());
  freeaddrinfo(found);
  return out;
}

std::string numeric_address(const std::string& host) {
  for (const int family : {AF_INET, AF_INET6}) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (family == AF_INET) {
      inet_ntop(family, &reinterpret_cast<const sockaddr_in*>(found->ai_addr)->sin_addr, text, sizeof text);
    } else {
      const in6_addr& a = reinterpret_cast<const sockaddr_in6*>(found->ai_addr)->sin6_addr;
      const bool mapped = IN6_IS_ADDR_V4MAPPED(&a);  // an IPv4 caller of an IPv6 socket is told as what it is
      inet_ntop(mapped ? AF_INET : family, mapped ? &a.s6_addr[12] : &a.s6_addr[0], text, sizeof text);
    }
    freeaddrinfo(found);
    return text;
  }
  return "";
}

}  // namespace klamm::server
