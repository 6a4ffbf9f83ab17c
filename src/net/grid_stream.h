// SPDX-License-Identifier: Apache-2.0
//
// A stream of the program's: what has arrived and waits to be received, who waits for it, and who
// waits for room to send.
#pragma once

#include <trunkline/grid_stream.h>

#include "core/intrusive_list.h"
#include "core/ring.h"
#include "core/time.h"
#include "grid/mux.h"

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

namespace trunkline::net {

class GridDriver;

// How streams and replies find their node. Thread: any.
class GridHome : public boost::intrusive_ref_counter<GridHome> {
 public:
  explicit GridHome(const std::shared_ptr<GridDriver>& driver) : driver_(driver) {}

  // Null when the node is no more.
  [[nodiscard]] std::shared_ptr<GridDriver> driver() const { return driver_.lock(); }

  // The node, when this is its thread; otherwise null.
  [[nodiscard]] GridDriver* here() const;

 private:
  const std::weak_ptr<GridDriver> driver_;
};

using GridHomePtr = boost::intrusive_ptr<const GridHome>;

// The program's streams.
struct GridStreamTable;

// Both ends' stream object. All members belong to the node's thread but the counts and `home`.
// Thousands may be open and idle: what few of them need at a time is kept beside it.
class GridStreamState : public ListHook<GridStreamTable> {
  // First, so that they are there as long as what may still count: a stop that is being told.
  std::atomic<std::uint32_t> references_ = 0;
  std::atomic<std::uint32_t> handles_ = 0;

 public:
  // What only a caller's has.
  struct Caller {
    // What the trace says of it, when somebody is told.
    std::string peer;
    std::string handler;
    TimePoint began;
    bool is_traced = false;
    std::optional<std::stop_callback<std::function<void()>>> on_stop;
  };

  explicit GridStreamState(GridHomePtr of) : home(std::move(of)) {}

  GridStreamState(const GridStreamState&) = delete;
  GridStreamState& operator=(const GridStreamState&) = delete;

  const GridHomePtr home;
  grid::Mux* mux = nullptr;
  grid::CallRef ref;
  bool is_caller = false;
  bool is_waking = false;    // wake() follows
  bool is_over = false;      // the grid knows it no more
  bool input_ended = false;  // everything has come
  std::unique_ptr<const GridError> error;
  Ring<Bytes> inbox;  // a deque would cost 600 bytes a stream before its first message
  // Set and told on the node's thread; who goes away leaves from any.
  std::atomic<GridReceiving*> receiver = nullptr;
  std::atomic<GridSending*> sender = nullptr;
  std::stop_source stop{std::nostopstate};  // of a handler
  std::unique_ptr<Caller> caller;           // while it is traced or may be stopped

  // What the grid tells. Whoever tells it holds a reference: those who wait go on within it.
  void arrived(Bytes message);
  // Whoever waits gets what has arrived.
  void wake();
  void ended();
  void failed(GridError why);
  void has_room();

  // What the program asks.
  void finish();
  // Whether receive() can say something now.
  [[nodiscard]] bool has_input() const;
  [[nodiscard]] GridResult<std::optional<Bytes>> take_input();
  // There is room. False: nothing may be sent any more.
  [[nodiscard]] bool send(Bytes message);
  [[nodiscard]] GridError why_closed() const;

  // Copies of the program's GridStream. They hold one reference together. The last one that goes
  // lets go of a caller's stream.
  void add_handle() { handles_.fetch_add(1, std::memory_order_relaxed); }

  void drop_handle();
  // False when the last reference has gone. Only where it cannot have been destroyed yet.
  [[nodiscard]] bool try_add_reference();

 private:
  friend void intrusive_ptr_add_ref(GridStreamState* state) {
    state->references_.fetch_add(1, std::memory_order_relaxed);
  }

  friend void intrusive_ptr_release(GridStreamState* state) {
    if (state->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete state;
    }
  }

  ~GridStreamState() = default;

  // Everything has come, or nothing more will.
  void tell_receiver();
  void end_sender();
};

using GridStreamPtr = boost::intrusive_ptr<GridStreamState>;

}  // namespace trunkline::net
