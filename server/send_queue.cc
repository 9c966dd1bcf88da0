#include "server/send_queue.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace klamm::server {

void SendQueue::push(Slice bytes, bool tell) { slices_.push_back({std::move(bytes), tell}); }

SendQueue::Outcome SendQueue::send_some(int socket) {
  constexpr size_t kMostPieces = 64;
  Outcome out;
  while (!slices_.empty()) {
    std::array<iovec, kMostPieces> pieces;
    size_t count = 0, size = 0;
    for (size_t i = first_; i < slices_.size() && count < kMostPieces; ++i) {
      const Slice& s = slices_[i].bytes;
      const size_t skip = i == first_ ? offset_ : 0;
      pieces[count++] = {const_cast<uint8_t*>(s.data()) + skip, s.size() - skip};
      size += s.size() - skip;
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const ssize_t n = size == 0 ? 0 : ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return out;
    if (n < 0) return {errno, out.tell};
    out.tell |= consume(static_cast<size_t>(n));
    if (static_cast<size_t>(n) < size) return out;  // the buffer is full: the next call would only say so
  }
  return out;
}

bool SendQueue::consume(size_t bytes) {
  bool tell = false;
  total_ += bytes;
  for (bytes += offset_; first_ < slices_.size() && bytes >= slices_[first_].bytes.size(); ++first_) {
    bytes -= slices_[first_].bytes.size();
    tell |= slices_[first_].tell;
    slices_[first_].bytes = Slice();
  }
  offset_ = bytes;
  if (first_ == slices_.size()) {
    slices_.clear();
    first_ = 0;
    if (slices_.capacity() > 64) slices_.shrink_to_fit();
  } else if (first_ > 64 && first_ > slices_.size() / 2) {
    slices_.erase(slices_.begin(), slices_.begin() + static_cast<ptrdiff_t>(first_));
    first_ = 0;
  }
  return tell;
}

}  // namespace klamm::server
