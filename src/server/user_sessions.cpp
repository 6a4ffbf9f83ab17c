// SPDX-License-Identifier: Apache-2.0
#include "server/user_sessions.h"

#include "server/gather.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace trunkline::server {

namespace {

std::vector<session::Session*> selected(net::Shard& shard, const UserSelection& selection) {
  session::Registry& registry = shard.environment().registry;
  std::vector<session::Session*> found;
  // Anonymous clients are not listed by user: they are named by their client id.
  for (const session::SessionId id :
       selection.user.empty() ? registry.all() : registry.of_user(selection.user)) {
    session::Session* session = registry.find(id);
    const bool meant =
        session != nullptr && session->is_connected() && session->user() == selection.user &&
        (selection.client.empty() || session->client() == selection.client) &&
        std::ranges::find(selection.spared, session->client()) == selection.spared.end();
    if (meant) {
      found.push_back(session);
    }
  }
  return found;
}

}  // namespace

void with_sessions(net::Runtime& runtime, hub::ShardId origin, UserSelection selection,
                   std::function<bool(session::Session&)> action,
                   std::move_only_function<void(std::size_t)> done) {
  gather<std::size_t>(
      runtime, origin,
      [selection = std::move(selection), action = std::move(action)](net::Shard& shard) {
        std::size_t count = 0;
        for (session::Session* session : selected(shard, selection)) {
          count += action(*session) ? 1U : 0U;
        }
        return count;
      },
      [done = std::move(done)](const std::vector<std::size_t>& counts) mutable {
        done(std::accumulate(counts.begin(), counts.end(), std::size_t{0}));
      });
}

}  // namespace trunkline::server
