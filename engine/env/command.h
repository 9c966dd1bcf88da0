// What to do: everything a machine wants of the world. The driver executes a turn's commands after the turn.
// Writes and truncates of one file, and sends of one connection, keep their order; nothing else does.
#pragma once
#include <string>
#include <variant>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/file_region.h"
#include "engine/base/ids.h"

namespace klamm {

// ---- connections
struct Listen {
  ListenerId listener;
};  // start accepting; the socket was bound before boot
struct Adopt {
  PendingId pending;
  ConnId conn;
};
struct Refuse {
  PendingId pending;
};
struct Dial {
  ConnId conn;
  std::string host;
  uint16_t port = 0;
};
struct Send {
  ConnId conn;
  Slice bytes;
  bool tell = false;
};  // tell: report Sent once these bytes have left, and before that when some have that had to wait
// The same with bytes that a file has, or will have, once they are due. A lease of the file is taken at once: it may be
// closed, renamed or removed before they have left. A truncation that cuts what has not left ends the connection, and
// so does a region that comes out short.
struct SendRegion {
  ConnId conn;
  FileRegion region;
  bool tell = false;
};
struct Close {  // a dial ends with an error; after sends: until they have left Sent tells how far they are
  ConnId conn;
  bool after_sends = false;
};
struct Pause {
  ConnId conn;
};  // read no more of it until Resume
struct Resume {
  ConnId conn;
};
// Bytes of this connection may be received straight into the buffer, behind its fill mark and moving that, until it is
// full or another Room comes: the Received slices then lie in it. Only saves a copy; a driver may ignore it.
struct Room {
  ConnId conn;
  BufferRef buffer;
};

// ---- storage. Paths are relative to a directory of the boot value, components joined by '/'.
enum class OpenMode : uint8_t {
  read_write,    // it must exist
  create,        // make it if it is not there, and the directories on the way
  create_empty,  // the same, and cut an existing one to nothing
};
struct OpenFile {
  FileId file;
  Token token;
  DirId dir;
  std::string path;
  OpenMode mode = OpenMode::create;
};  // ends with the size
// Commands on a file may follow its OpenFile at once: they take effect after it, and fail as it failed.
struct CloseFile {
  FileId file;
  Token token;
};  // after everything submitted before it; the FileId is free after its end
struct WriteFile {
  FileId file;
  Token token;
  int64_t offset = 0;
  std::vector<Slice> bytes;
};
struct TruncateFile {
  FileId file;
  Token token;
  int64_t size = 0;
};
struct SyncFile {
  FileId file;
  Token token;
};  // makes durable what was submitted before it: bytes and size, not the name
struct ReadFile {
  FileId file;
  Token token;
  int64_t offset = 0;
  uint32_t size = 0;
};  // sees every write that ended before
struct LoadFile {
  Token token;
  DirId dir;
  std::string path;
  uint32_t most = 0;
};  // a small file whole; failed if it is larger
struct ListDir {
  Token token;
  DirId dir;
  std::string path;
};  // "" is the directory itself
struct MakeDir {
  Token token;
  DirId dir;
  std::string path;
};  // with the directories on the way; not an error if it exists
struct Rename {
  Token token;
  DirId dir;
  std::string from;
  std::string to;
};  // replaces `to`
struct Remove {
  Token token;
  DirId dir;
  std::string path;
};  // a file, or a directory with all it holds
struct SyncDir {
  Token token;
  DirId dir;
  std::string path;
};  // makes create, rename and remove in it durable
struct LockDir {
  Token token;
  DirId dir;
};  // held until the machine ends

// ---- people and pure work
// To Asked. Token 0 was never asked: "ready", once, says that it serves; "resolve HOST" wants an Asked "resolved".
struct Answered {
  uint64_t token = 0;
  bool last = true;
  Slice bytes;
};
struct Compute {
  Token token;
  uint32_t kind = 0;
  std::vector<Slice> input;
};  // a determined result; its arrival is input
struct Exit {
  int code = 0;
  std::string reason;
};

using Command = std::variant<Listen, Adopt, Refuse, Dial, Send, SendRegion, Close, Pause, Resume, Room, OpenFile,
                             CloseFile, WriteFile, TruncateFile, SyncFile, ReadFile, LoadFile, ListDir, MakeDir, Rename,
                             Remove, SyncDir, LockDir, Answered, Compute, Exit>;
using Commands = std::vector<Command>;

}  // namespace klamm
