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

// What only a call has that fails, or whose handler has no number.
struct Rare {
  std::string unlisted_name{};  // the handler
  Failure failure{};            // of the last word
};

// What is new with every call that takes the place. Thousands are open and idle, so what only a
// busy or a failing one needs is kept beside it, and what a stream may hold, which is bounded
// (kStreamBytesBound), is counted in 32 bits.
struct CallState {
  bool is_own : 1 = false;   // this side called
  bool is_held : 1 = false;  // by the program
  bool is_on_wire : 1 = false;
  bool is_counted : 1 = false;  // among the own calls or the handlers
  bool is_over : 1 = false;     // nothing can be sent or received any more
  bool is_deaf : 1 = false;     // what comes is dropped
  bool end_queued : 1 = false;  // End follows what is queued
  bool end_sent : 1 = false;
  bool wants_room : 1 = false;     // send() has said "full"
  bool waits_in_room : 1 = false;  // on_room() follows
  bool owes_credit : 1 = false;    // receive_limit() has grown and was not told
  bool input_ended : 1 = false;    // the peer has said End
  CallKind kind = CallKind::kRequest;
  Priority priority = Priority::kBySize;
  LastWord last_word = LastWord::kNone;
  std::uint16_t handler = 0;  // its number of the caller's, or 0 and the name itself

  std::uint64_t wire_id = 0;
  std::uint64_t token = 0;  // the program's
  std::unique_ptr<Rare> rare{};

  // --- sending ---
  std::unique_ptr<Outgoing> out{};  // null: nothing
  std::uint64_t spent = 0;          // of send_limit
  std::uint64_t send_limit = 0;

  // --- receiving ---
  std::unique_ptr<Incoming> in{};  // null: no message is unfinished
  std::uint64_t received = 0;      // counted as the peer's `spent`
  TimePoint last_consumed = TimePoint::min();
  std::uint32_t unread = 0;      // of `received`: not taken by the program
  std::uint32_t granted = 0;     // ahead of what the program has taken: `unread` and what may come
  std::uint32_t reserved = 0;    // of the pool, for it
  std::uint32_t window = 0;      // what is to be granted
  std::uint32_t window_max = 0;  // 0: as the options say
  std::uint32_t taken = 0;       // by the program since the window was made wider, or UINT32_MAX
  std::uint32_t rescued = 0;     // granted beyond the window, while both ends wait
};

// Its timer is armed for as long as it has a deadline to keep.
struct Call final : CallState, Timer, ListHook<SendLine>, ListHook<ControlLine> {
  void on_timer(TimePoint now) override;

  [[nodiscard]] bool in_use() const { return generation != 0; }

  // max(): none.
  [[nodiscard]] TimePoint deadline() const { return is_armed() ? due() : TimePoint::max(); }

  [[nodiscard]] Rare& rare_part() {
    if (rare == nullptr) {
      rare = std::make_unique<Rare>();
    }
    return *rare;
  }

  [[nodiscard]] std::size_t unsent_bytes() const { return out == nullptr ? 0 : out->bytes; }

  [[nodiscard]] bool is_blocked() const {
    return out != nullptr && out->blocked_since != TimePoint::max();
  }

  // Of what was granted, what the peer has not used.
  [[nodiscard]] std::uint32_t unused_credit() const { return granted - unread; }

  // What the peer's `spent` may come to.
  [[nodiscard]] std::uint64_t receive_limit() const { return received + unused_credit(); }

  Mux* mux = nullptr;
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  // another one with each call that takes the place; 0: none
};

// Most open calls are idle streams, so this is what they cost.
static_assert(sizeof(Call) <= 192);

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
