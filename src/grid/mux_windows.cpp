// SPDX-License-Identifier: Apache-2.0
//
// What may be under way on the connection, and what streams may receive. What is granted to streams
// and not yet taken by the program is reserved of the pool, at all times; a live stream keeps at
// least its first window reserved, so it can always go on.
#include "core/assert.h"
#include "core/probe.h"
#include "grid/mux.h"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::grid {

namespace {

constexpr Duration kRateInterval = std::chrono::milliseconds(5);
constexpr double kNsPerSecond = 1e9;

}  // namespace

// Two round trips at the rate at which it comes, and a little: enough that the peer need not wait,
// and hardly more queued than that. With a window that is too small one window comes a round trip,
// so this doubles it until it is enough. The round trip is the shortest ever, since later ones have
// the queue in them that this is to keep short.
void Mux::fit_window(TimePoint now) {
  const Duration took = now - rate_since_;
  if (took < kRateInterval || shortest_round_trip_ == Duration::max()) {
    return;
  }
  const auto nanoseconds = [](Duration duration) {
    return static_cast<double>(std::chrono::nanoseconds(duration).count());
  };
  const auto rate = static_cast<std::uint64_t>(static_cast<double>(received_ - rate_from_) *
                                               kNsPerSecond / nanoseconds(took));
  // Pauses are forgotten slowly.
  rate_ = std::max(rate, rate_ - rate_ / 8);
  rate_from_ = received_;
  rate_since_ = now;
  const auto wanted = static_cast<std::uint64_t>(
      static_cast<double>(rate_) *
      nanoseconds(2 * shortest_round_trip_ + options_.connection_queueing) / kNsPerSecond);
  const std::uint64_t least = options_.limits.connection_window;
  window_ = std::clamp(wanted, least, std::max(least, options_.connection_window_max));
}

bool Mux::grant_first(Call& call) {
  const std::size_t window = options_.limits.stream_window;
  if (!pool_.try_reserve(window)) {
    TRUNKLINE_SOMETIMES("the pool is used up");
    return false;
  }
  call.reserved = call.window = call.receive_limit = window;
  return true;
}

void Mux::grant(Call& call, std::uint64_t limit) {
  if (limit <= call.receive_limit) {
    return;
  }
  call.receive_limit = limit;
  // An Open that has not left yet says it itself.
  if (call.is_on_wire && !TRUNKLINE_MUTANT("credit-not-told")) {
    call.owes_credit = true;
    if (!static_cast<ListHook<ControlLine>&>(call).is_linked()) {
      control_.push_back(call);
    }
  }
}

// A message that ends at `until` has begun; false when there is no memory for it.
bool Mux::grant_message(Call& call, std::uint64_t until) {
  if (until <= call.receive_limit) {
    return true;
  }
  const std::size_t needed = until - call.consumed;
  if (needed > call.reserved) {
    if (!pool_.try_reserve(needed - call.reserved)) {
      return false;
    }
    call.reserved = needed;
  }
  grant(call, until);
  return true;
}

std::uint64_t Mux::window_max(const Call& call) const {
  return call.window_max != 0 ? call.window_max : options_.stream_window_max;
}

void Mux::limit_window(CallRef ref, std::size_t bytes) {
  if (Call* call = find(ref); call != nullptr) {
    call->window_max = std::max<std::uint64_t>(bytes, options_.limits.stream_window);
  }
}

// The program has taken something: the window moves on, half of it at a time, and gets wider for
// who uses it up.
void Mux::grant_more(Call& call) {
  if (call.consumed - call.widened_at >= call.window && call.window < window_max(call)) {
    call.window = std::min<std::uint64_t>(2 * call.window, window_max(call));
    call.widened_at = call.consumed;
  }
  const std::uint64_t wanted = call.consumed + call.window;
  if (wanted < call.receive_limit + call.window / 2) {
    return;
  }
  const std::size_t needed = wanted - call.consumed;
  if (needed > call.reserved && pool_.try_reserve_spare(needed - call.reserved)) {
    call.reserved = needed;
  }
  grant(call, std::min<std::uint64_t>(wanted, call.consumed + call.reserved));
}

// This side waits for the stream's credit. If the peer does, too, and nobody reads, both would wait
// for ever: what the peer may send grows.
void Mux::rescue(Call& call) {
  if (call.is_over || call.is_deaf || call.input_ended ||
      call.receive_limit - call.received > kDataCost ||
      call.rescued >= options_.stream_rescue_max) {
    return;
  }
  const std::size_t wider = window_max(call);
  const std::size_t needed = call.receive_limit + wider - call.consumed;
  if (needed > call.reserved && !pool_.try_reserve_spare(needed - call.reserved)) {
    return;
  }
  TRUNKLINE_SOMETIMES("both ends wait for credit");
  call.reserved = std::max(call.reserved, needed);
  call.rescued += wider;
  grant(call, call.receive_limit + wider);
}

Result<void> Mux::count_stream(Call& call, std::uint64_t cost) {
  // Not counted when it is too much: what is held stays what was reserved, to the last.
  if (cost > call.receive_limit - call.received) {
    return trunkline::fail(ErrorCode::kProtocolError,
                           fmt::format("stream {} has sent {} bytes, {} were granted", call.wire_id,
                                       call.received + cost, call.receive_limit));
  }
  call.received += cost;
  if (call.is_blocked()) {
    rescue(call);
  }
  return {};
}

void Mux::consumed(CallRef ref, std::size_t payload_bytes, TimePoint now) {
  Call* call = find(ref);
  if (call == nullptr || call->kind != CallKind::kStream) {
    return;
  }
  const std::uint64_t cost = payload_bytes + kDataCost;
  TRUNKLINE_ASSERT(call->consumed + cost <= call->received);
  call->consumed += cost;
  call->last_consumed = now_ = now;
  // Not below the first window while it lives, nor below what was granted.
  const std::uint64_t granted = call->receive_limit - call->consumed;
  const std::size_t keep = call->is_deaf
                               ? call->received - call->consumed
                               : std::max<std::size_t>(granted, options_.limits.stream_window);
  if (call->reserved > keep) {
    pool_.release(call->reserved - keep);
    call->reserved = keep;
  }
  if (TRUNKLINE_MUTANT("credit-returned-twice")) {
    grant(*call, call->receive_limit + cost);
  }
  if (!call->is_deaf && !call->input_ended) {
    call->rescued = granted <= call->window ? 0 : call->rescued;
    grant_more(*call);
  }
}

}  // namespace trunkline::grid
