// The operating system's files, with its refusals as IoError. Any thread.
#pragma once
#include <sys/uio.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/env/command.h"
#include "engine/env/event.h"

namespace klamm::server {

IoError io_error(int error_number);

// Owns a descriptor.
class Descriptor final {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& o) noexcept : value_(o.release()) {}
  Descriptor& operator=(Descriptor&& o) noexcept;
  ~Descriptor();
  int get() const { return value_; }
  explicit operator bool() const { return value_ >= 0; }
  int release() {
    const int v = value_;
    value_ = -1;
    return v;
  }

 private:
  int value_ = -1;
};

// Held by the table of files and by all that have still to send from it.
using Lease = std::shared_ptr<Descriptor>;

struct Opened {
  IoError error = IoError::none;
  Descriptor descriptor;
  int64_t size = 0;
};
Opened open_file(const std::string& path, OpenMode mode);
IoError write_all(int descriptor, int64_t offset, std::vector<iovec> pieces);
IoError truncate_file(int descriptor, int64_t size);
IoError sync_file(int descriptor);
IoError sync_directory(const std::string& path);
IoError make_directories(const std::string& path);
IoError remove_tree(const std::string& path);
IoError rename_path(const std::string& from, const std::string& to);

struct ReadBytes {
  IoError error = IoError::none;
  size_t size = 0;
};
// Fewer than asked for at the end of the file.
ReadBytes read_at(int descriptor, int64_t offset, uint8_t* into, size_t size);

struct SentBytes {
  size_t size = 0;
  int error = 0;            // errno; a full socket is none
  bool full = false;        // the socket takes no more now
  bool ends_early = false;  // the file does
};
// From a file into a socket that does not block. May wait for the file's device.
SentBytes send_file(int socket, int descriptor, int64_t offset, size_t size);

struct Loaded {
  IoError error = IoError::none;
  std::string bytes;
};
Loaded load_file(const std::string& path, uint32_t most);

struct Listing {
  IoError error = IoError::none;
  std::vector<DirEntry> entries;  // by name
};
Listing list_directory(const std::string& path);

// Takes the directory's ".lock"; held while the descriptor lives.
Opened lock_directory(const std::string& path);
int64_t descriptor_limit();  // of this process
// For each of so many runs in this process.
inline int64_t descriptor_share(size_t runs) { return descriptor_limit() / static_cast<int64_t>(runs); }
// Of so many, what connections leave to files.
inline int64_t descriptors_for_files(int64_t descriptors) { return descriptors / 2 < 2048 ? descriptors / 2 : 2048; }
struct DiskBytes {
  int64_t total = 0, free = 0;  // free: what may still be written
};
std::optional<DiskBytes> disk_bytes(const std::string& path);  // nothing: unknown

}  // namespace klamm::server
