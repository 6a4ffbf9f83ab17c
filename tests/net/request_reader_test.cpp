// SPDX-License-Identifier: Apache-2.0
#include "net/request_reader.h"

#include <gtest/gtest.h>

namespace trunkline::net {
namespace {

namespace http = boost::beast::http;

constexpr std::uint64_t kBodyBytesMax = 100;

struct Case {
  std::string_view name;
  std::string_view bytes;
  std::string_view body;
};

class RequestReaderCuts : public testing::TestWithParam<Case> {};

// However the bytes come, it is the same request, and what follows it stays.
TEST_P(RequestReaderCuts, AreNotSeen) {
  const std::string bytes = std::string(GetParam().bytes) + "GET /next";
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    RequestReader reader(kBodyBytesMax);
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      reader.add(std::string_view(bytes).substr(at, piece));
      const auto error = reader.read();
      ASSERT_FALSE(error) << error.message() << ", pieces of " << piece;
    }
    ASSERT_TRUE(reader.is_done()) << "pieces of " << piece;
    EXPECT_EQ(reader.message().target(), "/api/info");
    EXPECT_EQ(reader.message().body(), GetParam().body);
    EXPECT_EQ(reader.take_unread(), "GET /next") << "pieces of " << piece;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Requests, RequestReaderCuts,
    testing::Values(Case{"NoBody", "GET /api/info HTTP/1.1\r\nHost: a\r\n\r\n", ""},
                    Case{"Length", "POST /api/info HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "{}"},
                    Case{"Chunks",
                         "POST /api/info HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "1\r\n{\r\n1;a=b\r\n}\r\n0\r\n\r\n",
                         "{}"},
                    // Beast alone aborts when this one comes byte by byte.
                    Case{"OnlyTheLastChunk",
                         "POST /api/info HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                         ""},
                    Case{"Trailer",
                         "POST /api/info HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "0\r\nA: b\r\n\r\n",
                         ""}),
    [](const auto& request) { return std::string(request.param.name); });

TEST(RequestReader, LimitsHeadAndBody) {
  RequestReader long_head(kBodyBytesMax);
  long_head.add("GET / HTTP/1.1\r\nA: " + std::string(RequestReader::kHeadBytesMax, 'a'));
  EXPECT_EQ(long_head.read(), http::error::header_limit);

  RequestReader long_body(kBodyBytesMax);
  long_body.add("POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n");
  EXPECT_EQ(long_body.read(), http::error::body_limit);

  RequestReader long_chunks(kBodyBytesMax);
  long_chunks.add("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" +
                  std::string(101, 'a'));
  EXPECT_EQ(long_chunks.read(), http::error::body_limit);
}

TEST(RequestReader, ReadsOneAfterTheOther) {
  RequestReader reader(kBodyBytesMax);
  reader.add("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
  EXPECT_FALSE(reader.read());
  EXPECT_EQ(reader.message().target(), "/1");
  EXPECT_TRUE(reader.has_unread());
  reader.begin();
  EXPECT_FALSE(reader.has_head());
  EXPECT_FALSE(reader.read());
  EXPECT_TRUE(reader.is_done());
  EXPECT_EQ(reader.message().target(), "/2");
  EXPECT_FALSE(reader.has_unread());
}

}  // namespace
}  // namespace trunkline::net
