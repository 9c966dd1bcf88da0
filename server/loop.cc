#include "server/loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>

#include "server/clock.h"

namespace klamm::server {

// Sockets belong to one thread, so their state needs no locks; posts from other threads do.
struct Loop::Impl {
  boost::asio::io_context context{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{context.get_executor()};
};

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() = default;
boost::asio::io_context& Loop::context() { return impl_->context; }

void Loop::post(std::function<void()> work) { boost::asio::post(impl_->context, std::move(work)); }

void Loop::run_ready(Instant until) {
  if (until == kNever) {
    impl_->context.run_one();
  } else if (const Duration left = until - monotonic_now(); left.ns > 0) {
    constexpr int64_t kMostNs = int64_t{3600} * 1'000'000'000;
    impl_->context.run_one_for(std::chrono::nanoseconds(std::min(left.ns, kMostNs)));
  }
  impl_->context.poll();
}

}  // namespace klamm::server
