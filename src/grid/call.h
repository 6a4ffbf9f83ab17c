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
struct RoomLine;

// What is to be said before the call is over on the wire, instead of data.
enum class LastWord : std::uint8_t { kNone, kFailure, kCancel };

// What is new with every call that takes the place.
struct CallState {
  bool is_own = false;   // this side called
  bool is_held = false;  // by the program
  bool is_on_wire = false;
  bool is_counted = false;  // among the own calls or the handlers
  bool is_over = false;     // nothing can be sent or received any more
  bool is_deaf = false;     // what comes is dropped
  CallKind kind = CallKind::kRequest;
  Priority priority = Priority::kBySize;
  LastWord last_word = LastWord::kNone;
  std::uint64_t wire_id = 0;
  std::uint64_t token = 0;  // the program's
  TimePoint deadline = TimePoint::max();
  Failure failure{};  // of the last word

  // Which handler: its number of the caller's, or 0 and the name itself.
  std::uint16_t handler = 0;
  std::string unlisted_name{};

  // --- sending ---
  bool has_current = false;
  bool is_begun = false;    // the first piece of `current` has left
  bool is_opening = false;  // `current` is a request's, an opening's or a response's payload
  bool end_queued = false;  // End follows what is queued
  bool end_sent = false;
  bool wants_room = false;   // send() has said "full"
  bool owes_credit = false;  // receive_limit has grown and was not told
  std::size_t offset = 0;    // of `current`, sent
  std::string current{};
  Ring<std::string> queue{};     // a stream's messages behind it
  std::size_t queued_bytes = 0;  // unsent, `current` included
  std::uint64_t spent = 0;       // of send_limit
  std::uint64_t send_limit = 0;
  TimePoint blocked_since = TimePoint::max();  // for want of the stream's credit

  // --- receiving ---
  bool is_receiving = false;    // `partial` waits for chunks
  bool partial_counts = false;  // … which are a stream's Data
  bool input_ended = false;     // the peer has said End
  std::uint32_t partial_total = 0;
  std::string partial{};
  std::uint64_t received = 0;        // counted as the peer's `spent`
  std::uint64_t receive_limit = 0;   // granted
  std::uint64_t consumed = 0;        // taken by the program
  std::uint64_t window = 0;          // what is granted ahead of `consumed`
  std::uint64_t window_max = 0;      // 0: as the options say
  std::uint64_t widened_at = 0;      // `consumed` when the window was made wider
  std::uint64_t rescued = 0;         // granted beyond the window, while both ends wait
  std::size_t reserved = 0;          // of the pool
  std::size_t partial_reserved = 0;  // of the pool, for a message that no window covers
  TimePoint last_consumed = TimePoint::min();
};

struct Call final : CallState,
                    Timer,
                    ListHook<SendLine>,
                    ListHook<ControlLine>,
                    ListHook<RoomLine> {
  explicit Call(Mux& of) : mux(of) {}

  void on_timer(TimePoint now) override;

  Mux& mux;
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  // another one with each call that takes the place
  bool in_use = false;
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
