// SPDX-License-Identifier: Apache-2.0
//
// The order in which one dial tries the addresses of a name ("happy eyeballs", RFC 8305): families
// by turns, a new attempt every quarter second while none has succeeded, at once when one failed.
#pragma once

#include <trunkline/peer_types.h>

#include "core/time.h"

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace trunkline::peers {

// The first stays first (the resolver has sorted them, RFC 6724), then one of the other family, and
// so on by turns; each family keeps its order. What is there twice is taken once, beyond `max` is
// left out.
[[nodiscard]] std::vector<PeerEndpoint> interleaved(std::span<const PeerEndpoint> endpoints,
                                                    std::size_t max);

// Which attempts of one dial have been made. Thread: the owner's.
class DialPlan {
 public:
  DialPlan() = default;

  explicit DialPlan(std::vector<PeerEndpoint> endpoints) : endpoints_(std::move(endpoints)) {}

  // The number of the next attempt, which now counts as running; nothing when all were made.
  std::optional<std::size_t> start_next(TimePoint now, Duration interval) {
    if (started_ == endpoints_.size()) {
      return std::nullopt;
    }
    ++running_;
    next_ = now + interval;
    return started_++;
  }

  void on_failed() { --running_; }

  [[nodiscard]] const PeerEndpoint& endpoint(std::size_t attempt) const {
    return endpoints_[attempt];
  }

  // Whether there is nothing to wait for any more.
  [[nodiscard]] bool has_failed() const { return running_ == 0 && started_ == endpoints_.size(); }

  // When the next attempt is due although others are still running.
  [[nodiscard]] std::optional<TimePoint> next_due() const {
    return started_ < endpoints_.size() && started_ > 0 ? std::optional(next_) : std::nullopt;
  }

  [[nodiscard]] std::size_t started() const { return started_; }

 private:
  std::vector<PeerEndpoint> endpoints_;
  std::size_t started_ = 0;
  std::size_t running_ = 0;
  TimePoint next_;
};

}  // namespace trunkline::peers
