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
  const std::uint32_t window = options_.limits.stream_window;
  if (!reserve(call, window, &MemoryPool::try_reserve)) {
    TRUNKLINE_SOMETIMES("the pool is used up");
    return false;
  }
  call.window = call.granted = window;
  return true;
}

// Makes what is reserved for it at least `needed` bytes; false when the pool does not have them.
bool Mux::reserve(Call& call, std::uint64_t needed, Reserve of_pool) {
  if (needed <= call.reserved) {
    return true;
  }
  // A very large message behind much that is unread would not fit what counts it.
  if (needed > UINT32_MAX || !(pool_.*of_pool)(needed - call.reserved)) {
    return false;
  }
  call.reserved = static_cast<std::uint32_t>(needed);
  return true;
}

// So much ahead of what the program has taken; it has to be reserved.
void Mux::grant(Call& call, std::uint32_t ahead) {
  if (ahead <= call.granted) {
    return;
  }
  call.granted = ahead;
  // An Open that has not left yet says it itself.
  if (call.is_on_wire && !TRUNKLINE_MUTANT("credit-not-told")) {
    call.owes_credit = true;
    if (!static_cast<ListHook<ControlLine>&>(call).is_linked()) {
      control_.push_back(call);
    }
  }
}

// A message has begun, `rest` of it has not come; false when there is no memory for it.
bool Mux::grant_message(Call& call, std::size_t rest) {
  const std::uint64_t needed = call.unread + std::uint64_t{rest};
  if (needed <= call.granted) {
    return true;
  }
  if (!reserve(call, needed, &MemoryPool::try_reserve)) {
    return false;
  }
  grant(call, static_cast<std::uint32_t>(needed));
  return true;
}

std::uint32_t Mux::window_max(const Call& call) const {
  return call.window_max != 0 ? call.window_max
                              : static_cast<std::uint32_t>(options_.stream_window_max);
}

void Mux::limit_window(CallRef ref, std::size_t bytes) {
  if (Call* call = find(ref); call != nullptr) {
    call->window_max = static_cast<std::uint32_t>(
        std::clamp<std::size_t>(bytes, options_.limits.stream_window, kStreamBytesBound));
  }
}

// The program has taken something: the window moves on, half of it at a time, and gets wider for
// who uses it up.
void Mux::grant_more(Call& call) {
  if (call.taken >= call.window && call.window < window_max(call)) {
    call.window = std::min(2 * call.window, window_max(call));
    call.taken = 0;
  }
  if (call.window - call.window / 2 < call.granted) {
    return;
  }
  const bool is_reserved = reserve(call, call.window, &MemoryPool::try_reserve_spare);
  grant(call, is_reserved ? call.window : call.reserved);
}

// This side waits for the stream's credit. If the peer does, too, and nobody reads, both would wait
// for ever: what the peer may send grows.
void Mux::rescue(Call& call) {
  if (call.is_over || call.is_deaf || call.input_ended || call.unused_credit() > kDataCost ||
      call.rescued >= options_.stream_rescue_max) {
    return;
  }
  const std::uint32_t wider = window_max(call);
  const std::uint64_t ahead = std::uint64_t{call.granted} + wider;
  if (!reserve(call, ahead, &MemoryPool::try_reserve_spare)) {
    return;
  }
  TRUNKLINE_SOMETIMES("both ends wait for credit");
  call.rescued += wider;
  grant(call, static_cast<std::uint32_t>(ahead));
}

Result<void> Mux::count_stream(Call& call, std::uint64_t cost) {
  // Not counted when it is too much: what is held stays what was reserved, to the last.
  if (cost > call.unused_credit()) {
    return trunkline::fail(ErrorCode::kProtocolError,
                           fmt::format("stream {} has sent {} bytes, {} were granted", call.wire_id,
                                       call.received + cost, call.receive_limit()));
  }
  call.received += cost;
  call.unread += static_cast<std::uint32_t>(cost);
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
  TRUNKLINE_ASSERT(cost <= call->unread);
  call->unread -= static_cast<std::uint32_t>(cost);
  call->granted -= static_cast<std::uint32_t>(cost);
  call->taken = static_cast<std::uint32_t>(std::min<std::uint64_t>(call->taken + cost, UINT32_MAX));
  call->last_consumed = now_ = now;
  // Not below the first window while it lives, nor below what was granted.
  const std::uint32_t keep =
      call->is_deaf ? call->unread : std::max(call->granted, options_.limits.stream_window);
  if (call->reserved > keep) {
    pool_.release(call->reserved - keep);
    call->reserved = keep;
  }
  if (TRUNKLINE_MUTANT("credit-returned-twice")) {
    grant(*call, call->granted + static_cast<std::uint32_t>(cost));
  }
  if (!call->is_deaf && !call->input_ended) {
    call->rescued = call->granted <= call->window ? 0 : call->rescued;
    grant_more(*call);
  }
}

}  // namespace trunkline::grid
