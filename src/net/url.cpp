// SPDX-License-Identifier: Apache-2.0
#include "net/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace trunkline::net {

namespace {

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

Result<Url> parse_url(std::string_view url, const UrlSchemes& schemes) {
  Url parts;
  parts.is_secure = url.starts_with(schemes.secure);
  const std::string_view scheme = parts.is_secure ? schemes.secure : schemes.plain;
  if (!url.starts_with(scheme) || !is_plain(url)) {
    return fail(ErrorCode::kConfig, fmt::format("{}: a URL is {}host:port/path or {}host:port/path",
                                                url, schemes.plain, schemes.secure));
  }
  const std::string_view rest = url.substr(scheme.size(), url.find('#') - scheme.size());
  const std::size_t slash = rest.find_first_of("/?");
  const std::string_view authority = rest.substr(0, slash);
  parts.authority = authority;
  parts.target = "/";
  if (slash != std::string_view::npos) {
    parts.target = rest[slash] == '/' ? rest.substr(slash) : fmt::format("/{}", rest.substr(slash));
  }
  // An IPv6 address stands in brackets, because of its own colons.
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  const std::size_t colon =
      bracket == std::string_view::npos ? std::string_view::npos : authority.find(':', bracket);
  parts.port = colon == std::string_view::npos ? (parts.is_secure ? "443" : "80")
                                               : authority.substr(colon + 1);
  parts.host = authority.substr(0, colon);
  if (bracket != 0 && bracket != std::string_view::npos) {
    parts.host = authority.substr(1, bracket - 1);
  }
  if (parts.host.empty() || bracket == std::string_view::npos || !is_port(parts.port) ||
      authority.contains('@')) {
    return fail(ErrorCode::kConfig, fmt::format("{}: no host and port in it", url));
  }
  return parts;
}

}  // namespace trunkline::net
