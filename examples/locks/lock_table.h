// SPDX-License-Identifier: Apache-2.0
//
// What one lock node knows: who has which lock, until when by its own clock. In memory only. So
// that a restart cannot give away what was given before, a node grants nothing until one longest
// lease has passed since its start: by then whatever it has forgotten has run out.
#pragma once

#include "locks/messages.h"

#include <chrono>
#include <cstddef>
#include <string>
#include <unordered_map>

namespace locks {

// Told the time. Thread: one at a time.
class LockTable {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  LockTable(std::chrono::milliseconds lease_max, std::size_t locks_max, TimePoint started)
      : lease_max_(lease_max), locks_max_(locks_max), started_(started), sweep_at_(started) {}

  // Grants a lock that is free; one that is the owner's already stays so, for longer.
  [[nodiscard]] LockReply acquire(const LockRequest& request, TimePoint now);
  // The same: of a lock that is free here, since this node was restarted, the owner is told that it
  // was *granted* and not *kept*, and can count.
  [[nodiscard]] LockReply refresh(const LockRequest& request, TimePoint now);
  [[nodiscard]] LockReply release(const LockRequest& request, TimePoint now);

  [[nodiscard]] std::size_t size() const { return held_.size(); }

  // From when on it grants.
  [[nodiscard]] TimePoint grants_from() const { return started_ + lease_max_; }

 private:
  struct Holding {
    Owner owner{};
    TimePoint expires;
  };

  void sweep(TimePoint now);

  const std::chrono::milliseconds lease_max_;
  const std::size_t locks_max_;
  const TimePoint started_;
  TimePoint sweep_at_;
  std::unordered_map<std::string, Holding> held_;
};

}  // namespace locks
