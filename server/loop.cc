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
  const Duration left = until == kNever ? kLongWait : until - monotonic_now();
  if (left.ns <= 0) {
    impl_->context.poll();
    return;
  }
  if (impl_->context.run_one_for(std::chrono::nanoseconds(std::min(left, kLongWait).ns)) == 0) return;
  // What else is ready shares the turn. But that look is a system call: where things have come one by one for a while,
  // most waits do without, and what they miss comes with the next.
  if (alone_ >= kAloneForAWhile && ++alone_ % kLookEvery != 0) return;
  alone_ = impl_->context.poll() > 0 ? 0 : alone_ + 1;
}

}  // namespace klamm::server
