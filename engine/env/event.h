// What happened: everything a machine learns of the world. Values only; a Slice is the one thing that points anywhere.
#pragma once
#include <string>
#include <variant>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/ids.h"
#include "engine/base/units.h"

namespace klamm {

// Why the world refused. Mapped to a Kafka error in one place per handler.
enum class IoError : uint8_t {
  none,
  not_found,    // no such file or directory
  exists,       // it exists already
  no_space,     // the disk is full
  failed,       // the device says no (EIO): final
  locked,       // another process holds the directory
  refused,      // nobody listens there
  unreachable,  // no route, or the name does not resolve
  timed_out,
  aborted,  // the machine's side ended before it could be done
};
const char* name(IoError error);

// A peer asks for a connection: answered by Adopt or Refuse.
struct Accepted {
  ListenerId listener;
  PendingId pending;
  std::string peer_host;
  uint16_t peer_port = 0;
  std::string principal;  // of a TLS certificate; empty otherwise
};
// The end of a Dial. On error the connection never existed and gets no Closed.
struct Dialed {
  ConnId conn;
  IoError error = IoError::none;
};
// Bytes of a stream, cut anywhere. None, of an adopted connection: its peer sends no more, but may still take answers.
struct Received {
  ConnId conn;
  Slice bytes;
};
// Bytes handed to the kernel since the connection began; at most one a connection a turn, where a Send or Close asked.
struct Sent {
  ConnId conn;
  uint64_t total = 0;
};
// The one end of a connection that existed; also ends its sends.
struct Closed {
  ConnId conn;
  IoError error = IoError::none;  // none: orderly, by either side
};
// The one end of every storage or compute command but ReadFile, LoadFile and ListDir.
// `value`: the size for OpenFile, the size truncated to for TruncateFile, else 0.
struct Ended {
  Token token;
  IoError error = IoError::none;
  int64_t value = 0;
};
// The one end of ReadFile, LoadFile and Compute. A read at the end of a file is short, not an error.
struct ReadEnded {
  Token token;
  IoError error = IoError::none;
  Slice bytes;
};
struct DirEntry {
  std::string name;  // one component
  bool directory = false;
  int64_t size = 0;
};
// The one end of ListDir; sorted by name.
struct Listed {
  Token token;
  IoError error = IoError::none;
  std::vector<DirEntry> entries;
};
// Free bytes of a directory's disk, and all it has: told at boot and when the first changes much.
struct Space {
  DirId dir;
  int64_t free = 0;
  int64_t total = 0;
};
// What an application or operator wants: client calls, stop, fault control.
struct Asked {
  uint64_t token = 0;
  std::string verb;
  Slice bytes;
};

using Event = std::variant<Accepted, Dialed, Received, Sent, Closed, Ended, ReadEnded, Listed, Space, Asked>;

}  // namespace klamm
