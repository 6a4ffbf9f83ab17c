// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace trunkline::session {

// Whether the token is a number by RFC 8259, section 6, of any size: simdjson refuses integers
// beyond 64 bits, which a payload may well hold.
[[nodiscard]] bool is_json_number(std::string_view token);

// Whether the escapes of a string token (with its quotes) are well formed. Half a surrogate pair is
// allowed: the grammar allows it, and JavaScript produces it from a cut emoji.
[[nodiscard]] bool has_valid_escapes(std::string_view token);

}  // namespace trunkline::session
