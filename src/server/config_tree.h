// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/error.h>

#include "server/config.h"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace trunkline::server {

// A configuration's text in any of the formats as one kind of tree. YAML scalars stay text: the
// reader knows which type an option has. Errors: kConfig with source, line and reason.
[[nodiscard]] Result<nlohmann::json> parse_tree(std::string_view text, ConfigFormat format,
                                                const std::string& source);

// Puts environment variables in their places: CENTRIFUGO_CLIENT_INSECURE is client.insecure.
// A list of named objects may come as JSON, or as names separated by blanks
// (…_NAMESPACES="a b") with the members in variables of their own (…_NAMESPACES_A_PRESENCE).
void apply_environment(nlohmann::json& tree, const EnvironmentVariables& environment);

}  // namespace trunkline::server
