// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "server/config.h"
#include "server/config_reader.h"

namespace trunkline::server {

// The limits of the `client` section, from connections to commands a second; those that a session
// looks after go into config.client, the door's into config.limits.
void read_client_limits(ConfigSection& client, ServerConfig& config);

}  // namespace trunkline::server
