// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/error.h>

#include <string>
#include <string_view>

namespace trunkline::net {

// The two schemes of a kind, with their "://".
struct UrlSchemes {
  std::string_view plain;
  std::string_view secure;
};

inline constexpr UrlSchemes kWebSocketSchemes{.plain = "ws://", .secure = "wss://"};
inline constexpr UrlSchemes kHttpSchemes{.plain = "http://", .secure = "https://"};

struct Url {
  bool is_secure = false;
  std::string authority;  // host and port as they stand, for the Host field
  std::string host;       // name or address, without brackets
  std::string port;       // the scheme's own when the URL has none
  std::string target;     // path and query, at least "/"
};

// Reads scheme://host[:port][/path][?query]; a fragment is left out. Error: kConfig with what is
// wrong. Thread: any.
[[nodiscard]] Result<Url> parse_url(std::string_view url, const UrlSchemes& schemes);

}  // namespace trunkline::net
