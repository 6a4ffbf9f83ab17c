// SPDX-License-Identifier: Apache-2.0
//
// Streams between two nodes of the grid, as their programs see them. trunkline/grid.h includes it.
#pragma once

#include <trunkline/grid_types.h>
#include <trunkline/task.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <utility>

namespace trunkline {

namespace net {
class GridDriver;
class GridStreamState;
class GridAskedBase;
template <class Waiting>
class GridAsked;
template <class Waiting>
struct GridSuspension;
}  // namespace net

namespace detail {
class GridWaiting;
}  // namespace detail

class GridReceiving;
class GridSending;

// One side of a stream: messages both ways, in order. Copies are the same stream; when the last one
// goes, a caller's stream that has not ended is cancelled. At most one receive() and one send() may
// be waiting at a time. Thread: any.
class GridStream {
 public:
  GridStream(const GridStream& other) noexcept;

  GridStream(GridStream&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}

  GridStream& operator=(GridStream other) noexcept;
  ~GridStream();

  // Queues a message, when there is room: co_await it. Success means queued, not received. Errors:
  // kHandler and all others when the stream has failed or is over, kTooLarge, kInvalid when another
  // send() waits, kNotConnected when the node has stopped. A handler may send until it returns, a
  // caller until finish().
  [[nodiscard]] GridSending send(Bytes message) const;
  // The next message: co_await it. None: the other side has ended well and everything has come.
  // Each message is given once, also those that came before a failure. Errors as send()'s.
  [[nodiscard]] GridReceiving receive() const;
  // The caller sends nothing more. A handler finishes by returning.
  void finish();
  // Ends it now; the handler there is stopped. A receive() or send() that waits fails with
  // kCancelled. Of a handler's stream it does nothing: it returns an error instead.
  void cancel();

 private:
  friend class net::GridDriver;
  friend class detail::GridWaiting;

  explicit GridStream(net::GridStreamState& state) noexcept;

  net::GridStreamState* state_;
};

namespace detail {

// Somebody who waits for a stream, and goes on on the node's thread; on its own where there was
// nothing to wait for, or the node has stopped. To have it go on elsewhere, let a task wait
// (as_task()). When its coroutine is destroyed it waits no more; that may be done on the node's
// thread at any time, on others only while no message, room or end can come.
class GridWaiting {
 public:
  GridWaiting(const GridWaiting&) = delete;
  GridWaiting& operator=(const GridWaiting&) = delete;

 protected:
  template <class Waiting>
  friend class net::GridAsked;
  template <class Waiting>
  friend struct net::GridSuspension;

  enum class Outcome : std::uint8_t { kDone, kClosed, kOccupied, kTooLarge, kStopped, kAgain };

  explicit GridWaiting(GridStream stream) : stream_(std::move(stream)) {}

  ~GridWaiting() = default;

  [[nodiscard]] net::GridStreamState& state() const { return *stream_.state_; }

  // Once. False: it was awaited before.
  [[nodiscard]] bool begin_await();
  [[nodiscard]] bool is_at_home() const;
  // Whoever waits goes on. Nothing may be touched after it.
  void resume();
  [[nodiscard]] GridError error() const;

  GridStream stream_;
  std::coroutine_handle<> waiter_;
  std::shared_ptr<net::GridAskedBase> asked_;  // from another thread
  bool is_awaited_ = false;
  bool is_waiting_ = false;
  Outcome outcome_ = Outcome::kDone;
};

}  // namespace detail

// What receive() gives. To be awaited once; a second time is kInvalid.
class [[nodiscard]] GridReceiving : private detail::GridWaiting {
 public:
  using Value = GridResult<std::optional<Bytes>>;

  ~GridReceiving();
  [[nodiscard]] bool await_ready();
  bool await_suspend(std::coroutine_handle<> waiter);
  Value await_resume();
  // For whoever wants a task: run_task(), or to keep it.
  [[nodiscard]] Task<Value> as_task() &&;

 private:
  friend class GridStream;
  friend class net::GridStreamState;
  template <class Waiting>
  friend class net::GridAsked;
  template <class Waiting>
  friend struct net::GridSuspension;

  explicit GridReceiving(GridStream stream) : GridWaiting(std::move(stream)) {}

  [[nodiscard]] bool begin();
};

// What send() gives. To be awaited once; a second time is kInvalid.
class [[nodiscard]] GridSending : private detail::GridWaiting {
 public:
  using Value = GridResult<void>;

  ~GridSending();
  [[nodiscard]] bool await_ready();
  bool await_suspend(std::coroutine_handle<> waiter);
  Value await_resume();
  [[nodiscard]] Task<Value> as_task() &&;

 private:
  friend class GridStream;
  friend class net::GridStreamState;
  template <class Waiting>
  friend class net::GridAsked;
  template <class Waiting>
  friend struct net::GridSuspension;

  GridSending(GridStream stream, Bytes message)
      : GridWaiting(std::move(stream)), message_(std::move(message)) {}

  [[nodiscard]] bool try_send();
  [[nodiscard]] bool begin();

  Bytes message_;
};

// A stream for a handler that may block: the same, but send() and receive() wait. For one thread at
// a time, and not the node's.
class GridBlockingStream {
 public:
  explicit GridBlockingStream(GridStream stream) : stream_(std::move(stream)) {}

  // As GridStream's.
  [[nodiscard]] GridResult<void> send(Bytes message);
  [[nodiscard]] GridResult<std::optional<Bytes>> receive();

 private:
  GridStream stream_;
};

// Of a stream's handler.
struct GridStreamLimits {
  // Streams of it at once, of all peers together; those of cancelled ones count until their handler
  // has ended. More are refused (kBusy, not run). 0: as many as handlers_max lets in.
  std::size_t streams_max = 0;
  // Unread, of one of its streams; 0: stream_window_bytes. From 16 KiB to 1 GiB.
  std::size_t window_bytes = 0;
};

// A stream whose messages have types. As GridStream otherwise.
template <class Out, class In>
class GridTypedStream {
 public:
  explicit GridTypedStream(GridStream stream) : stream_(std::move(stream)) {}

  [[nodiscard]] GridSending send(const Out& message) const {
    return stream_.send(detail::packed(message));
  }

  // Errors, besides: kHandler for a message that is of another type.
  [[nodiscard]] Task<GridResult<std::optional<In>>> receive() const { return unpack(stream_); }

  void finish() { stream_.finish(); }

  void cancel() { stream_.cancel(); }

 private:
  static Task<GridResult<std::optional<In>>> unpack(GridStream stream) {
    const GridResult<std::optional<Bytes>> bytes = co_await stream.receive();
    if (!bytes.has_value()) {
      co_return std::unexpected(bytes.error());
    }
    if (!bytes->has_value()) {
      co_return std::optional<In>{};
    }
    std::optional<In> message(std::in_place);
    if (!GridCodec<In>::unpack(**bytes, *message)) {
      co_return grid_error(0, "a message of the stream is of another type");
    }
    co_return message;
  }

  GridStream stream_;
};

}  // namespace trunkline
