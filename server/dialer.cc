#include "server/dialer.h"

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "server/clock.h"

namespace klamm::server {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

Duration Dialer::share(Duration left, size_t addresses) {
  return addresses <= 1 ? Duration{INT64_MAX}
                        : std::max(Duration{left.ns / static_cast<int64_t>(addresses)}, kShareLeast);
}

class Dialer::Impl final : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& context, Done done, Duration most)
      : socket_(context), resolver_(context), timer_(context), done_(std::move(done)), end_(monotonic_now() + most) {}

  void resolve(const std::string& host, uint16_t port) {
    resolver_.async_resolve(host, std::to_string(port),
                            [weak = weak_from_this()](ErrorCode e, const tcp::resolver::results_type& found) {
                              const auto self = weak.lock();
                              if (!self) return;
                              if (!e)
                                for (const auto& entry : found) self->addresses_.push_back(entry.endpoint());
                              self->next(IoError::unreachable);
                            });
  }
  void dial(std::vector<tcp::endpoint> addresses) {
    addresses_ = std::move(addresses);
    next(IoError::unreachable);
  }

 private:
  // Tries the next address; without one, the dial ends as the last address did.
  void next(IoError before) {
    if (tried_ == addresses_.size()) return done_(before, {});
    const Duration time = share(end_ - monotonic_now(), addresses_.size() - tried_);
    try_one(addresses_[tried_++]);
    if (time.ns != INT64_MAX) limit(time);
  }
  void try_one(const tcp::endpoint& address) {
    ErrorCode ignored;
    socket_.close(ignored);
    timed_out_ = false;
    socket_.async_connect(address, [weak = weak_from_this(), v6 = address.address().is_v6()](ErrorCode e) {
      const auto self = weak.lock();
      if (!self) return;
      self->timer_.cancel();
      if (self->timed_out_) return self->next(IoError::timed_out);  // though it may have come at the last moment
      if (e) return self->next(io_error(e.value()));
      self->done_(IoError::none, {Descriptor(self->socket_.release()), v6});
    });
  }
  void limit(Duration time) {
    timer_.expires_after(std::chrono::nanoseconds(time.ns));
    timer_.async_wait([weak = weak_from_this(), tried = tried_](ErrorCode e) {
      const auto self = weak.lock();
      if (!self || e || self->tried_ != tried) return;
      self->timed_out_ = true;
      ErrorCode ignored;
      self->socket_.close(ignored);  // which ends the attempt
    });
  }

  tcp::socket socket_;
  tcp::resolver resolver_;
  asio::steady_timer timer_;
  const Done done_;
  const Instant end_;
  std::vector<tcp::endpoint> addresses_;
  size_t tried_ = 0;
  bool timed_out_ = false;  // the one that is being tried
};

Dialer::Dialer(Loop& loop, Done done, Duration most)
    : impl_(std::make_shared<Impl>(loop.context(), std::move(done), most)) {}
Dialer::~Dialer() = default;

void Dialer::dial(const std::string& host, uint16_t port) {
  ErrorCode error;
  const asio::ip::address address = asio::ip::make_address(host, error);
  error ? impl_->resolve(host, port) : impl_->dial({tcp::endpoint(address, port)});
}

void Dialer::dial(const std::vector<std::pair<std::string, uint16_t>>& addresses) {
  std::vector<tcp::endpoint> all;
  for (const auto& [host, port] : addresses) all.emplace_back(asio::ip::make_address(host), port);
  impl_->dial(std::move(all));
}

}  // namespace klamm::server
