// SPDX-License-Identifier: Apache-2.0
#include "net/response_reader.h"

#include <gtest/gtest.h>

namespace trunkline::net {
namespace {

struct Good {
  std::string_view name;
  std::string_view bytes;
  unsigned status;
  std::string_view body;
  bool keeps;
};

class ResponseReaderCuts : public testing::TestWithParam<Good> {};

// However the bytes come, it is the same response.
TEST_P(ResponseReaderCuts, AreNotSeen) {
  const std::string_view bytes = GetParam().bytes;
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    ResponseReader reader;
    std::string body;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      const auto read = reader.read(bytes.substr(at, piece), body);
      ASSERT_TRUE(read.has_value()) << read.error().context << ", pieces of " << piece;
    }
    const bool done_before_end = reader.is_done();
    const bool keeps = reader.keeps_connection();
    ASSERT_TRUE(reader.end().has_value()) << "pieces of " << piece;
    EXPECT_EQ(reader.status(), GetParam().status);
    EXPECT_EQ(body, GetParam().body);
    EXPECT_EQ(keeps, GetParam().keeps);
    EXPECT_TRUE(done_before_end || !keeps);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Responses, ResponseReaderCuts,
    testing::Values(
        Good{"Length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true},
        Good{"Empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", true},
        Good{"NoReason", "HTTP/1.1 500 \r\nContent-Length: 1\r\n\r\nx", 500, "x", true},
        Good{"Chunks",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
             "3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
             200, "abc0123456789", true},
        Good{"Trailer",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
             "1\r\na\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
             200, "a", true},
        Good{"UntilClose", "HTTP/1.1 200 OK\r\n\r\nall of it", 200, "all of it", false},
        Good{"Close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 200,
             "x", false},
        Good{"OldVersion", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false},
        Good{"NoContent", "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", 204, "", true},
        Good{"Interim",
             "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
             "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
             200, "x", true},
        Good{"Excess", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n", 200, "x",
             false}),
    [](const auto& test) { return std::string(test.param.name); });

struct Bad {
  std::string_view name;
  std::string bytes;
};

class BadResponse : public testing::TestWithParam<Bad> {};

TEST_P(BadResponse, IsRefusedHoweverItIsCut) {
  const std::string& bytes = GetParam().bytes;
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
    ResponseReader reader;
    std::string body;
    bool refused = false;
    for (std::size_t at = 0; at < bytes.size() && !refused; at += piece) {
      const auto read = reader.read(std::string_view(bytes).substr(at, piece), body);
      refused = !read.has_value();
      if (refused) {
        EXPECT_EQ(read.error().code, ErrorCode::kMalformed);
      }
    }
    EXPECT_TRUE(refused || !reader.end().has_value()) << "pieces of " << piece;
  }
}

std::string chunked(std::string_view rest) {
  return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(rest);
}

INSTANTIATE_TEST_SUITE_P(
    Responses, BadResponse,
    testing::Values(
        Bad{"Nothing", ""}, Bad{"Garbage", "SSH-2.0-OpenSSH_9.2\r\n\r\n"},
        Bad{"HalfAHead", "HTTP/1.1 200 OK\r\nContent-Le"},
        Bad{"HeadWithoutEnd", "HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'x')},
        Bad{"InterimWithoutEnd",
            [] {
              std::string many;
              for (int i = 0; i < 1000; ++i) {
                many += "HTTP/1.1 100 Continue\r\n\r\n";
              }
              return many;
            }()},
        Bad{"CutBody", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"},
        Bad{"BadLength", "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello"},
        Bad{"TwoLengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"},
        Bad{"LengthAndChunks",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        Bad{"OtherCoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx"},
        Bad{"Upgrade", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"},
        Bad{"ChunkNoNumber", chunked("xyz\r\n")}, Bad{"ChunkNegative", chunked("-1\r\n")},
        Bad{"ChunkTooLargeANumber", chunked("fffffffffffffffff\r\n")},
        Bad{"ChunkTooLong", chunked("1\r\nab\r\n")}, Bad{"ChunkOnlyLf", chunked("1\na\n0\n\n")},
        Bad{"ChunkSizeWithoutEnd", chunked(std::string(5000, '0'))},
        Bad{"ChunkCut", chunked("5\r\nab")}, Bad{"LastChunkCut", chunked("1\r\na\r\n0\r\n")},
        Bad{"TrailerWithoutEnd", chunked("0\r\n" +
                                         [] {
                                           std::string many;
                                           for (int i = 0; i < 100; ++i) {
                                             many += "X: " + std::string(300, 'x') + "\r\n";
                                           }
                                           return many;
                                         }())}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(ResponseReader, GivesTheBodyWithItsLastByte) {
  ResponseReader reader;
  std::string body;
  ASSERT_TRUE(reader.read(chunked("2\r\n1"), body).has_value());
  EXPECT_EQ(body, "1");
  ASSERT_TRUE(reader.read("\n", body).has_value());
  EXPECT_EQ(body, "1\n");
  EXPECT_FALSE(reader.is_done());
}

TEST(ResponseReader, ReservesNothingForALengthThatIsOnlySaid) {
  ResponseReader reader;
  std::string body;
  ASSERT_TRUE(reader.read("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nx", body)
                  .has_value());
  EXPECT_EQ(reader.length(), 9223372036854775807U);
  EXPECT_LT(body.capacity(), 1000U);
}

TEST(ResponseReader, HasTheFields) {
  ResponseReader reader;
  std::string body;
  ASSERT_TRUE(reader.read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b c\r\n\r\n", body));
  const HttpFields expected = {{"Content-Length", "0"}, {"X-A", "b c"}};
  EXPECT_EQ(reader.take_fields(), expected);
}

}  // namespace
}  // namespace trunkline::net
