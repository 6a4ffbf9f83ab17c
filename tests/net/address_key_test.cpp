// SPDX-License-Identifier: Apache-2.0
#include "net/address_key.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>

namespace trunkline::net {
namespace {

AddressKey v4(const char* text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  EXPECT_EQ(::inet_pton(AF_INET, text, &address.sin_addr), 1);
  sockaddr_storage storage{};
  std::memcpy(&storage, &address, sizeof address);
  return address_key(storage);
}

AddressKey v6(const char* text) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  EXPECT_EQ(::inet_pton(AF_INET6, text, &address.sin6_addr), 1);
  sockaddr_storage storage{};
  std::memcpy(&storage, &address, sizeof address);
  return address_key(storage);
}

TEST(AddressKey, IsTheWholeIPv4Address) {
  EXPECT_EQ(v4("192.0.2.1"), v4("192.0.2.1"));
  EXPECT_NE(v4("192.0.2.1"), v4("192.0.2.2"));
  EXPECT_EQ(to_string(v4("192.0.2.1")), "192.0.2.1");
}

TEST(AddressKey, IsTheFirst64BitsOfAnIPv6Address) {
  EXPECT_EQ(v6("2001:db8:1:2::1"), v6("2001:db8:1:2:ffff:ffff:ffff:ffff"));
  EXPECT_NE(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::1"));
  EXPECT_EQ(to_string(v6("2001:db8:1:2::1")), "2001:db8:1:2::/64");
}

TEST(AddressKey, TakesIPv4InsideIPv6ForWhatItIs) {
  EXPECT_EQ(v6("::ffff:192.0.2.1"), v4("192.0.2.1"));
  EXPECT_NE(v6("::ffff:192.0.2.1"), v6("::ffff:192.0.2.2"));
}

TEST(AddressKey, TellsTheFamiliesApart) {
  EXPECT_NE(v6("::c000:201:0:0:0:0"), v4("192.0.2.1"));
  EXPECT_NE(v6("::1"), v4("0.0.0.0"));
}

TEST(AddressKey, OfAnotherFamilyIsOneForAll) {
  sockaddr_storage storage{};
  storage.ss_family = AF_UNIX;
  EXPECT_EQ(address_key(storage), AddressKey{});
}

}  // namespace
}  // namespace trunkline::net
