#include "server/pool.h"

#include <csignal>

namespace klamm::server {

void Pool::submit(std::unique_ptr<Job> job) {
  ++under_way_;
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(job));
    if (idle_ < waiting_.size() && threads_.size() < most_threads_) threads_.emplace_back([this] { run(); });
  }
  ready_.notify_one();  // who wakes finds the mutex free
}

void Pool::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are the main thread's
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    ready_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    --idle_;
    if (stopping_) return;
    std::unique_ptr<Job> job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    job->work();
    lock.lock();
    ended_.push_back(std::move(job));
    if (ended_.size() > 1) continue;
    lock.unlock();
    wake_();
    lock.lock();
  }
}

void Pool::finish() {
  std::vector<std::unique_ptr<Job>> ended;
  {
    const std::lock_guard lock(mutex_);
    ended.swap(ended_);
  }
  under_way_ -= ended.size();
  for (const std::unique_ptr<Job>& job : ended) job->done();
}

void Pool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ready_.notify_all();
  }
  for (std::thread& t : threads_) t.join();
  threads_.clear();
  waiting_.clear();
  ended_.clear();
}

}  // namespace klamm::server
