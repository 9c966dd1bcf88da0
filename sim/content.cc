#include "sim/content.h"

#include <algorithm>

namespace klamm::sim {

const uint8_t* Content::page_bytes(size_t page) const {
  if (page >= pages()) return nullptr;
  const BufferRef& p = chunks_[page / kChunk]->pages[page % kChunk];
  return p ? p->data() : nullptr;
}

uint8_t* Content::own_page(size_t page) {
  if (page >= pages()) chunks_.resize(page / kChunk + 1);
  BufferRef& p = chunks_[page / kChunk].write().pages[page % kChunk];
  if (!p) {
    p = BufferRef::make(kPage);
    std::memset(p->data(), 0, kPage);
  } else if (p->references > 1) {
    BufferRef own = BufferRef::make(kPage);
    std::memcpy(own->data(), p->data(), kPage);
    p = std::move(own);
  }
  return p->data();
}

void Content::write(int64_t offset, ByteSpan bytes) {
  KLAMM_ASSERT(offset >= 0);
  while (!bytes.empty()) {
    const size_t in_page = static_cast<size_t>(offset % kPage);
    const size_t n = std::min(bytes.size(), static_cast<size_t>(kPage) - in_page);
    std::memcpy(own_page(static_cast<size_t>(offset / kPage)) + in_page, bytes.data(), n);
    offset += static_cast<int64_t>(n);
    bytes = bytes.subspan(n);
    size_ = std::max(size_, offset);
  }
}

void Content::truncate(int64_t size) {
  KLAMM_ASSERT(size >= 0);
  if (size < size_) {
    const size_t keep = static_cast<size_t>((size + kPage - 1) / kPage);
    const size_t chunks = (keep + kChunk - 1) / kChunk;
    if (chunks < chunks_.size()) chunks_.resize(chunks);
    for (size_t page = keep; page < pages(); ++page)
      if (page_bytes(page)) chunks_[page / kChunk].write().pages[page % kChunk] = {};
    const size_t tail = static_cast<size_t>(size % kPage);
    if (tail > 0 && page_bytes(keep - 1)) std::memset(own_page(keep - 1) + tail, 0, kPage - tail);
  }
  size_ = size;
}

Slice Content::read(int64_t offset, int64_t most) const {
  KLAMM_ASSERT(offset >= 0 && most >= 0);
  const int64_t n = std::min(most, size_ - offset);
  if (n <= 0) return {};
  BufferRef out = BufferRef::make(static_cast<uint32_t>(n));
  out->fill = static_cast<uint32_t>(n);
  for (int64_t done = 0; done < n;) {
    const int64_t at = offset + done;
    const int64_t part = std::min(n - done, kPage - at % kPage);
    const uint8_t* page = page_bytes(static_cast<size_t>(at / kPage));
    if (page)
      std::memcpy(out->data() + done, page + at % kPage, static_cast<size_t>(part));
    else
      std::memset(out->data() + done, 0, static_cast<size_t>(part));
    done += part;
  }
  const uint8_t* data = out->data();
  return Slice(std::move(out), data, static_cast<size_t>(n));
}

bool Content::shares_page(const Content& other, size_t page) const {
  return page_bytes(page) == other.page_bytes(page);
}

void Content::take_sectors(const Content& from, size_t page, uint32_t sectors) {
  if (shares_page(from, page) || sectors == 0) return;
  uint8_t* to = own_page(page);
  const uint8_t* source = from.page_bytes(page);
  for (int64_t s = 0; s < kPage / kSector; ++s) {
    if (!(sectors >> s & 1)) continue;
    if (source)
      std::memcpy(to + s * kSector, source + s * kSector, kSector);
    else
      std::memset(to + s * kSector, 0, kSector);
  }
}

}  // namespace klamm::sim
