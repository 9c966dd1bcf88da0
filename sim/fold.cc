#include "sim/fold.h"

namespace klamm::sim {
namespace {

void add(Digest& d, uint64_t v) { d.number(v); }
void add(Digest& d, int64_t v) { d.number(static_cast<uint64_t>(v)); }
void add(Digest& d, uint32_t v) { d.number(v); }
void add(Digest& d, int v) { d.number(static_cast<uint64_t>(static_cast<int64_t>(v))); }
void add(Digest& d, uint16_t v) { d.number(v); }
void add(Digest& d, bool v) { d.number(v ? 1 : 0); }
void add(Digest& d, IoError v) { d.number(static_cast<uint64_t>(v)); }
void add(Digest& d, OpenMode v) { d.number(static_cast<uint64_t>(v)); }
void add(Digest& d, const std::string& v) { d.bytes(as_bytes(v)); }
void add(Digest& d, const Slice& v) { d.bytes(v.span()); }
template<class Tag>
void add(Digest& d, Handle<Tag> v) {
  d.number(v.packed());
}
template<class Tag, class Rep>
void add(Digest& d, Id<Tag, Rep> v) {
  d.number(static_cast<uint64_t>(v.value));
}
void add(Digest& d, const std::vector<Slice>& v) { d.bytes(std::span<const Slice>(v)); }
void add(Digest& d, const std::vector<DirEntry>& v) {
  d.number(v.size());
  for (const DirEntry& e : v) add(d, e.name), add(d, e.directory), add(d, e.size);
}
template<class... Fields>
void all(Digest& d, const Fields&... fields) {
  (add(d, fields), ...);
}

struct Fold {
  Digest& d;
  void operator()(const Accepted& x) { all(d, x.listener, x.pending, x.peer_host, x.peer_port, x.principal); }
  void operator()(const Dialed& x) { all(d, x.conn, x.error); }
  void operator()(const Received& x) { all(d, x.conn, x.bytes); }
  void operator()(const Sent& x) { all(d, x.conn, x.total); }
  void operator()(const Closed& x) { all(d, x.conn, x.error); }
  void operator()(const Ended& x) { all(d, x.token, x.error, x.value); }
  void operator()(const ReadEnded& x) { all(d, x.token, x.error, x.bytes); }
  void operator()(const Listed& x) { all(d, x.token, x.error, x.entries); }
  void operator()(const Space& x) { all(d, x.dir, x.free, x.total); }
  void operator()(const Asked& x) { all(d, x.token, x.verb, x.bytes); }

  void operator()(const Listen& x) { all(d, x.listener); }
  void operator()(const Adopt& x) { all(d, x.pending, x.conn); }
  void operator()(const Refuse& x) { all(d, x.pending); }
  void operator()(const Dial& x) { all(d, x.conn, x.host, x.port); }
  void operator()(const Send& x) { all(d, x.conn, x.bytes, x.tell); }
  void operator()(const SendRegion& x) { all(d, x.conn, x.region.file, x.region.offset, x.region.size, x.tell); }
  void operator()(const Close& x) { all(d, x.conn, x.after_sends); }
  void operator()(const Pause& x) { all(d, x.conn); }
  void operator()(const Resume& x) { all(d, x.conn); }
  void operator()(const Room& x) { all(d, x.conn); }  // where the memory is shows nowhere
  void operator()(const OpenFile& x) { all(d, x.file, x.token, x.dir, x.path, x.mode); }
  void operator()(const CloseFile& x) { all(d, x.file, x.token); }
  void operator()(const WriteFile& x) { all(d, x.file, x.token, x.offset, x.bytes); }
  void operator()(const TruncateFile& x) { all(d, x.file, x.token, x.size); }
  void operator()(const SyncFile& x) { all(d, x.file, x.token); }
  void operator()(const ReadFile& x) { all(d, x.file, x.token, x.offset, x.size); }
  void operator()(const LoadFile& x) { all(d, x.token, x.dir, x.path, x.most); }
  void operator()(const ListDir& x) { all(d, x.token, x.dir, x.path); }
  void operator()(const MakeDir& x) { all(d, x.token, x.dir, x.path); }
  void operator()(const Rename& x) { all(d, x.token, x.dir, x.from, x.to); }
  void operator()(const Remove& x) { all(d, x.token, x.dir, x.path); }
  void operator()(const SyncDir& x) { all(d, x.token, x.dir, x.path); }
  void operator()(const LockDir& x) { all(d, x.token, x.dir); }
  void operator()(const Answered& x) { all(d, x.token, x.last, x.bytes); }
  void operator()(const Compute& x) { all(d, x.token, x.kind, x.input); }
  void operator()(const Exit& x) { all(d, x.code, x.reason); }
};

}  // namespace

void fold(Digest& digest, const Event& event) {
  digest.number(event.index());
  std::visit(Fold{digest}, event);
}
void fold(Digest& digest, const Commands& commands) {
  for (size_t i = 0; i < commands.size(); ++i) {
    digest.number(0x100 + commands[i].index());
    const auto* send = std::get_if<Send>(&commands[i]);
    const auto* next = send && i + 1 < commands.size() ? std::get_if<Send>(&commands[i + 1]) : nullptr;
    if (!next || next->conn != send->conn) {
      std::visit(Fold{digest}, commands[i]);
      continue;
    }
    std::vector<Slice> pieces{send->bytes};
    bool tell = send->tell;
    for (; next && next->conn == send->conn; next = std::get_if<Send>(&commands[i + 1])) {
      pieces.push_back(next->bytes);
      tell = tell || next->tell;
      if (++i + 1 == commands.size()) break;
    }
    all(digest, send->conn, pieces, tell);
  }
}

}  // namespace klamm::sim
