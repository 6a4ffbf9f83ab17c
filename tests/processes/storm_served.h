// SPDX-License-Identifier: Apache-2.0
//
// What a node of the storm serves: every shape of call.
#pragma once

#include <trunkline/grid.h>

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <coroutine>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace trunkline::processes {

// The message of a stream: its number, and as much behind it as the number says.
inline Bytes message_of(int number) {
  return fmt::format("{}:", number) +
         Bytes(static_cast<std::size_t>(number) * 977 % 5000, static_cast<char>('a' + number % 26));
}

inline Task<GridResult<Bytes>> echo(GridRequest request) {
  co_return std::move(request.payload);
}

inline Task<GridResult<Bytes>> sum(GridRequest request) {
  std::uint64_t total = 0;
  for (const char byte : request.payload) {
    total += static_cast<unsigned char>(byte);
  }
  co_return fmt::format("{}", total);
}

// So many messages, and then the end.
inline Task<GridResult<void>> numbers(GridRequest request, GridStream stream) {
  const int count = std::stoi(request.payload);
  for (int i = 0; i < count; ++i) {
    const GridResult<void> sent = co_await stream.send(message_of(i));
    if (!sent.has_value()) {
      co_return std::unexpected(sent.error());
    }
  }
  co_return GridResult<void>{};
}

// Every message back.
inline Task<GridResult<void>> mirror(GridRequest, GridStream stream) {
  while (true) {
    GridResult<std::optional<Bytes>> message = co_await stream.receive();
    if (!message.has_value()) {
      co_return std::unexpected(message.error());
    }
    if (!message->has_value()) {
      co_return GridResult<void>{};
    }
    const GridResult<void> sent = co_await stream.send(std::move(**message));
    if (!sent.has_value()) {
      co_return std::unexpected(sent.error());
    }
  }
}

// Lets coroutines go on, on a thread of its own, when their stop token says so.
class Stopper {
 public:
  Stopper() : thread_([this](const std::stop_token& end) { run(end); }) {}

  // co_await stopper.requested(token)
  auto requested(std::stop_token stop) {
    struct Awaiter {
      Stopper& stopper;
      std::stop_token stop;

      [[nodiscard]] bool await_ready() const noexcept { return false; }

      void await_suspend(std::coroutine_handle<> waiter) const { stopper.add(stop, waiter); }

      void await_resume() const noexcept {}
    };

    return Awaiter{*this, std::move(stop)};
  }

  // Somebody's token was asked to stop.
  void look() {
    const std::lock_guard lock(mutex_);
    must_look_ = true;
    changed_.notify_all();
  }

 private:
  struct Waiter {
    std::stop_token stop;
    std::coroutine_handle<> handle;
  };

  void add(std::stop_token stop, std::coroutine_handle<> waiter) {
    const std::lock_guard lock(mutex_);
    waiters_.push_back({std::move(stop), waiter});
    must_look_ = true;
    changed_.notify_all();
  }

  void run(const std::stop_token& end) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, end, [this] { return must_look_; })) {
      must_look_ = false;
      const auto stopped = std::ranges::partition(
          waiters_, [](const Waiter& waiter) { return !waiter.stop.stop_requested(); });
      const std::vector<Waiter> woken(stopped.begin(), stopped.end());
      waiters_.erase(stopped.begin(), stopped.end());
      lock.unlock();
      for (const Waiter& waiter : woken) {
        waiter.handle.resume();
      }
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Waiter> waiters_;
  bool must_look_ = false;
  std::jthread thread_;
};

// Nothing, until it is stopped.
inline Task<GridResult<Bytes>> never(Stopper* stopper, GridRequest request) {
  const std::stop_callback look(request.stop, [stopper] { stopper->look(); });
  co_await stopper->requested(request.stop);
  co_return grid_error(1, "stopped");
}

// The stopper must outlive the node.
inline void serve(GridNode& node, Stopper& stopper) {
  node.handle("echo", echo);
  node.handle("sum", sum);
  node.handle_stream("numbers", numbers);
  node.handle_stream("mirror", mirror);
  node.handle("never",
              [&stopper](GridRequest request) { return never(&stopper, std::move(request)); });
}

}  // namespace trunkline::processes
