// SPDX-License-Identifier: Apache-2.0
//
// Admission control for reconnect storms. A handshake is followed by what costs a server most: a
// token to verify, subscriptions, recoveries. When a hundred thousand clients come back at once,
// taking them all means serving nobody; so handshakes pass at a rate, those above it wait in order,
// and who would have to wait too long is told at once to come later. Clients that are connected
// notice nothing.
//
// The queue needs no timeout: its length is what the rate lets through within the longest wait.
#pragma once

#include "core/ring.h"
#include "core/time.h"
#include "core/token_bucket.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

namespace trunkline::net {

// Thread: the listener's shard.
template <class Waiter>
class HandshakeQueue {
 public:
  enum class Verdict : std::uint8_t {
    kGo,
    kWait,     // next() returns it when it is its turn
    kRefused,  // the queue is full: nothing was queued
  };

  // `per_second` must be above zero; so many may also come at once.
  HandshakeQueue(std::uint32_t per_second, Duration wait_max)
      : bucket_({.count = per_second, .interval = std::chrono::seconds(1)}),
        length_max_(length(per_second, wait_max)) {}

  [[nodiscard]] Verdict arrive(Waiter waiter, TimePoint now) {
    if (waiting_.empty() && bucket_.try_take(now)) {
      return Verdict::kGo;
    }
    if (waiting_.size() >= length_max_) {
      return Verdict::kRefused;
    }
    waiting_.push_back(std::move(waiter));
    return Verdict::kWait;
  }

  // The first in line when it may go now; call it until it returns nothing.
  [[nodiscard]] std::optional<Waiter> next(TimePoint now) {
    if (waiting_.empty() || !bucket_.try_take(now)) {
      return std::nullopt;
    }
    std::optional<Waiter> first(std::move(waiting_.front()));
    waiting_.pop_front();
    return first;
  }

  // When next() has to be called; nothing while nobody waits.
  [[nodiscard]] std::optional<TimePoint> next_wakeup(TimePoint now) const {
    return waiting_.empty() ? std::nullopt : std::optional(bucket_.next(now));
  }

  // One that was let through had gone already: another may go instead.
  void give_back() { bucket_.give_back(); }

  [[nodiscard]] std::size_t size() const { return waiting_.size(); }

 private:
  // A ceiling for absurd settings: a million that wait are a gigabyte of sockets in the kernel.
  static constexpr std::uint64_t kLengthMax = 1'000'000;

  static std::size_t length(std::uint32_t per_second, Duration wait_max) {
    const auto wait_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(wait_max).count());
    // Of the wait no more than what cannot overflow: 2^32 a second for 2^31 ms.
    const std::uint64_t bounded = std::min<std::uint64_t>(
        wait_ms, static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max()));
    return static_cast<std::size_t>(std::min(per_second * bounded / 1000, kLengthMax));
  }

  TokenBucket bucket_;
  const std::size_t length_max_;
  Ring<Waiter> waiting_;
};

}  // namespace trunkline::net
