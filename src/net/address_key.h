// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace trunkline::net {

// Whom an address belongs to, as far as a limit is concerned: an IPv4 address, or the first 64 bits
// of an IPv6 address, which is what one household or host is given. IPv4 inside IPv6
// (::ffff:192.0.2.1) is the IPv4 address. It is the socket's peer: behind a proxy, the proxy.
struct AddressKey {
  std::uint64_t bits = 0;  // in the host's byte order; IPv4: the low 32
  bool is_v6 = false;

  friend bool operator==(const AddressKey&, const AddressKey&) = default;
};

struct AddressKeyHash {
  std::size_t operator()(const AddressKey& key) const noexcept {
    return std::hash<std::uint64_t>{}(key.bits * 2 + (key.is_v6 ? 1 : 0));
  }
};

// Of a peer as accept() gives it; another family than IP counts as 0.0.0.0. Thread: any.
[[nodiscard]] AddressKey address_key(const sockaddr_storage& peer);

// "192.0.2.1" or "2001:db8:1:2::/64", for logs. Thread: any.
[[nodiscard]] std::string to_string(const AddressKey& key);

}  // namespace trunkline::net
