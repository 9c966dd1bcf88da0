#include "engine/base/bytes.h"

#include <cstdlib>
#include <new>

namespace klamm {

Buffer* Buffer::make(uint32_t capacity) {
  void* memory = std::malloc(sizeof(Buffer) + capacity);
  if (!memory) throw std::bad_alloc();
  return new (memory) Buffer{1, capacity, 0, 0};
}

void Buffer::release(Buffer* b) {
  KLAMM_ASSERT(b->references > 0);
  if (--b->references == 0) std::free(b);
}

Slice Slice::copy(ByteSpan bytes) {
  if (bytes.empty()) return {};
  BufferRef b = BufferRef::make(static_cast<uint32_t>(bytes.size()));
  std::memcpy(b->data(), bytes.data(), bytes.size());
  b->fill = static_cast<uint32_t>(bytes.size());
  const uint8_t* data = b->data();
  return Slice(std::move(b), data, bytes.size());
}

}  // namespace klamm
