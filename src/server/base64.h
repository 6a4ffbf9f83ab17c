// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace trunkline::server {

// The bytes of standard base64 (RFC 4648, section 4), padded; nullopt when it is not.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);

// Standard base64, padded.
[[nodiscard]] std::string encode_base64(std::string_view bytes);

}  // namespace trunkline::server
