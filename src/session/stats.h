// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/time.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>

namespace trunkline::session {

// Durations in powers of two from 16 µs to 8 s; the last bucket takes the rest.
struct LatencyHistogram {
  static constexpr std::size_t kBuckets = 21;
  std::array<std::uint64_t, kBuckets> counts{};
  Duration sum{0};

  [[nodiscard]] static constexpr Duration upper_bound(std::size_t bucket) {
    return std::chrono::microseconds(16) * (1LL << bucket);
  }

  void add(Duration duration) {
    std::size_t bucket = 0;
    while (bucket + 1 < kBuckets && duration > upper_bound(bucket)) {
      ++bucket;
    }
    ++counts[bucket];
    sum += duration;
  }
};

// Counters of one shard's sessions. Thread: owning shard.
struct SessionStats {
  std::uint64_t connected = 0;  // now, with a successful connect
  std::uint64_t commands = 0;
  std::uint64_t received_bytes = 0;                      // of messages
  std::uint64_t recoveries = 0;                          // subscriptions that resumed without a gap
  std::uint64_t failed_recoveries = 0;                   // that were told that they could not
  std::uint64_t refused_commands = 0;                    // above the rate
  std::map<std::uint32_t, std::uint64_t> error_replies;  // by code
  std::map<std::uint16_t, std::uint64_t> disconnects;    // by code, those that the server began
  LatencyHistogram command_latency;  // from a command's arrival to its reply in the outbox
};

}  // namespace trunkline::session
