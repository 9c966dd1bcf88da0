#include "server/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "server/clock.h"

namespace klamm::server {

MainWait::MainWait() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, s);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow (ulimit -f) is an error of its write
  signals_ = Descriptor(signalfd(-1, &set, SFD_CLOEXEC));
  woken_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

void MainWait::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(woken_.get(), &one, sizeof one);
}

MainWait::Why MainWait::wait(bool input, Duration at_most) {
  const Instant until = monotonic_now() + at_most;
  for (;;) {
    pollfd fds[] = {{signals_.get(), POLLIN, 0}, {woken_.get(), POLLIN, 0}, {input ? 0 : -1, POLLIN, 0}};
    const Duration left = until - monotonic_now();
    if (left.ns <= 0) return Why::timed_out;
    ::poll(fds, 3, static_cast<int>(std::min<int64_t>(left.ms() + 1, 3'600'000)));
    if (fds[0].revents) return Why::stopped;
    uint64_t count = 0;
    if (fds[1].revents && ::read(woken_.get(), &count, sizeof count) > 0) return Why::woken;
    char skipped[4096];
    if (fds[2].revents && ::read(0, skipped, sizeof skipped) <= 0) return Why::input_ended;
  }
}

void exit_at_latest_after(Duration time, int code) {
  std::thread([time, code] {
    std::this_thread::sleep_for(std::chrono::nanoseconds(time.ns));
    _exit(code);
  }).detach();
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace klamm::server
