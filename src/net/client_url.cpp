// SPDX-License-Identifier: Apache-2.0
#include "net/client_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace trunkline::net {

namespace {

constexpr std::string_view kScheme = "ws://";

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
  if (url.starts_with("wss://")) {
    return fail(ErrorCode::kConfig,
                fmt::format("{}: wss:// (TLS) is not spoken yet, only ws://", url));
  }
  if (!url.starts_with(kScheme) || !is_plain(url)) {
    return fail(ErrorCode::kConfig, fmt::format("{}: a URL is ws://host:port/path", url));
  }
  const std::string_view rest = url.substr(kScheme.size(), url.find('#') - kScheme.size());
  const std::size_t slash = rest.find_first_of("/?");
  const std::string_view authority = rest.substr(0, slash);
  ClientTarget target;
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
  target.port = colon == std::string_view::npos ? "80" : authority.substr(colon + 1);
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
