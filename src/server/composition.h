// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/error.h>
#include <trunkline/server.h>

#include "server/config.h"

namespace trunkline::server {

// The configuration that a server runs with: the file or text, the environment, the options that
// override them, and the demo's rules. Warnings go to options.log. Errors: kConfig.
[[nodiscard]] Result<ServerConfig> effective_config(const ServerOptions& options);

// For trying things out: anonymous clients may subscribe, publish and look at everything, every
// channel has history, recovery, presence, joins and leaves. Loopback only.
[[nodiscard]] Result<void> apply_demo(ServerConfig& config);

}  // namespace trunkline::server
