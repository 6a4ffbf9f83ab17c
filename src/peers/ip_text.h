// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/peer_types.h>

#include <optional>
#include <string>
#include <string_view>

namespace trunkline::peers {

// IP addresses as text, without the system's functions, which belong to net/. Their port is 0.

// Four decimal numbers; no leading zeros, which some readers take for octal.
[[nodiscard]] std::optional<PeerEndpoint> parse_v4(std::string_view text);
// RFC 4291, section 2.2; no scope, since that means nothing to another machine.
[[nodiscard]] std::optional<PeerEndpoint> parse_v6(std::string_view text);
// RFC 5952: lower case, the longest run of zeros as "::".
[[nodiscard]] std::string text_of_v6(const PeerEndpoint& endpoint);

}  // namespace trunkline::peers
