// SPDX-License-Identifier: Apache-2.0
#include "peers/address.h"

#include <gtest/gtest.h>

#include <string>

namespace trunkline::peers {
namespace {

std::string one_spelling(std::string_view text) {
  const Result<Address> address = parse_address(text);
  return address.has_value() ? canonical(*address) : "none";
}

TEST(Address, HasOneSpelling) {
  EXPECT_EQ(one_spelling("192.0.2.1:80"), "192.0.2.1:80");
  EXPECT_EQ(one_spelling("Host.Example:443"), "host.example:443");
  EXPECT_EQ(one_spelling("[2001:DB8:0:0:0:0:0:1]:80"), "[2001:db8::1]:80");
  EXPECT_EQ(one_spelling("[::]:1"), "[::]:1");
  EXPECT_EQ(one_spelling("[1::]:1"), "[1::]:1");
  EXPECT_EQ(one_spelling("[::ffff:192.0.2.1]:65535"), "[::ffff:c000:201]:65535");
  EXPECT_EQ(one_spelling("[1:0:0:2:0:0:0:3]:1"), "[1:0:0:2::3]:1");
  EXPECT_EQ(one_spelling("[1:2:3:4:5:6:0:8]:1"), "[1:2:3:4:5:6:0:8]:1");
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* text : {"",
                           "192.0.2.1",
                           ":80",
                           "192.0.2.1:",
                           "192.0.2.1:0",
                           "192.0.2.1:65536",
                           "192.0.2.1:-1",
                           "192.0.2.1:8x",
                           "[::1",
                           "[::1]",
                           "::1:80",
                           "[1:2]:80",
                           "[1:2:3:4:5:6:7:8:9]:1",
                           "[1::2::3]:1",
                           "[:1]:1",
                           "[12345::]:1",
                           "[1.2.3.4::]:1",
                           "[::1.2.3]:1",
                           "[host]:80",
                           "a b:80",
                           "[1:2:3:4:5:6:7::8]:1x",
                           "[1:]:1"}) {
    EXPECT_EQ(one_spelling(text), "none") << text;
  }
}

TEST(Address, FourNumbersWithLeadingZerosAreAName) {
  EXPECT_FALSE(parse_address("192.0.2.01:80")->endpoint.has_value());
}

TEST(Address, GroupsAreNetworks) {
  const auto group = [](const char* text) {
    return group_of(parse_address(text).value(), Prefixes{});
  };
  EXPECT_EQ(group("192.0.2.1:80"), group("192.0.99.99:81"));
  EXPECT_NE(group("192.0.2.1:80"), group("192.1.2.1:80"));
  EXPECT_EQ(group("[2001:db8:1::1]:80"), group("[2001:db8:ffff::1]:80"));
  EXPECT_NE(group("[2001:db8::1]:80"), group("[2001:db9::1]:80"));
  EXPECT_EQ(group("[::ffff:192.0.2.1]:80"), group("192.0.2.1:80"));
  EXPECT_EQ(group("127.0.0.1:80").family, NetKey::Family::kLoopback);
  EXPECT_EQ(group("[::1]:80"), group("127.9.9.9:80"));
  EXPECT_EQ(group("a.example:80"), group("A.example:81"));
  EXPECT_EQ(group_of(parse_endpoint("192.0.2.1:80").value(), {0, 0}),
            group_of(parse_endpoint("10.0.2.1:80").value(), {0, 0}));
}

TEST(Address, HostsAreWhatIsBanned) {
  EXPECT_EQ(key_of_host("192.0.2.1").value(), host_of(parse_endpoint("192.0.2.1:80").value()));
  EXPECT_EQ(key_of_host("2001:db8::1").value(), key_of_host("[2001:db8::2]").value());
  EXPECT_NE(key_of_host("2001:db8::1").value(), key_of_host("2001:db8:0:1::1").value());
  EXPECT_FALSE(key_of_host("").has_value());
}

}  // namespace
}  // namespace trunkline::peers
