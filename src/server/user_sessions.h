// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/runtime.h"
#include "session/session.h"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace trunkline::server {

// Whom a call means: a user's connected sessions, or one of them, but for those on the list.
struct UserSelection {
  std::string user{};
  std::string client{};
  std::vector<std::string> spared{};  // client ids

  [[nodiscard]] bool empty() const { return user.empty() && client.empty(); }
};

// Does something with each of them, on every shard; it says whether that had an effect. `done` is
// called on `origin` with how many said so, when all shards have been through; dropped when the
// server stops meanwhile. Calls of one thread come to each shard in their order. Thread: any.
void with_sessions(net::Runtime& runtime, hub::ShardId origin, UserSelection selection,
                   std::function<bool(session::Session&)> action,
                   std::move_only_function<void(std::size_t)> done);

}  // namespace trunkline::server
