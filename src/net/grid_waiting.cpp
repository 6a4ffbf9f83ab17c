// SPDX-License-Identifier: Apache-2.0
//
// How coroutines wait for streams. What can be done here and now, on the node's thread, is done
// without waiting and without memory; who waits is known to the stream by its place in the
// coroutine that waits.
#include "net/grid_driver.h"
#include "net/grid_stream.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

namespace trunkline {

namespace net {

// What a coroutine of another thread asks a stream for, on its way to the node's thread. Both hold
// it: the coroutine may go away meanwhile.
class GridAskedBase {
 public:
  GridAskedBase() = default;
  GridAskedBase(const GridAskedBase&) = delete;
  GridAskedBase& operator=(const GridAskedBase&) = delete;
  virtual ~GridAskedBase() = default;

  // Nobody waits any more. False: the node's thread knows who does already. Thread: any.
  [[nodiscard]] virtual bool withdraw() = 0;
};

template <class Waiting>
class GridAsked final : public GridAskedBase {
 public:
  explicit GridAsked(Waiting& waiting) : waiting_(&waiting) {}

  bool withdraw() override {
    const std::lock_guard lock(mutex_);
    return std::exchange(waiting_, nullptr) != nullptr;
  }

  // On the node's thread.
  void arrive() {
    Waiting* ready = nullptr;
    {
      const std::lock_guard lock(mutex_);
      Waiting* const waiting = std::exchange(waiting_, nullptr);
      if (waiting != nullptr && !waiting->begin()) {
        ready = waiting;
      }
    }
    if (ready != nullptr) {
      ready->resume();
    }
  }

  // The node has stopped.
  void drop() {
    Waiting* waiting = nullptr;
    {
      const std::lock_guard lock(mutex_);
      waiting = std::exchange(waiting_, nullptr);
    }
    if (waiting != nullptr) {
      waiting->outcome_ = Waiting::Outcome::kStopped;
      waiting->resume();
    }
  }

 private:
  std::mutex mutex_;
  Waiting* waiting_;
};

namespace {

// As mail for the node's thread. Dropped unread, it says so.
template <class Waiting>
class Mail {
 public:
  explicit Mail(std::shared_ptr<GridAsked<Waiting>> asked) : asked_(std::move(asked)) {}

  Mail(Mail&&) noexcept = default;
  Mail& operator=(Mail&&) = delete;
  Mail(const Mail&) = delete;
  Mail& operator=(const Mail&) = delete;

  ~Mail() {
    if (asked_ != nullptr) {
      asked_->drop();
    }
  }

  void operator()() { std::exchange(asked_, nullptr)->arrive(); }

 private:
  std::shared_ptr<GridAsked<Waiting>> asked_;
};

}  // namespace

// What GridReceiving and GridSending do alike.
template <class Waiting>
struct GridSuspension {
  // False: there is nothing to wait for. Otherwise it may have gone on already, and be no more.
  static bool suspend(Waiting& waiting, std::coroutine_handle<> waiter) {
    waiting.waiter_ = waiter;
    if (waiting.is_at_home()) {
      waiting.is_waiting_ = waiting.begin();
      return waiting.is_waiting_;
    }
    const std::shared_ptr<GridDriver> driver = waiting.state().home->driver();
    // Whose mail is refused goes on within suspend(); once may be, again and again would nest.
    if (driver == nullptr || driver->has_stopped()) {
      waiting.outcome_ = Waiting::Outcome::kStopped;
      return false;
    }
    waiting.is_waiting_ = true;
    auto asked = std::make_shared<GridAsked<Waiting>>(waiting);
    waiting.asked_ = asked;
    driver->post(Mail<Waiting>(std::move(asked)));
    return true;
  }

