// SPDX-License-Identifier: Apache-2.0
//
// A thread for what blocks, files here, and for waiting: a coroutine that awaits it goes on there.
#pragma once

#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <map>
#include <mutex>
#include <thread>

namespace tail {

class Worker {
 public:
  using Clock = std::chrono::steady_clock;

  Worker() : thread_([this] { run(); }) {}

  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  ~Worker() { stop(); }

  // Whoever waits goes on at once, now and from now on, on whatever thread.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
      changed_.notify_all();
    }
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  // co_await worker.after(50ms): goes on on the thread, so much later.
  auto after(std::chrono::milliseconds delay) {
    struct Awaiter {
      Worker& worker;
      std::chrono::milliseconds delay;

      [[nodiscard]] bool await_ready() const noexcept { return false; }

      [[nodiscard]] bool await_suspend(std::coroutine_handle<> waiter) const {
        return worker.add(Clock::now() + delay, waiter);
      }

      void await_resume() const noexcept {}
    };

    return Awaiter{*this, delay};
  }

  // co_await worker.here(): goes on on the thread.
  auto here() { return after(std::chrono::milliseconds(0)); }

 private:
  bool add(Clock::time_point when, std::coroutine_handle<> waiter) {
    const std::lock_guard lock(mutex_);
    if (is_stopping_) {
      return false;
    }
    waiting_.emplace(when, waiter);
    changed_.notify_all();
    return true;
  }

  void run() {
    std::unique_lock lock(mutex_);
    while (!is_stopping_ || !waiting_.empty()) {
      if (waiting_.empty()) {
        changed_.wait(lock);
      } else if (const auto first = waiting_.begin();
                 is_stopping_ || first->first <= Clock::now()) {
        const std::coroutine_handle<> waiter = first->second;
        waiting_.erase(first);
        lock.unlock();
        waiter.resume();
        lock.lock();
      } else {
        const Clock::time_point until = first->first;  // it may go while the lock is not held
        changed_.wait_until(lock, until);
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<Clock::time_point, std::coroutine_handle<>> waiting_;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace tail
