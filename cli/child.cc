#include "cli/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "server/clock.h"

namespace klamm::cli {

std::unique_ptr<Child> Child::start(std::vector<std::string> arguments, int log) {
  int ends[2];
  if (pipe(ends) != 0) return nullptr;
  auto child = std::make_unique<Child>();
  child->ready_ = server::Descriptor(ends[0]);
  const server::Descriptor write_end(ends[1]);
  for (const char* more : {"--ready-descriptor", "3"}) arguments.push_back(more);
  std::vector<char*> argv{const_cast<char*>("klamm")};
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  child->pid_ = fork();
  if (child->pid_ < 0) return nullptr;
  if (child->pid_ > 0) return child;
  // Only calls that are safe between fork and exec.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int input = ::open("/dev/null", 0);
  dup2(input, 0);
  dup2(log, 1);
  dup2(log, 2);
  dup2(ends[1], 3);
  for (int fd = 4; fd < 1024; ++fd) ::close(fd);
  execv("/proc/self/exe", argv.data());
  _exit(127);
}

bool Child::wait_ready(Duration at_most) {
  const Instant until = server::monotonic_now() + at_most;
  for (;;) {
    const Duration left = until - server::monotonic_now();
    if (left.ns <= 0) return false;
    pollfd fd{ready_.get(), POLLIN, 0};
    if (::poll(&fd, 1, static_cast<int>(left.ms() + 1)) < 0) continue;
    char line;
    if (fd.revents) return ::read(ready_.get(), &line, 1) == 1;
  }
}

void Child::terminate() {
  if (pid_ > 0) ::kill(pid_, SIGTERM);
}

void Child::end(Duration at_most) {
  const Instant until = server::monotonic_now() + at_most;
  while (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (server::monotonic_now() >= until) ::kill(pid_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  pid_ = -1;
}

}  // namespace klamm::cli
