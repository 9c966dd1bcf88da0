// A run of a file, by name: for bytes that go from the disk to a peer and are never looked at on the way.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/base/ids.h"

namespace klamm {

struct FileRegion {
  FileId file;
  int64_t offset = 0;
  uint32_t size = 0;
  friend constexpr bool operator==(const FileRegion&, const FileRegion&) = default;
  template<class V>
  void fields(V& v) const {
    v("file", file), v("offset", offset), v("size", size);
  }
};

// Where a region lies among pieces of memory: before the piece of that index. In the order of the bytes.
struct PlacedRegion {
  size_t before = 0;
  FileRegion region;
  template<class V>
  void fields(V& v) const {
    v("before", before), v("region", region);
  }
};

}  // namespace klamm
