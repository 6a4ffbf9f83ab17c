// SPDX-License-Identifier: Apache-2.0
//
// Bodies that are taken line by line.
#include "net/http_client_fixture.h"

#include <atomic>
#include <latch>

namespace trunkline::net {
namespace {

class HttpStreamTest : public HttpClientTest {
 protected:
  HttpLines lines() {
    return {.on_line =
                [this](std::string_view line) {
                  seen.emplace_back(line);
                  return flow;
                },
            .done = [this](const Result<HttpReply>& result) { end = told(result); }};
  }

  void until_seen(std::size_t count) {
    until([this, count] { return seen.size() >= count; });
  }

  void until_end() {
    until([this] { return end.has_value(); });
  }

  HttpFlow flow = HttpFlow::kMore;
  std::vector<std::string> seen;
  std::optional<std::string> end;
};

TEST_F(HttpStreamTest, EachLineComesWithItsLastByte) {
  std::latch two_seen(1);
  HttpTestServer server([&two_seen](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(kChunkedHead);
    connection.write(http_chunk("{\"n\":1}\n{\"n\":"));
    connection.write(http_chunk("2}\r\n\n"));
    two_seen.wait();
    connection.write(http_chunk("{\"n\":3}") + "0\r\n\r\n");
    connection.wait_closed();
  });
  auto client = make(server);
  const HttpCall call = client->stream({}, lines());
  until_seen(2);
  EXPECT_FALSE(end.has_value());
  two_seen.count_down();
  until_end();
  EXPECT_EQ(seen, (std::vector<std::string>{R"({"n":1})", R"({"n":2})", R"({"n":3})"}));
  EXPECT_EQ(end, "200 ");
  EXPECT_EQ(client->stats().idle, 1U);
}

TEST_F(HttpStreamTest, AnotherStatusHasABodyAndNoLines) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(http_answer("no\nway", "403 Forbidden"));
    connection.wait_closed();
  });
  auto client = make(server);
  const HttpCall call = client->stream({}, lines());
  until_end();
  EXPECT_EQ(end, "403 no\nway");
  EXPECT_TRUE(seen.empty());
}

TEST_F(HttpStreamTest, APausedOneHoldsTheBackendBack) {
  static constexpr int kLines = 200'000;
  std::atomic<int> written = 0;
  HttpTestServer server([&written](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(kChunkedHead);
    for (int i = 0; i < kLines; i += 100) {
      std::string some;
      for (int n = i; n < i + 100; ++n) {
        some += fmt::format("{{\"n\":{},\"padding\":\"{}\"}}\n", n, std::string(80, 'x'));
      }
      connection.write(http_chunk(some));
      written = i + 100;
    }
    connection.write("0\r\n\r\n");
    connection.wait_closed();
  });
  auto client = make(server);
  flow = HttpFlow::kPause;
  HttpCall call = client->stream({}, lines());
  until_seen(1);
  // As far as the kernel's buffers reach; then the server's write is stuck.
  int turns = 0;
  until([&turns] { return ++turns > 5; });
  EXPECT_EQ(seen.size(), 1U);
  EXPECT_LT(written, kLines);
  call.resume();
  until_seen(2);
  EXPECT_EQ(seen.size(), 2U);
  flow = HttpFlow::kMore;
  call.resume();
  until_end();
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kLines));
  EXPECT_TRUE(seen.back().starts_with(fmt::format("{{\"n\":{},", kLines - 1)));
}

TEST_F(HttpStreamTest, APausedOneGivesTheRestAfterItsEnd) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\n\r\n1\n2\n3");
    connection.end();
    connection.wait_closed();
  });
  auto client = make(server);
  flow = HttpFlow::kPause;
  HttpCall call = client->stream({}, lines());
  for (std::size_t n = 1; n <= 3; ++n) {
    until_seen(n);
    EXPECT_FALSE(end.has_value());
    call.resume();
  }
  until_end();
  EXPECT_EQ(seen, (std::vector<std::string>{"1", "2", "3"}));
}

TEST_F(HttpStreamTest, ALineMayEndItsCall) {
  std::atomic<bool> closed = false;
  HttpTestServer server([&closed](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(kChunkedHead);
    connection.write(http_chunk("1\n2\n3\n"));
    connection.wait_closed();
    closed = true;
  });
  auto client = make(server);
  HttpCall call;
  call = client->stream({}, {.on_line =
                                 [&](std::string_view line) {
                                   call.cancel();
                                   seen.emplace_back(line);
                                   return HttpFlow::kMore;
                                 },
                             .done = [](const Result<HttpReply>&) { ADD_FAILURE(); }});
  until([&closed] { return closed.load(); });
  EXPECT_EQ(seen, (std::vector<std::string>{"1"}));
}

TEST_F(HttpStreamTest, ALineMayEndTheClient) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(kChunkedHead);
    connection.write(http_chunk("1\n2\n3\n"));
    connection.wait_closed();
  });
  auto client = make(server);
  const HttpCall call = client->stream({}, {.on_line =
                                                [&](std::string_view line) {
                                                  client.reset();
                                                  seen.emplace_back(line);
                                                  return HttpFlow::kMore;
                                                },
                                            .done = [](const Result<HttpReply>&) { FAIL(); }});
  until_seen(1);
  EXPECT_EQ(seen, (std::vector<std::string>{"1"}));
}

TEST_F(HttpStreamTest, ALineHasALimitAndTheBodyHasNone) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(kChunkedHead);
    for (int i = 0; i < 100; ++i) {
      connection.write(http_chunk(std::string(99, 'x') + "\n"));
    }
    connection.write(http_chunk(std::string(101, 'x')));
    connection.wait_closed();
  });
  auto client = make({.url = server.url(), .reply_bytes_max = 1000, .line_bytes_max = 100});
  const HttpCall call = client->stream({}, lines());
  until_end();
  EXPECT_EQ(seen.size(), 100U);
  EXPECT_EQ(end, "message_too_big");
}

TEST_F(HttpStreamTest, ACutOneIsAnErrorBehindItsLines) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(kChunkedHead);
    connection.write(http_chunk("1\n2"));
  });
  auto client = make(server);
  const HttpCall call = client->stream({}, lines());
  until_end();
  EXPECT_EQ(seen, (std::vector<std::string>{"1"}));
  EXPECT_EQ(end, "unavailable");
}

}  // namespace
}  // namespace trunkline::net
