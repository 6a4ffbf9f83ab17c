// SPDX-License-Identifier: Apache-2.0
#include "net/client_connection.h"

#include <gtest/gtest.h>

#include <string_view>

namespace trunkline::net {
namespace {

struct UrlCase {
  std::string_view url;
  std::string_view host;
  std::string_view port;
  std::string_view target;
};

class ClientUrl : public ::testing::TestWithParam<UrlCase> {};

TEST_P(ClientUrl, IsTakenApart) {
  const Result<ClientTarget> target = parse_client_url(GetParam().url);
  ASSERT_TRUE(target.has_value()) << target.error().context;
  EXPECT_EQ(target->host, GetParam().host);
  EXPECT_EQ(target->port, GetParam().port);
  EXPECT_EQ(target->handshake.target, GetParam().target);
  EXPECT_EQ(target->is_secure, GetParam().url.starts_with("wss:"));
}

INSTANTIATE_TEST_SUITE_P(Good, ClientUrl,
                         ::testing::Values(UrlCase{"ws://a", "a", "80", "/"},
                                           UrlCase{"ws://a:8000/x", "a", "8000", "/x"},
                                           UrlCase{"ws://[::1]:9/x?y=1#z", "::1", "9", "/x?y=1"},
                                           UrlCase{"ws://[::1]", "::1", "80", "/"},
                                           UrlCase{"wss://a", "a", "443", "/"},
                                           UrlCase{"wss://a:80/x", "a", "80", "/x"},
                                           UrlCase{"wss://[::1]/?y", "::1", "443", "/?y"},
                                           UrlCase{"ws://a?q", "a", "80", "/?q"}));

class ClientBadUrl : public ::testing::TestWithParam<std::string_view> {};

TEST_P(ClientBadUrl, IsRefused) {
  EXPECT_FALSE(parse_client_url(GetParam()).has_value());
}

INSTANTIATE_TEST_SUITE_P(Bad, ClientBadUrl,
                         ::testing::Values("", "http://a", "ws://", "ws://:80/", "ws://a:0/",
                                           "ws://a:65536/", "ws://a:x/", "ws://[::1/", "ws://a b/",
                                           "ws://a\r\nX: y/", "ws://user@a/", "wss://", "wss:a",
                                           "WSS://a"));

}  // namespace
}  // namespace trunkline::net
