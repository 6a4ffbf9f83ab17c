// SPDX-License-Identifier: Apache-2.0
//
// Addresses as text, and what follows from them without asking anybody: host, port, the network
// that a host shares with others.
#pragma once

#include <trunkline/error.h>
#include <trunkline/peer_types.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline::peers {

// Stands for a host or a group of hosts. The prefix of a network, or a hash of a name or label: two
// names that collide share limits, which harms nobody.
struct NetKey {
  enum class Family : std::uint8_t { kNone, kV4, kV6, kName, kLoopback };

  std::uint64_t bits = 0;
  Family family = Family::kNone;

  friend auto operator<=>(const NetKey&, const NetKey&) = default;
};

struct NetKeyHash {
  std::size_t operator()(const NetKey& key) const noexcept {
    return std::hash<std::uint64_t>{}(key.bits * 8 + static_cast<std::uint64_t>(key.family));
  }
};

// "host:port" taken apart.
struct Address {
  std::string host;  // of an IPv6 address without brackets
  std::uint16_t port = 0;
  std::optional<PeerEndpoint> endpoint;  // when the host is an IP address
};

// Errors: kInvalidArgument for what is not host:port with a port above 0.
[[nodiscard]] Result<Address> parse_address(std::string_view text);

// The one spelling of an address, so that "[::1]:80" and "[0::1]:80" are the same peer.
[[nodiscard]] std::string canonical(const Address& address);

struct Prefixes {
  unsigned v4 = 16;
  unsigned v6 = 32;
};

// Whom bans and scores are about: an IPv4 address, the first 64 bits of an IPv6 address (one
// household or host is given as much), a name.
[[nodiscard]] NetKey host_of(const PeerEndpoint& endpoint);
[[nodiscard]] NetKey host_of(const Address& address);
// Of a host alone: an IPv4 address, an IPv6 address with or without brackets, a name. Errors:
// kInvalidArgument.
[[nodiscard]] Result<NetKey> key_of_host(std::string_view host);

// Whom limits of diversity are about. Loopback has a group of its own, which no limit counts.
[[nodiscard]] NetKey group_of(const PeerEndpoint& endpoint, Prefixes prefixes);
[[nodiscard]] NetKey group_of(const Address& address, Prefixes prefixes);
[[nodiscard]] NetKey group_of_label(std::string_view label);

}  // namespace trunkline::peers
