// SPDX-License-Identifier: Apache-2.0
//
// JSON text from an HTTP body whose parts are handed on as they stand: a publication's data must
// come out byte for byte as the backend wrote it, with its numbers and the order of its members.
#pragma once

#include <trunkline/error.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::server {

// An object's members or an array's elements as raw text, every token checked (RFC 8259), without
// line feeds, which separate messages on the wire.
using JsonMembers = std::vector<std::pair<std::string, std::string>>;

// Errors of both: kMalformed.
[[nodiscard]] Result<JsonMembers> json_members(std::string_view object);
[[nodiscard]] Result<std::vector<std::string>> json_elements(std::string_view array);

// The text of one well-formed value without white space around it and without line feeds.
[[nodiscard]] std::optional<std::string> checked_json(std::string_view text);

[[nodiscard]] const std::string* find_member(const JsonMembers& members, std::string_view name);

}  // namespace trunkline::server
