// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace trunkline::server {

// Threads for work that blocks. Thread: any, once started.
class WorkerPool {
 public:
  // Called once, on a thread of the pool, or with `stopped` on the one that stops it.
  using Work = std::move_only_function<void(bool stopped)>;

  WorkerPool() = default;
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  ~WorkerPool() { stop(); }

  void start(unsigned threads);
  // Waits for the work that runs; what waits is told that it will not.
  void stop();
  // False when kWaitingMax wait already, or the pool is not running: `work` is not called then.
  [[nodiscard]] bool post(Work& work);

 private:
  static constexpr std::size_t kWaitingMax = 100'000;

  void run();

  std::mutex mutex_;
  std::condition_variable something_;
  std::deque<Work> waiting_;
  bool running_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace trunkline::server
