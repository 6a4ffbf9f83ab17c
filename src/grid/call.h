// SPDX-License-Identifier: Apache-2.0
//
// One request or stream, as the Mux keeps it; of either side.
//
// Two things hold it: the wire (the peer may still speak of its id) and the program (a caller that
// waits, a stream object, a handler that runs). It is free when neither does, so a cancelled call
// whose handler runs still counts, and an answer that nobody waits for costs nothing.
#pragma once

#include "core/intrusive_list.h"
#include "core/ring.h"
#include "core/time.h"
#include "core/timer_wheel.h"
#include "grid/failure.h"
#include "grid/wire.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline::grid {

class Mux;

// Names a call towards the program. Never used again by a Mux.
struct CallRef {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  // 0: none

  explicit operator bool() const { return generation != 0; }

  friend bool operator==(const CallRef&, const CallRef&) = default;
};

enum class CallKind : std::uint8_t { kRequest, kStream };

struct SendLine;
struct ControlLine;

// What is to be said before the call is over on the wire, instead of data.
enum class LastWord : std::uint8_t { kNone, kFailure, kCancel };

// What a call has to send: a message, and a stream's others behind it.
struct Outgoing {
  std::string current{};
  std::size_t offset = 0;     // of `current`, sent
  bool is_begun = false;      // the first piece of `current` has left
  bool is_opening = false;    // `current` is a request's, an opening's or a response's payload
  std::size_t bytes = 0;      // unsent, of all
  Ring<std::string> queue{};  // behind `current`
  TimePoint blocked_since = TimePoint::max();  // for want of the stream's credit
};

// A message that is being put together from its pieces.
struct Incoming {
  std::string bytes{};
  std::uint32_t total = 0;
  bool is_counted = false;   // against the stream's limit: it is a stream's Data
  std::size_t reserved = 0;  // of the pool, when no window covers it
};

// What is new with every call that takes the place. Thousands are open and idle, so what only a
// busy or a failing one needs is kept beside it.
struct CallState {
  bool is_own = false;   // this side called
  bool is_held = false;  // by the program
  bool is_on_wire = false;
  bool is_counted = false;  // among the own calls or the handlers
  bool is_over = false;     // nothing can be sent or received any more
  bool is_deaf = false;     // what comes is dropped
  bool end_queued = false;  // End follows what is queued
  bool end_sent = false;
  bool wants_room = false;     // send() has said "full"
  bool waits_in_room = false;  // on_room() follows
  bool owes_credit = false;    // receive_limit has grown and was not told
  bool input_ended = false;    // the peer has said End
  CallKind kind = CallKind::kRequest;
  Priority priority = Priority::kBySize;
  LastWord last_word = LastWord::kNone;
  // Which handler: its number of the caller's, or 0 and the name itself.
  std::uint16_t handler = 0;
  std::unique_ptr<const std::string> unlisted_name{};
  std::unique_ptr<const Failure> failure{};  // of the last word

  std::uint64_t wire_id = 0;
  std::uint64_t token = 0;  // the program's
  TimePoint deadline = TimePoint::max();

  // --- sending ---
  std::unique_ptr<Outgoing> out{};  // null: nothing
  std::uint64_t spent = 0;          // of send_limit
  std::uint64_t send_limit = 0;

  // --- receiving ---
  std::unique_ptr<Incoming> in{};   // null: no message is unfinished
  std::uint64_t received = 0;       // counted as the peer's `spent`
  std::uint64_t receive_limit = 0;  // granted
  std::uint64_t consumed = 0;       // taken by the program
  std::uint64_t window = 0;         // what is granted ahead of `consumed`
  std::uint64_t window_max = 0;     // 0: as the options say
  std::uint64_t widened_at = 0;     // `consumed` when the window was made wider
  std::uint64_t rescued = 0;        // granted beyond the window, while both ends wait
  std::size_t reserved = 0;         // of the pool, for the window
  TimePoint last_consumed = TimePoint::min();
};

struct Call final : CallState, Timer, ListHook<SendLine>, ListHook<ControlLine> {
  explicit Call(Mux& of) : mux(of) {}

  void on_timer(TimePoint now) override;

  [[nodiscard]] bool in_use() const { return generation != 0; }

  [[nodiscard]] std::size_t unsent_bytes() const { return out == nullptr ? 0 : out->bytes; }

  [[nodiscard]] bool is_blocked() const {
    return out != nullptr && out->blocked_since != TimePoint::max();
  }

  Mux& mux;
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  // another one with each call that takes the place; 0: none
};

// A message as it came: whole in the read buffer, or put together.
class Arrived {
 public:
  explicit Arrived(std::string_view bytes) : bytes_(bytes) {}

  explicit Arrived(std::string& whole) : bytes_(whole), whole_(&whole) {}

  // Valid until the call that gave it returns.
  [[nodiscard]] std::string_view bytes() const { return bytes_; }

  // As a string of one's own, without a copy when it was put together. Once.
  [[nodiscard]] std::string take() const {
    return whole_ != nullptr ? std::move(*whole_) : std::string(bytes_);
  }

 private:
  std::string_view bytes_;
  std::string* whole_ = nullptr;
};

}  // namespace trunkline::grid
