// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/position.h>

#include "core/time.h"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::session {

// A channel that a client did not ask for: the server subscribes it. Whether the subscription is
// positioned, recoverable, hears joins and is present is as the channel's namespace says (`force_…`
// options, since the client has no say).
struct ServerChannel {
  std::string channel{};
  std::string info{};  // raw JSON for presence, joins and leaves (chan_info); empty: none
  // Raw JSON that the client gets with the subscription. Empty: a snapshot, where the channel has
  // them.
  std::string data{};
  // Begin behind this position, if the history still holds what follows it.
  std::optional<Position> since{};
  // The connection is ended then (3006), after client.expired_sub_close_delay: a client can not
  // renew what it did not ask for.
  std::optional<WallTime> expire_at{};
};

// The channels that a connecting client of this user is to have besides those of its token:
// `asked` are those that it had on its last connection, by its own word. What is not returned of
// them has ended for it. Called on the session's shard while the connect is handled; not for
// clients that are refused. Short work only.
using ServerChannelsFunction = std::function<std::vector<ServerChannel>(
    std::string_view user, std::span<const std::string> asked)>;

}  // namespace trunkline::session
