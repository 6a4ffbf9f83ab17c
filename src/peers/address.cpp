// SPDX-License-Identifier: Apache-2.0
#include "peers/address.h"

#include "core/string_map.h"
#include "peers/ip_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace trunkline::peers {

namespace {

constexpr std::size_t kHostBytesMax = 253;  // of a name in the DNS

Result<Address> malformed(std::string_view text) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("'{}' is not an address: host:port, [IPv6]:port", text.substr(0, 300)));
}

std::uint64_t big_endian(const PeerEndpoint& endpoint, std::size_t from, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = from; i < from + count; ++i) {
    value = (value << 8U) | endpoint.bytes[i];
  }
  return value;
}

bool is_v4_mapped(const PeerEndpoint& endpoint) {
  return endpoint.is_v6 && big_endian(endpoint, 0, 8) == 0 && big_endian(endpoint, 8, 4) == 0xffff;
}

bool is_loopback(const PeerEndpoint& endpoint) {
  if (!endpoint.is_v6) {
    return endpoint.bytes[0] == 127;
  }
  return (is_v4_mapped(endpoint) && endpoint.bytes[12] == 127) ||
         (big_endian(endpoint, 0, 8) == 0 && big_endian(endpoint, 8, 8) == 1);
}

// The first `prefix` of `width` bits, the others 0.
std::uint64_t head(std::uint64_t bits, unsigned width, unsigned prefix) {
  return prefix == 0 ? 0 : prefix >= width ? bits : (bits >> (width - prefix)) << (width - prefix);
}

bool is_host_name(std::string_view host) {
  return !host.empty() && host.size() <= kHostBytesMax &&
         std::ranges::all_of(host, [](char c) { return c > ' ' && c < '\x7f' && c != ':'; });
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return malformed(text);
  }
  Address address;
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc{} || end != port.data() + port.size() || address.port == 0) {
    return malformed(text);
  }
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) {
    host = host.substr(1, host.size() - 2);
  }
  address.endpoint = bracketed ? parse_v6(host) : parse_v4(host);
  if (address.endpoint.has_value()) {
    address.endpoint->port = address.port;
  } else if (bracketed || !is_host_name(host)) {
    return malformed(text);
  }
  address.host = host;
  // Names do not care for case.
  std::ranges::transform(address.host, address.host.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return address;
}

std::string canonical(const Address& address) {
  return address.endpoint.has_value() ? to_string(*address.endpoint)
                                      : fmt::format("{}:{}", address.host, address.port);
}

NetKey host_of(const PeerEndpoint& endpoint) {
  if (!endpoint.is_v6) {
    return {big_endian(endpoint, 0, 4), NetKey::Family::kV4};
  }
  if (is_v4_mapped(endpoint)) {
    return {big_endian(endpoint, 12, 4), NetKey::Family::kV4};
  }
  return {big_endian(endpoint, 0, 8), NetKey::Family::kV6};
}

NetKey host_of(const Address& address) {
  return address.endpoint.has_value() ? host_of(*address.endpoint) : group_of_label(address.host);
}

Result<NetKey> key_of_host(std::string_view host) {
  const bool is_bare_v6 = host.contains(':') && !host.starts_with('[');
  const Result<Address> address =
      parse_address(is_bare_v6 ? fmt::format("[{}]:1", host) : fmt::format("{}:1", host));
  if (!address.has_value()) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is not a host", host));
  }
  return host_of(*address);
}

NetKey group_of(const PeerEndpoint& endpoint, Prefixes prefixes) {
  if (is_loopback(endpoint)) {
    return {0, NetKey::Family::kLoopback};
  }
  NetKey key = host_of(endpoint);
  key.bits = key.family == NetKey::Family::kV4 ? head(key.bits, 32, prefixes.v4)
                                               : head(key.bits, 64, prefixes.v6);
  return key;
}

NetKey group_of(const Address& address, Prefixes prefixes) {
  return address.endpoint.has_value() ? group_of(*address.endpoint, prefixes)
                                      : group_of_label(address.host);
}

NetKey group_of_label(std::string_view label) {
  return {stable_hash(label), NetKey::Family::kName};
}

}  // namespace trunkline::peers

namespace trunkline {

Result<PeerEndpoint> parse_endpoint(std::string_view text) {
  const Result<peers::Address> address = peers::parse_address(text);
  if (!address.has_value()) {
    return std::unexpected(address.error());
  }
  if (!address->endpoint.has_value()) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is not an IP address", text));
  }
  return *address->endpoint;
}

std::string to_string(const PeerEndpoint& endpoint) {
  return endpoint.is_v6 ? fmt::format("[{}]:{}", peers::text_of_v6(endpoint), endpoint.port)
                        : fmt::format("{}.{}.{}.{}:{}", endpoint.bytes[0], endpoint.bytes[1],
                                      endpoint.bytes[2], endpoint.bytes[3], endpoint.port);
}

}  // namespace trunkline
