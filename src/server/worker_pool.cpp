// SPDX-License-Identifier: Apache-2.0
#include "server/worker_pool.h"

#include <utility>

namespace trunkline::server {

void WorkerPool::start(unsigned threads) {
  running_ = true;
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { run(); });
  }
}

void WorkerPool::stop() {
  std::deque<Work> dropped;
  {
    const std::lock_guard lock(mutex_);
    running_ = false;
    dropped.swap(waiting_);
  }
  something_.notify_all();
  for (Work& work : dropped) {
    work(true);
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
}

bool WorkerPool::post(Work& work) {
  {
    const std::lock_guard lock(mutex_);
    if (!running_ || waiting_.size() >= kWaitingMax) {
      return false;
    }
    waiting_.push_back(std::move(work));
  }
  something_.notify_one();
  return true;
}

void WorkerPool::run() {
  for (;;) {
    Work work;
    {
      std::unique_lock lock(mutex_);
      something_.wait(lock, [this] { return !running_ || !waiting_.empty(); });
      if (waiting_.empty()) {
        return;
      }
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work(false);
  }
}

}  // namespace trunkline::server
