// SPDX-License-Identifier: Apache-2.0
#include "net/user_counts.h"

#include "net/shard.h"

#include <utility>

namespace trunkline::net {

bool UserCounts::count(const std::string& user, std::size_t limit) {
  std::size_t& connections = counts_[user];
  if (connections >= limit) {
    return false;
  }
  ++connections;
  return true;
}

void UserCounts::discount(const std::string& user) {
  const auto found = counts_.find(user);
  TRUNKLINE_ASSERT(found != counts_.end());
  if (--found->second == 0) {
    counts_.erase(found);
  }
}

void UserCounts::acquire(const std::string& user, std::size_t limit,
                         std::move_only_function<void(bool)> done) {
  const hub::ShardId home = home_of(user);
  if (home == self_) {
    done(count(user, limit));
    return;
  }
  mailboxes_[home]->post([origin = self_, user, limit,
                          done = std::move(done)](Shard& shard) mutable {
    shard.mailbox(origin).post([counted = shard.users().count(user, limit), done = std::move(done)](
                                   Shard& /*asker*/) mutable { done(counted); });
  });
}

void UserCounts::release(const std::string& user) {
  const hub::ShardId home = home_of(user);
  if (home == self_) {
    discount(user);
    return;
  }
  mailboxes_[home]->post([user](Shard& shard) { shard.users().discount(user); });
}

}  // namespace trunkline::net
