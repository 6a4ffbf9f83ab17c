// SPDX-License-Identifier: Apache-2.0
//
// What the three formats and the environment have in common: one tree of JSON values.
#pragma once

#include <trunkline/error.h>

#include "server/config.h"

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::server {

// A scalar of which nobody has said the type: plain in YAML, or from the environment. The reader
// takes it for what the option is, which it must not do with JSON's "8000". Kept as a binary value
// of the tree, which no format produces.
[[nodiscard]] nlohmann::json untyped(std::string_view text);
[[nodiscard]] std::optional<std::string> untyped_text(const nlohmann::json& value);

// A configuration's text in any of the formats as one kind of tree. Errors: kConfig with source,
// line and reason.
[[nodiscard]] Result<nlohmann::json> parse_tree(std::string_view text, ConfigFormat format,
                                                const std::string& source);

struct EnvironmentEffects {
  std::map<std::string, std::string, std::less<>> origins;  // dotted key: the variable that set it
  std::vector<std::string> warnings;
};

// Puts environment variables in their places: CENTRIFUGO_CLIENT_INSECURE is client.insecure, and
// TRUNKLINE_CLIENT_INSECURE wins over it. A list of named objects may come as JSON, or as names
// separated by blanks (…_NAMESPACES="a b") with the members in variables of their own
// (…_NAMESPACES_A_PRESENCE), which also complete the namespaces of the file; '-' of a name is '_'.
// Whether an option exists is the reader's to say.
[[nodiscard]] EnvironmentEffects apply_environment(nlohmann::json& tree,
                                                   const EnvironmentVariables& environment);

}  // namespace trunkline::server
