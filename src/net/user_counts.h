// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/string_map.h"
#include "hub/messages.h"
#include "net/mailbox.h"
#include "session/user_limiter.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::net {

// Connections a user over all shards: each user has a home shard, which counts; the others ask it
// by mail. One object a shard. Thread: owning shard.
class UserCounts final : public session::UserLimiter {
 public:
  // The mailboxes of all shards must outlive it.
  UserCounts(hub::ShardId self, const std::vector<std::unique_ptr<Mailbox>>& mailboxes)
      : self_(self), mailboxes_(mailboxes) {}

  // session::UserLimiter
  void acquire(const std::string& user, std::size_t limit,
               std::move_only_function<void(bool)> done) override;
  void release(const std::string& user) override;

  // For users whose home is this shard.
  [[nodiscard]] bool count(const std::string& user, std::size_t limit);
  void discount(const std::string& user);

 private:
  [[nodiscard]] hub::ShardId home_of(const std::string& user) const {
    return static_cast<hub::ShardId>(stable_hash(user) % mailboxes_.size());
  }

  const hub::ShardId self_;
  const std::vector<std::unique_ptr<Mailbox>>& mailboxes_;
  StringMap<std::size_t> counts_;
};

}  // namespace trunkline::net
