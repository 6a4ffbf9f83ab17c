// SPDX-License-Identifier: Apache-2.0
//
// How a coroutine waits for something that happens on the node's thread. It is asked for from any
// thread; the coroutine goes on where it happens. When the coroutine is destroyed meanwhile, what
// it has asked for is told.
#pragma once

#include <trunkline/grid.h>

#include <atomic>
#include <coroutine>
#include <memory>
#include <optional>
#include <utility>

namespace trunkline::net {

// Shared by the coroutine and whoever completes it.
template <class T>
class GridWait {
 public:
  // Once.
  void complete(T value) {
    value_.emplace(std::move(value));
    if (phase_.exchange(Phase::kDone, std::memory_order_acq_rel) == Phase::kWaiting) {
      waiter_.resume();
    }
  }

  // False: it is complete already, and nobody will resume.
  bool suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    Phase expected = Phase::kNew;
    return phase_.compare_exchange_strong(expected, Phase::kWaiting, std::memory_order_acq_rel);
  }

  // The coroutine is no more. True: it was not complete.
  bool abandon() {
    return phase_.exchange(Phase::kAbandoned, std::memory_order_acq_rel) != Phase::kDone;
  }

  T take() { return std::move(*value_); }

 private:
  enum class Phase : unsigned char { kNew, kWaiting, kDone, kAbandoned };

  std::optional<T> value_;
  std::coroutine_handle<> waiter_;
  std::atomic<Phase> phase_ = Phase::kNew;
};

// Completes a wait once. Destroyed before (its task was dropped by a node that has stopped), it
// completes it with what there is to say then.
template <class T>
class GridOnce {
 public:
  explicit GridOnce(std::shared_ptr<GridWait<T>> wait) : wait_(std::move(wait)) {}

  GridOnce(GridOnce&& other) noexcept = default;
  GridOnce& operator=(GridOnce&&) = delete;
  GridOnce(const GridOnce&) = delete;
  GridOnce& operator=(const GridOnce&) = delete;

  ~GridOnce() {
    tell(std::unexpected(GridError{GridCode::kNotConnected, GridOrigin::kTransport, 0, false,
                                   "the node has stopped"}));
  }

  void tell(T value) {
    if (const std::shared_ptr<GridWait<T>> wait = std::exchange(wait_, nullptr)) {
      wait->complete(std::move(value));
    }
  }

 private:
  std::shared_ptr<GridWait<T>> wait_;
};

// `start(GridOnce<T>)` asks for it; `dropped()` is called when the coroutine is destroyed before it
// has come.
template <class T, class Start, class Dropped>
class GridAwait {
 public:
  GridAwait(Start start, Dropped dropped)
      : start_(std::move(start)), dropped_(std::move(dropped)) {}

  GridAwait(const GridAwait&) = delete;
  GridAwait& operator=(const GridAwait&) = delete;

  ~GridAwait() {
    if (wait_ != nullptr && wait_->abandon()) {
      dropped_();
    }
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }

  bool await_suspend(std::coroutine_handle<> waiter) {
    wait_ = std::make_shared<GridWait<T>>();
    const std::shared_ptr<GridWait<T>> wait = wait_;  // this object may go while it starts
    start_(GridOnce<T>(wait));
    return wait->suspend(waiter);
  }

  T await_resume() { return wait_->take(); }

 private:
  [[no_unique_address]] Start start_;
  [[no_unique_address]] Dropped dropped_;
  std::shared_ptr<GridWait<T>> wait_;
};

template <class T, class Start, class Dropped>
[[nodiscard]] GridAwait<T, Start, Dropped> grid_await(Start start, Dropped dropped) {
  return GridAwait<T, Start, Dropped>(std::move(start), std::move(dropped));
}

}  // namespace trunkline::net
