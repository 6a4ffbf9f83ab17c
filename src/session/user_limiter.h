// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace trunkline::session {

// Counts the connections of each user over all shards. Thread: owning shard.
class UserLimiter {
 public:
  UserLimiter() = default;
  UserLimiter(const UserLimiter&) = delete;
  UserLimiter& operator=(const UserLimiter&) = delete;
  virtual ~UserLimiter() = default;

  // Counts one more, unless the user has `limit` already. `done` is called on this shard, once,
  // from inside or later: true when it was counted, and release() has to follow.
  virtual void acquire(const std::string& user, std::size_t limit,
                       std::move_only_function<void(bool)> done) = 0;
  virtual void release(const std::string& user) = 0;
};

}  // namespace trunkline::session
