// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/error.h>

#include "server/json_view.h"
#include "session/server_channel.h"

#include <vector>

namespace trunkline::server {

// The server-side subscriptions of a connection token's claims: `subs` (an object of options by
// channel: info or b64info, data or b64data; others are passed over) and `channels` (a list of
// names). Errors: kTokenInvalid.
[[nodiscard]] Result<std::vector<session::ServerChannel>> channel_claims(const JsonMembers& claims);

}  // namespace trunkline::server
