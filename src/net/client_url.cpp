// SPDX-License-Identifier: Apache-2.0
#include "net/client_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace trunkline::net {

namespace {

constexpr std::string_view kPlain = "ws://";
constexpr std::string_view kSecure = "wss://";

// What may stand in a request's target and Host header: printable, no space.
bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char letter) { return letter > ' ' && letter < '\x7f'; });
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() && port > 0 && port < 65'536;
}

}  // namespace

Result<ClientTarget> parse_client_url(std::string_view url) {
  const bool is_secure = url.starts_with(kSecure);
  const std::string_view scheme = is_secure ? kSecure : kPlain;
  if (!url.starts_with(scheme) || !is_plain(url)) {
    return fail(ErrorCode::kConfig,
                fmt::format("{}: a URL is ws://host:port/path or wss://host:port/path", url));
  }
  const std::string_view rest = url.substr(scheme.size(), url.find('#') - scheme.size());
  const std::size_t slash = rest.find_first_of("/?");
  const std::string_view authority = rest.substr(0, slash);
  ClientTarget target;
  target.is_secure = is_secure;
  target.handshake.host = authority;
  if (slash != std::string_view::npos) {
    target.handshake.target = rest[slash] == '/' ? rest.substr(slash) : "";
    if (rest[slash] == '?') {
      target.handshake.target = fmt::format("/{}", rest.substr(slash));
    }
  }
  // An IPv6 address stands in brackets, because of its own colons.
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  const std::size_t colon =
      bracket == std::string_view::npos ? std::string_view::npos : authority.find(':', bracket);
  target.port =
      colon == std::string_view::npos ? (is_secure ? "443" : "80") : authority.substr(colon + 1);
  target.host = authority.substr(0, colon);
  if (bracket != 0 && bracket != std::string_view::npos) {
    target.host = authority.substr(1, bracket - 1);
  }
  if (target.host.empty() || bracket == std::string_view::npos || !is_port(target.port) ||
      authority.contains('@')) {
    return fail(ErrorCode::kConfig, fmt::format("{}: no host and port in it", url));
  }
  return target;
}

}  // namespace trunkline::net
