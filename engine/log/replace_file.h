// Replaces a small file so that after a crash at any point it holds the old content or the new, never a mixture.
#pragma once
#include <optional>
#include <string>

#include "engine/env/io.h"

namespace klamm::log {

// idle -> writing (open, write, sync, close "<path><suffix>") -> renaming -> syncing the directory's names -> idle
class ReplaceFile final {
 public:
  bool busy() const { return step_ != Step::idle; }
  // All its commands carry `owner`; route their ends to on_storage. Not while busy.
  void start(Io& io, const Owner& owner, DirId dir, std::string path, Slice content, const char* suffix = ".tmp");
  // Nothing while it goes on; at the end none or what went wrong.
  std::optional<IoError> on_storage(Io& io, const Owner& owner, const StorageEnd& end);
  template<class V>
  void fields(V& v) const {
    v("step", step_), v("dir", dir_), v("path", path_), v("draft", draft_), v("file", file_), v("left", left_),
        v("error", error_);
  }

 private:
  enum class Step : uint8_t { idle, writing, renaming, naming };
  Step step_ = Step::idle;
  DirId dir_;
  std::string path_;
  std::string draft_;
  FileId file_;
  uint8_t left_ = 0;  // commands of this step under way
  IoError error_ = IoError::none;
};

}  // namespace klamm::log
