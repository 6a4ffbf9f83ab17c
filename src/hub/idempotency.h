// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/position.h>

#include "core/ring.h"
#include "core/string_map.h"
#include "core/time.h"

#include <string>
#include <string_view>

namespace trunkline::hub {

// The keys of a channel's recent publications: a publisher that repeats a request gets the first
// one's position and nothing is published twice. Bounded by age and number.
// Thread: owning shard.
class RecentKeys {
 public:
  static constexpr Duration kAge = std::chrono::minutes(5);
  static constexpr std::size_t kKeysMax = 10'000;

  [[nodiscard]] const Position* find(std::string_view key, TimePoint now) {
    forget(now);
    const auto found = positions_.find(key);
    return found == positions_.end() ? nullptr : &found->second;
  }

  void remember(std::string key, Position position, TimePoint now) {
    forget(now);
    if (order_.size() == kKeysMax) {
      pop();
    }
    order_.push_back(Used{key, now});
    positions_.insert_or_assign(std::move(key), std::move(position));
  }

  void forget(TimePoint now) {
    while (!order_.empty() && order_.front().at + kAge <= now) {
      pop();
    }
  }

  [[nodiscard]] bool empty() const { return order_.empty(); }

 private:
  struct Used {
    std::string key;
    TimePoint at;
  };

  void pop() {
    positions_.erase(order_.front().key);
    order_.pop_front();
  }

  StringMap<Position> positions_;
  Ring<Used> order_;
};

}  // namespace trunkline::hub
