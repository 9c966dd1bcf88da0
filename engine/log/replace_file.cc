#include "engine/log/replace_file.h"

namespace klamm::log {

void ReplaceFile::start(Io& io, const Owner& owner, DirId dir, std::string path, Slice content, const char* suffix) {
  KLAMM_ASSERT(!busy());
  step_ = Step::writing;
  dir_ = dir;
  path_ = std::move(path);
  draft_ = path_ + suffix;
  error_ = IoError::none;
  file_ = io.open(owner, dir_, draft_, OpenMode::create_empty);
  io.write(owner, file_, 0, {std::move(content)});
  io.sync(owner, file_);
  io.close(owner, file_);
  left_ = 4;
}

std::optional<IoError> ReplaceFile::on_storage(Io& io, const Owner& owner, const StorageEnd& end) {
  KLAMM_ASSERT(busy());
  KLAMM_ASSERT_REL(left_, >, 0);
  if (error_ == IoError::none) error_ = end.error;
  if (--left_ > 0) return std::nullopt;
  if (step_ == Step::writing) io.ops.close_file(file_);
  if (error_ != IoError::none || step_ == Step::naming) {
    step_ = Step::idle;
    return error_;
  }
  left_ = 1;
  if (step_ == Step::writing) {
    step_ = Step::renaming;
    io.rename(owner, dir_, {draft_, path_});
  } else {
    step_ = Step::naming;
    const size_t slash = path_.rfind('/');
    io.sync_dir(owner, dir_, slash == std::string::npos ? "" : path_.substr(0, slash));
  }
  return std::nullopt;
}

}  // namespace klamm::log
