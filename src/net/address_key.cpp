// SPDX-License-Identifier: Apache-2.0
#include "net/address_key.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <cstring>
#include <span>

namespace trunkline::net {

namespace {

std::uint64_t big_endian(std::span<const std::uint8_t> bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) {
    value = (value << 8U) | byte;
  }
  return value;
}

}  // namespace

AddressKey address_key(const sockaddr_storage& peer) {
  if (peer.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &peer, sizeof v4);
    return {.bits = ntohl(v4.sin_addr.s_addr), .is_v6 = false};
  }
  if (peer.ss_family != AF_INET6) {
    return {};
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, &peer, sizeof v6);
  const std::span<const std::uint8_t> bytes(v6.sin6_addr.s6_addr);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    return {.bits = big_endian(bytes.subspan(12)), .is_v6 = false};
  }
  return {.bits = big_endian(bytes.first(8)), .is_v6 = true};
}

std::string to_string(const AddressKey& key) {
  const auto part = [&key](unsigned shift, std::uint64_t mask) {
    return static_cast<unsigned>((key.bits >> shift) & mask);
  };
  if (!key.is_v6) {
    return fmt::format("{}.{}.{}.{}", part(24, 255), part(16, 255), part(8, 255), part(0, 255));
  }
  return fmt::format("{:x}:{:x}:{:x}:{:x}::/64", part(48, 0xffff), part(32, 0xffff),
                     part(16, 0xffff), part(0, 0xffff));
}

}  // namespace trunkline::net
