#include "server/send_queue.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace klamm::server {

SendQueue::Outcome SendQueue::send_some(int socket) {
  constexpr size_t kMostPieces = 64;
  Outcome out;
  while (!empty() && !region()) {
    std::array<iovec, kMostPieces> pieces;
    size_t count = 0, size = 0;
    bool more = false;  // a region follows: the kernel may wait for it
    for (size_t i = first_; i < pieces_.size() && count < kMostPieces; ++i) {
      more = pieces_[i].region.file != nullptr;
      if (more) break;
      const Slice& s = pieces_[i].bytes;
      const size_t skip = i == first_ ? offset_ : 0;
      pieces[count++] = {const_cast<uint8_t*>(s.data()) + skip, s.size() - skip};
      size += s.size() - skip;
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const ssize_t n = size == 0 ? 0 : ::sendmsg(socket, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    if (n < 0 && errno == EINTR) continue;
    out.full = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (out.full) return out;
    if (n < 0) return {errno, false, out.tell, out.moved};
    out.moved |= n > 0;
    out.tell |= consume(static_cast<size_t>(n));
    out.full = static_cast<size_t>(n) < size;  // the next call would only say so
    if (out.full) return out;
  }
  return out;
}

bool SendQueue::consume(size_t bytes) {
  bool tell = false;
  total_ += bytes;
  bytes += offset_;
  offset_ = 0;
  while (!empty() && !region() && bytes >= pieces_[first_].bytes.size()) {
    bytes -= pieces_[first_].bytes.size();
    tell |= pieces_[first_].tell;
    drop_front();
  }
  offset_ = bytes;
  return tell;
}

bool SendQueue::region_sent(size_t bytes, Lease* ended) {
  Waiting& front = pieces_[first_];
  total_ += bytes;
  front.region.offset += static_cast<int64_t>(bytes);
  front.region.size -= bytes;
  if (front.region.size > 0) return false;
  const bool tell = front.tell;
  *ended = std::move(front.region.file);
  drop_front();
  return tell;
}

bool SendQueue::has_region(const Descriptor* file, int64_t beyond) const {
  return std::any_of(pieces_.begin() + static_cast<ptrdiff_t>(first_), pieces_.end(), [&](const Waiting& w) {
    return w.region.file.get() == file && w.region.offset + static_cast<int64_t>(w.region.size) > beyond;
  });
}

std::vector<Lease> SendQueue::take_leases() {
  std::vector<Lease> leases;
  for (Waiting& w : pieces_)
    if (w.region.file) leases.push_back(std::move(w.region.file));
  return leases;
}

void SendQueue::drop_front() {
  tells_ -= pieces_[first_].tell;
  pieces_[first_] = {};
  ++first_;
  if (first_ == pieces_.size()) {
    pieces_.clear();
    first_ = 0;
    if (pieces_.capacity() > 64) pieces_.shrink_to_fit();
  } else if (first_ > 64 && first_ > pieces_.size() / 2) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<ptrdiff_t>(first_));
    first_ = 0;
  }
}

}  // namespace klamm::server
