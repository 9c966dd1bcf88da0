#include "engine/quorum/state_file.h"

#include <charconv>
#include <optional>

namespace klamm::quorum {
namespace {

constexpr int kMostDepth = 16;  // of nested values that are skipped

// A reader of just enough JSON. Fails stickily.
class Json final {
 public:
  explicit Json(std::string_view text) : rest_(text) {}
  bool ok() const { return ok_; }
  bool take(char c) {
    space();
    if (!ok_ || rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) ok_ = false;
  }
  void end() {
    space();
    if (!rest_.empty()) ok_ = false;
  }
  // Without its quotes; escapes stay as they are (no member that matters has any).
  std::string_view string() {
    expect('"');
    size_t at = 0;
    while (at < rest_.size() && rest_[at] != '"') at += rest_[at] == '\\' ? 2 : 1;
    if (!ok_ || at >= rest_.size()) return ok_ = false, std::string_view();
    const std::string_view s = rest_.substr(0, at);
    rest_.remove_prefix(at + 1);
    return s;
  }
  template<class T>
  T number() {
    space();
    T value{};
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc()) return ok_ = false, T{};
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }
  void skip(int depth = 0) {
    space();
    if (!ok_ || rest_.empty() || depth > kMostDepth) return void(ok_ = false);
    if (rest_[0] == '"') return void(string());
    const bool object = take('{');
    if (object || take('[')) {
      const char close = object ? '}' : ']';
      if (take(close)) return;
      do {
        if (object) string(), expect(':');
        skip(depth + 1);
      } while (ok_ && take(','));
      return expect(close);
    }
    size_t n = 0;  // a number or a name
    while (n < rest_.size() && (std::string_view("+-.").find(rest_[n]) != rest_.npos || alphanumeric(rest_[n]))) ++n;
    if (n == 0) ok_ = false;
    rest_.remove_prefix(n);
  }

 private:
  static bool alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  }
  void space() {
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_[0]) != std::string_view::npos)
      rest_.remove_prefix(1);
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

std::string encode_state_file(const raft::HardState& state, const std::vector<NodeId>& voters) {
  std::string text = "{\"clusterId\":\"\",\"leaderId\":" + std::to_string(state.leader.value) +
                     ",\"leaderEpoch\":" + std::to_string(state.epoch) +
                     ",\"votedId\":" + std::to_string(state.voted.id.value) +
                     ",\"appliedOffset\":0,\"currentVoters\":[";
  for (size_t i = 0; i < voters.size(); ++i)
    text += (i == 0 ? "{\"voterId\":" : ",{\"voterId\":") + std::to_string(voters[i].value) + "}";
  return text + "],\"data_version\":0}";
}

Result<raft::HardState> decode_state_file(std::string_view text) {
  raft::HardState state{.epoch = -1};
  int16_t version = -1;
  Json json(text);
  json.expect('{');
  if (!json.take('}')) {
    do {
      const std::string_view name = json.string();
      json.expect(':');
      if (name == "leaderId")
        state.leader = NodeId{json.number<int32_t>()};
      else if (name == "leaderEpoch")
        state.epoch = json.number<int32_t>();
      else if (name == "votedId")
        state.voted.id = NodeId{json.number<int32_t>()};
      else if (name == "data_version")
        version = json.number<int16_t>();
      else if (name == "votedDirectoryId") {
        const std::string_view id = json.string();
        if (!Uuid::parse(id.data(), id.size(), &state.voted.directory))
          return fail(ErrorCode::kafka_storage_error, "quorum-state: votedDirectoryId is no directory id");
      } else {
        json.skip();
      }
    } while (json.ok() && json.take(','));
    json.expect('}');
  }
  json.end();
  if (!json.ok()) return fail(ErrorCode::kafka_storage_error, "quorum-state is not the JSON that it should be");
  if (version != 0 && version != 1) return fail(ErrorCode::kafka_storage_error, "quorum-state: unknown data_version");
  if (state.epoch < 0 || state.leader.value < -1 || state.voted.id.value < -1)
    return fail(ErrorCode::kafka_storage_error, "quorum-state: a number is out of range");
  return state;
}

void StateFile::load(Io& io) {
  io.load(owner(kLoad), place_.dir, path(), kMostBytes);
  io.make_dir(owner(kMakeFolder), place_.dir, place_.folder);
}

void StateFile::save(Io& io, std::string text, uint64_t version) {
  KLAMM_ASSERT_REL(version, >, wanted_);
  text_ = std::move(text);
  wanted_ = version;
  if (!replace_.busy()) replace(io);
}

void StateFile::replace(Io& io) {
  under_way_ = wanted_;
  replace_.start(io, owner(kReplace), place_.dir, path(), Slice::copy(text_));
}

void StateFile::on_storage(Io& io, const Owner& from, const StorageEnd& end, Out& out) {
  switch (from.step) {
    case kLoad:
      if (end.error == IoError::none) {
        const Result<raft::HardState> state = decode_state_file(end.bytes.text());
        if (!state) return void(out.fatal = state.error().reason);
        stored_ = *state;
      } else if (end.error != IoError::not_found) {
        return void(out.fatal = std::string("quorum-state: ") + name(end.error));
      }
      out.loaded = true;
      return;
    case kMakeFolder:
      if (end.error != IoError::none)
        return void(out.fatal = std::string("metadata log directory: ") + name(end.error));
      return io.sync_dir(owner(kNameFolder), place_.dir, "");
    case kNameFolder:
      if (end.error != IoError::none)
        return void(out.fatal = std::string("metadata log directory: ") + name(end.error));
      named_ = true;
      return tell(out);
    default: return replaced(io, from, end, out);
  }
}

void StateFile::replaced(Io& io, const Owner& from, const StorageEnd& end, Out& out) {
  const std::optional<IoError> done = replace_.on_storage(io, from, end);
  if (!done) return;
  if (*done != IoError::none) return void(out.fatal = std::string("quorum-state: ") + name(*done));
  written_ = under_way_;
  tell(out);
  if (wanted_ > under_way_) replace(io);
}

void StateFile::tell(Out& out) {
  if (!named_ || written_ <= told_) return;
  out.durable = told_ = written_;
}

}  // namespace klamm::quorum