  // Its coroutine is destroyed, maybe while it waits.
  static void abandon(Waiting& waiting, std::atomic<Waiting*> GridStreamState::* place) {
    if (!waiting.is_waiting_ || (waiting.asked_ != nullptr && waiting.asked_->withdraw())) {
      return;
    }
    Waiting* expected = &waiting;
    (waiting.state().*place).compare_exchange_strong(expected, nullptr, std::memory_order_acq_rel);
  }
};

}  // namespace net

using net::GridDriver;
using net::GridStreamState;

namespace {

GridError caller_error(GridCode code, std::string text) {
  return {code, GridOrigin::kCaller, 0, false, std::move(text)};
}

GridError awaited_twice() {
  return caller_error(GridCode::kInvalid, "what send() or receive() gave was awaited twice");
}

}  // namespace

// --- what both have ---

namespace detail {

bool GridWaiting::begin_await() {
  if (std::exchange(is_awaited_, true)) {
    outcome_ = Outcome::kAgain;
    return false;
  }
  return true;
}

bool GridWaiting::is_at_home() const {
  return state().home->here() != nullptr;
}

void GridWaiting::resume() {
  is_waiting_ = false;
  waiter_.resume();
}

GridError GridWaiting::error() const {
  switch (outcome_) {
    case Outcome::kOccupied:
      return caller_error(GridCode::kInvalid, "somebody else waits for the same of this stream");
    case Outcome::kAgain:
      return awaited_twice();
    case Outcome::kTooLarge:
      return caller_error(GridCode::kTooLarge, "a message larger than the peer takes");
    case Outcome::kStopped:
      return {GridCode::kNotConnected, GridOrigin::kTransport, 0, false, "the node has stopped"};
    case Outcome::kDone:
    case Outcome::kClosed:
      break;
  }
  return state().why_closed();
}

}  // namespace detail

// --- receive() ---

GridReceiving::~GridReceiving() {
  net::GridSuspension<GridReceiving>::abandon(*this, &GridStreamState::receiver);
}

bool GridReceiving::await_ready() {
  return !begin_await() || (is_at_home() && state().receiver == nullptr && state().has_input());
}

bool GridReceiving::await_suspend(std::coroutine_handle<> waiter) {
  return net::GridSuspension<GridReceiving>::suspend(*this, waiter);
}

GridReceiving::Value GridReceiving::await_resume() {
  if (outcome_ != Outcome::kDone) {
    return std::unexpected(error());
  }
  return state().take_input();
}

Task<GridReceiving::Value> GridReceiving::as_task() && {
  return [](GridStream stream, bool is_first) -> Task<Value> {
    if (!is_first) {
      co_return std::unexpected(awaited_twice());
    }
    co_return co_await stream.receive();
  }(std::move(stream_), begin_await());
}

// On the node's thread.
bool GridReceiving::begin() {
  if (state().receiver != nullptr) {
    outcome_ = Outcome::kOccupied;
    return false;
  }
  if (state().has_input()) {
    return false;
  }
  state().receiver.store(this, std::memory_order_release);
  return true;
}

// --- send() ---

GridSending::~GridSending() {
  net::GridSuspension<GridSending>::abandon(*this, &GridStreamState::sender);
}

bool GridSending::await_ready() {
  return !begin_await() || (is_at_home() && try_send());
}

bool GridSending::await_suspend(std::coroutine_handle<> waiter) {
  return net::GridSuspension<GridSending>::suspend(*this, waiter);
}

GridSending::Value GridSending::await_resume() {
  if (outcome_ != Outcome::kDone) {
    return std::unexpected(error());
  }
  return {};
}

Task<GridSending::Value> GridSending::as_task() && {
  return [](GridStream stream, bool is_first, Bytes message) -> Task<Value> {
    if (!is_first) {
      co_return std::unexpected(awaited_twice());
    }
    co_return co_await stream.send(std::move(message));
  }(std::move(stream_), begin_await(), std::move(message_));
}

// On the node's thread. False: there is no room.
bool GridSending::try_send() {
  GridStreamState& stream = state();
  if (stream.is_over) {
    outcome_ = Outcome::kClosed;
  } else if (stream.sender != nullptr) {
    outcome_ = Outcome::kOccupied;
  } else if (message_.size() > stream.mux->message_bytes_max()) {
    outcome_ = Outcome::kTooLarge;
  } else if (!stream.mux->has_room(stream.ref, message_.size())) {
    return false;
  } else if (!stream.send(std::move(message_))) {
    outcome_ = Outcome::kClosed;
  }
  return true;
}

bool GridSending::begin() {
  if (try_send()) {
    return false;
  }
  state().sender.store(this, std::memory_order_release);
  return true;
}

}  // namespace trunkline
