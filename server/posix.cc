#include "server/posix.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <span>

namespace klamm::server {
namespace {

IoError last_error() { return io_error(errno); }
IoError checked(int result) { return result == 0 ? IoError::none : last_error(); }

std::string parent(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

IoError io_error(int error_number) {
  switch (error_number) {
    case 0: return IoError::none;
    case ENOENT:
    case ENOTDIR: return IoError::not_found;
    case EEXIST:
    case ENOTEMPTY: return IoError::exists;
    case ENOSPC:
    case EFBIG:
    case EDQUOT: return IoError::no_space;
    case EWOULDBLOCK: return IoError::locked;
    case ECONNREFUSED: return IoError::refused;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL: return IoError::unreachable;
    case ETIMEDOUT: return IoError::timed_out;
    default: return IoError::failed;
  }
}

Descriptor& Descriptor::operator=(Descriptor&& o) noexcept {
  if (value_ >= 0) ::close(value_);
  value_ = o.release();
  return *this;
}
Descriptor::~Descriptor() {
  if (value_ >= 0) ::close(value_);
}

Opened open_file(const std::string& path, OpenMode mode) {
  int flags = O_RDWR | O_CLOEXEC;
  if (mode != OpenMode::read_write) flags |= O_CREAT;
  if (mode == OpenMode::create_empty) flags |= O_TRUNC;
  Descriptor d(::open(path.c_str(), flags, 0644));
  if (!d && errno == ENOENT && mode != OpenMode::read_write) {
    if (const IoError e = make_directories(parent(path)); e != IoError::none) return {e, {}, 0};
    d = Descriptor(::open(path.c_str(), flags, 0644));
  }
  struct stat s {};
  if (!d || fstat(d.get(), &s) != 0) return {last_error(), {}, 0};
  return {IoError::none, std::move(d), s.st_size};
}

IoError write_all(int descriptor, int64_t offset, std::vector<iovec> pieces) {
  std::span<iovec> left(pieces);
  while (!left.empty()) {
    const int count = static_cast<int>(std::min<size_t>(left.size(), IOV_MAX));
    ssize_t n = pwritev(descriptor, left.data(), count, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return last_error();
    offset += n;
    while (!left.empty() && n >= static_cast<ssize_t>(left[0].iov_len)) {
      n -= static_cast<ssize_t>(left[0].iov_len);
      left = left.subspan(1);
    }
    if (n > 0) {
      left[0].iov_base = static_cast<char*>(left[0].iov_base) + n;
      left[0].iov_len -= static_cast<size_t>(n);
    }
  }
  return IoError::none;
}

IoError truncate_file(int descriptor, int64_t size) { return checked(ftruncate(descriptor, size)); }
IoError sync_file(int descriptor) { return checked(fdatasync(descriptor)); }

IoError sync_directory(const std::string& path) {
  const Descriptor d(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return d ? checked(fsync(d.get())) : last_error();
}

IoError make_directories(const std::string& path) {
  if (mkdir(path.c_str(), 0755) == 0) return IoError::none;
  if (errno == EEXIST) {
    struct stat s {};
    return stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode) ? IoError::none : IoError::exists;
  }
  if (errno != ENOENT || parent(path) == path) return last_error();
  if (const IoError e = make_directories(parent(path)); e != IoError::none) return e;
  return mkdir(path.c_str(), 0755) == 0 || errno == EEXIST ? IoError::none : last_error();
}

IoError remove_tree(const std::string& path) {
  const auto one = [](const char* name, const struct stat*, int, FTW*) { return ::remove(name); };
  return checked(nftw(path.c_str(), one, 16, FTW_DEPTH | FTW_PHYS));
}

IoError rename_path(const std::string& from, const std::string& to) {
  return checked(::rename(from.c_str(), to.c_str()));
}

ReadBytes read_at(int descriptor, int64_t offset, uint8_t* into, size_t size) {
  size_t got = 0;
  while (got < size) {
    const ssize_t n = pread(descriptor, into + got, size - got, offset + static_cast<int64_t>(got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return {last_error(), 0};
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  return {IoError::none, got};
}

SentBytes send_file(int socket, int descriptor, int64_t offset, size_t size) {
  SentBytes out;
  off_t at = offset;
  while (out.size < size) {
    const ssize_t n = sendfile(socket, descriptor, &at, size - out.size);
    if (n < 0 && errno == EINTR) continue;
    out.full = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    out.ends_early = n == 0;
    if (n < 0 && !out.full) out.error = errno;
    if (n <= 0) break;
    out.size += static_cast<size_t>(n);
  }
  return out;
}

Loaded load_file(const std::string& path, uint32_t most) {
  const Descriptor d(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat s {};
  if (!d || fstat(d.get(), &s) != 0) return {last_error(), {}};
  if (s.st_size > int64_t{most} || !S_ISREG(s.st_mode)) return {IoError::failed, {}};
  Loaded out;
  out.bytes.resize(static_cast<size_t>(s.st_size));
  const ReadBytes r = read_at(d.get(), 0, reinterpret_cast<uint8_t*>(out.bytes.data()), out.bytes.size());
  out.error = r.error;
  out.bytes.resize(r.size);
  return out;
}

Listing list_directory(const std::string& path) {
  Listing out;
  DIR* dir = opendir(path.c_str());
  if (!dir) return {last_error(), {}};
  for (errno = 0; const dirent* e = readdir(dir); errno = 0) {
    const std::string name = e->d_name;
    struct stat s {};
    if (name == "." || name == "..") continue;
    // A link to a directory is one: partitions are moved to other disks so. A link to nothing is a name all the same.
    if (fstatat(dirfd(dir), e->d_name, &s, 0) != 0 && fstatat(dirfd(dir), e->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    out.entries.push_back({name, S_ISDIR(s.st_mode), S_ISDIR(s.st_mode) ? 0 : s.st_size});
  }
  if (errno != 0) out.error = last_error();
  closedir(dir);
  std::sort(out.entries.begin(), out.entries.end(),
            [](const DirEntry& a, const DirEntry& b) { return a.name < b.name; });
  return out;
}

Opened lock_directory(const std::string& path) {
  Opened file = open_file(path + "/.lock", OpenMode::create);
  if (file.error != IoError::none) return file;
  struct flock whole {};  // of fcntl, as Java's file locks: those of flock() would not be seen
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(file.descriptor.get(), F_OFD_SETLK, &whole) != 0) file.error = last_error();
  return file;
}

int64_t descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX) return INT32_MAX;
  return static_cast<int64_t>(limit.rlim_cur);
}

std::optional<DiskBytes> disk_bytes(const std::string& path) {
  struct statvfs s {};
  if (statvfs(path.c_str(), &s) != 0) return std::nullopt;
  const auto unit = static_cast<int64_t>(s.f_frsize);
  return DiskBytes{static_cast<int64_t>(s.f_blocks) * unit, static_cast<int64_t>(s.f_bavail) * unit};
}

}  // namespace klamm::server
