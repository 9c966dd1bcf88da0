// A few threads for what may wait for a device. Threads start when first needed.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace klamm::server {

// `work` runs on a worker and touches nothing that the engine's thread may touch meanwhile; `done` runs on the engine's
// thread afterwards, once. A job is made and destroyed on the engine's thread.
struct Job {
  virtual ~Job() = default;
  virtual void work() = 0;
  virtual void done() = 0;
};

class Pool final {
 public:
  // `wake` is called from workers: it must make the engine's thread call `finish` soon.
  explicit Pool(std::function<void()> wake, size_t most_threads = 4)
      : wake_(std::move(wake)), most_threads_(most_threads) {}
  ~Pool() { stop(); }

  void submit(std::unique_ptr<Job> job);
  // Calls work() -> R on a worker and then done(R) on the engine's thread.
  template<class Work, class Done>
  void submit(Work work, Done done);
  // Runs `done` of what has ended.
  void finish();
  // Waits for the jobs that a worker has begun and drops the others.
  void stop();
  size_t under_way() const { return under_way_; }

 private:
  void run();

  const std::function<void()> wake_;
  const size_t most_threads_;
  size_t under_way_ = 0;  // the engine's thread only
  std::mutex mutex_;      // guards all below
  std::condition_variable ready_;
  std::deque<std::unique_ptr<Job>> waiting_;
  std::vector<std::unique_ptr<Job>> ended_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
};

template<class Work, class Done>
void Pool::submit(Work work, Done done) {
  struct Task final : Job {
    Task(Work w, Done d) : work_(std::move(w)), done_(std::move(d)) {}
    void work() override { result_ = work_(); }
    void done() override { done_(std::move(result_)); }
    Work work_;
    Done done_;
    decltype(std::declval<Work&>()()) result_{};
  };
  submit(std::make_unique<Task>(std::move(work), std::move(done)));
}

}  // namespace klamm::server
