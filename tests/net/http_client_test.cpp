// SPDX-License-Identifier: Apache-2.0
#include "net/http_client.h"

#include <trunkline/client.h>

#include "net/certificates.h"
#include "net/http_client_fixture.h"

#include <algorithm>
#include <atomic>
#include <latch>

namespace trunkline::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(HttpClientTest, SendsARequestAndHasTheAnswer) {
  std::string request;
  HttpTestServer server([&request](HttpTestConnection& connection) {
    request = connection.read_request();
    connection.write("HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello");
    connection.wait_closed();
  });
  auto client = make({.url = server.url("/hook?x=1")});
  std::optional<HttpReply> reply;
  const HttpCall call =
      client->send({.fields = {{"Content-Type", "application/json"},
                               {"X-Evil", "a\r\nX-More: b"},
                               {"X Bad", "c"},
                               {"Cookie", "d=e"}},
                    .body = R"({"a":1})"},
                   [&reply](Result<HttpReply> result) { reply = std::move(*result); });
  until([&reply] { return reply.has_value(); });
  EXPECT_EQ(reply->status, 201U);
  EXPECT_EQ(reply->body, "hello");
  EXPECT_EQ(reply->fields[0].second, "b");
  EXPECT_EQ(request,
            fmt::format("POST /hook?x=1 HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 7\r\n"
                        "Content-Type: application/json\r\nCookie: d=e\r\n\r\n{{\"a\":1}}",
                        server.port()));
}

TEST_F(HttpClientTest, KeepsTheConnectionForLaterRequests) {
  HttpTestServer server([](HttpTestConnection& connection) {
    while (!connection.read_request().empty()) {
      connection.write(http_answer(std::to_string(connection.number)));
    }
  });
  auto client = make(server);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ask(*client), "200 1");
  }
  EXPECT_EQ(client->stats().dialled, 1U);
  EXPECT_EQ(client->stats().idle, 1U);
}

TEST_F(HttpClientTest, KeepsNoConnectionThatTheServerDoesNotKeep) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1");
    connection.wait_closed();
  });
  auto client = make(server);
  EXPECT_EQ(ask(*client), "200 1");
  EXPECT_EQ(client->stats().idle, 0U);
  EXPECT_EQ(ask(*client), "200 1");
  EXPECT_EQ(client->stats().dialled, 2U);
}

TEST_F(HttpClientTest, ForgetsAKeptConnectionThatIsClosedMeanwhile) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(http_answer("1"));
  });
  auto client = make(server);
  EXPECT_EQ(ask(*client), "200 1");
  until([&client] { return client->stats().idle == 0; });
  EXPECT_EQ(ask(*client), "200 1");
  EXPECT_EQ(client->stats().sent_again, 0U);
}

TEST_F(HttpClientTest, ForgetsAKeptConnectionThatSpeaksUnasked) {
  std::latch kept(1);
  HttpTestServer server([&kept](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(http_answer("1"));
    kept.wait();
    connection.write("HTTP/1.1 408 Request Timeout\r\n\r\n");
    connection.wait_closed();
  });
  auto client = make(server);
  EXPECT_EQ(ask(*client), "200 1");
  kept.count_down();
  until([&client] { return client->stats().idle == 0; });
}

TEST_F(HttpClientTest, ClosesConnectionsThatNobodyUses) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(http_answer("1"));
    connection.wait_closed();
  });
  auto client = make({.url = server.url(), .idle_timeout = milliseconds(1)});
  EXPECT_EQ(ask(*client), "200 1");
  until([&client] { return client->stats().idle == 0; });
}

TEST_F(HttpClientTest, SendsAgainWhatAKeptConnectionDidNotTake) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(http_answer(std::to_string(connection.number)));
    connection.read_request();  // … and closes without an answer
  });
  auto client = make(server);
  EXPECT_EQ(ask(*client), "200 1");
  EXPECT_EQ(ask(*client), "200 2");
  EXPECT_EQ(client->stats().sent_again, 1U);
}

TEST_F(HttpClientTest, SendsAgainOnceOnly) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    if (connection.number == 1) {
      connection.write(http_answer("1"));
      connection.read_request();
    }
  });
  auto client = make(server);
  EXPECT_EQ(ask(*client), "200 1");
  EXPECT_EQ(ask(*client), "unavailable");
  EXPECT_EQ(client->stats().dialled, 2U);
}

TEST_F(HttpClientTest, SendsNothingAgainWhoseAnswerHadBegun) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(http_answer("1"));
    connection.read_request();
    connection.write("H");
  });
  auto client = make(server);
  EXPECT_EQ(ask(*client), "200 1");
  EXPECT_EQ(ask(*client), "unavailable");
  EXPECT_EQ(client->stats().sent_again, 0U);
}

struct Misbehaviour {
  std::string_view name;
  std::string bytes;
  std::string_view told;
};

class HttpMisbehaviour : public HttpClientTest, public testing::WithParamInterface<Misbehaviour> {};

TEST_P(HttpMisbehaviour, EndsTheOneCallWithTheReason) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(connection.number == 1 ? GetParam().bytes : http_answer("fine"));
    connection.end();
    connection.wait_closed();
  });
  auto client = make({.url = server.url(), .reply_bytes_max = 1000});
  EXPECT_EQ(ask(*client), GetParam().told);
  EXPECT_EQ(ask(*client), "200 fine");
}

INSTANTIATE_TEST_SUITE_P(
    Of, HttpMisbehaviour,
    testing::Values(Misbehaviour{"Silence", "", "unavailable"},
                    Misbehaviour{"HalfAnAnswer", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
                                 "unavailable"},
                    Misbehaviour{"Garbage", "\x01\x02 not http \r\n\r\n", "malformed"},
                    Misbehaviour{"TooMuch", http_answer(std::string(1001, 'x')), "message_too_big"},
                    Misbehaviour{"TooMuchIsSaid",
                                 "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
                                 "message_too_big"},
                    Misbehaviour{"TooMuchInChunks",
                                 std::string(kChunkedHead) + http_chunk(std::string(1001, 'x')),
                                 "message_too_big"},
                    Misbehaviour{"TooMuchUntilTheEnd",
                                 "HTTP/1.1 200 OK\r\n\r\n" + std::string(1001, 'x'),
                                 "message_too_big"},
                    Misbehaviour{"NoLength", "HTTP/1.1 200 OK\r\n\r\nall", "200 all"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_F(HttpClientTest, GivesUpInTimeWhenNoAnswerComes) {
  HttpTestServer server([](HttpTestConnection& connection) { connection.wait_closed(); });
  auto client = make(server);
  EXPECT_EQ(ask(*client, "{}", milliseconds(20)), "timeout");
  EXPECT_EQ(client->stats().in_flight, 0U);
}

TEST_F(HttpClientTest, GivesUpInTimeWhenAnAnswerNeverEnds) {
  std::atomic<bool> is_closed = false;
  HttpTestServer server([&is_closed](HttpTestConnection& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    connection.wait_closed();
    is_closed = true;
  });
  auto client = make(server);
  EXPECT_EQ(ask(*client, "{}", milliseconds(20)), "timeout");
  until([&is_closed] { return is_closed.load(); });
}

TEST_F(HttpClientTest, TellsThatNobodyListens) {
  std::string url;
  {
    const HttpTestServer server([](HttpTestConnection&) {});
    url = server.url();
  }
  auto client = make({.url = url});
  EXPECT_EQ(ask(*client), "unavailable");
  auto nameless = make({.url = "http://no-such-host.invalid/"});
  EXPECT_EQ(ask(*nameless), "unavailable");
}

TEST_F(HttpClientTest, ResolvesNames) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(http_answer("1"));
    connection.wait_closed();
  });
  auto client = make({.url = fmt::format("http://localhost:{}/", server.port())});
  EXPECT_EQ(ask(*client), "200 1");
}

TEST_F(HttpClientTest, BoundsWhatIsOnItsWayAndWhatWaits) {
  std::latch all_asked(1);
  std::atomic<int> at_once = 0;
  std::atomic<int> most = 0;
  HttpTestServer server([&](HttpTestConnection& connection) {
    while (!connection.read_request().empty()) {
      most = std::max(most.load(), ++at_once);
      all_asked.wait();
      --at_once;
      connection.write(http_answer("1"));
    }
  });
  auto client = make({.url = server.url(), .requests_max = 2, .waiting_max = 3});
  std::vector<std::string> answers;
  std::vector<HttpCall> calls;
  for (int i = 0; i < 7; ++i) {
    calls.push_back(client->send(
        {}, [&answers](const Result<HttpReply>& result) { answers.push_back(told(result)); }));
  }
  EXPECT_EQ(client->stats().in_flight, 2U);
  EXPECT_EQ(client->stats().waiting, 3U);
  until([&answers] { return answers.size() == 2; });
  EXPECT_EQ(answers, (std::vector<std::string>{"limit_exceeded", "limit_exceeded"}));
  all_asked.count_down();
  until([&answers] { return answers.size() == 7; });
  EXPECT_EQ(std::ranges::count(answers, "200 1"), 5);
  EXPECT_LE(most, 2);
  EXPECT_EQ(client->stats().dialled, 2U);
}

TEST_F(HttpClientTest, ACancelledCallClosesItsConnectionAndMakesRoom) {
  std::atomic<bool> is_read = false;
  std::atomic<bool> is_closed = false;
  HttpTestServer server([&](HttpTestConnection& connection) {
    connection.read_request();
    if (connection.number == 1) {
      is_read = true;
      connection.wait_closed();
      is_closed = true;
    } else {
      connection.write(http_answer("1"));
      connection.wait_closed();
    }
  });
  auto client = make({.url = server.url(), .requests_max = 1});
  const auto never = [](const Result<HttpReply>&) { ADD_FAILURE() << "a cancelled call was told"; };
  HttpCall first = client->send({}, never);
  HttpCall waiting = client->send({}, never);
  until([&is_read] { return is_read.load(); });
  waiting.cancel();
  EXPECT_EQ(client->stats().waiting, 0U);
  std::optional<std::string> answer;
  const HttpCall last =
      client->send({}, [&answer](const Result<HttpReply>& result) { answer = told(result); });
  first = HttpCall();  // its end is as good
  until([&answer] { return answer.has_value(); });
  EXPECT_EQ(answer, "200 1");
  until([&is_closed] { return is_closed.load(); });
}

TEST_F(HttpClientTest, EndsEverythingWithItself) {
  std::atomic<int> closed = 0;
  HttpTestServer server([&closed](HttpTestConnection& connection) {
    connection.read_request();
    connection.wait_closed();
    ++closed;
  });
  auto client = make({.url = server.url(), .requests_max = 2});
  const auto never = [](const Result<HttpReply>&) { ADD_FAILURE() << "somebody was told"; };
  std::vector<HttpCall> calls;
  for (int i = 0; i < 3; ++i) {
    calls.push_back(client->send({.fields = {}, .timeout = seconds(30)}, never));
  }
  int turns = 0;
  until([&turns] { return ++turns > 20; });
  client.reset();
  calls.clear();
  io.restart();
  io.run();  // nothing is left that keeps it
}

TEST_F(HttpClientTest, MayEndInsideOfAnAnswer) {
  HttpTestServer server([](HttpTestConnection& connection) {
    connection.read_request();
    connection.write(http_answer("1"));
    connection.wait_closed();
  });
  auto client = make(server);
  bool ended = false;
  const HttpCall call = client->send({}, [&](const Result<HttpReply>&) {
    client.reset();
    ended = true;
  });
  until([&ended] { return ended; });
}

TEST_F(HttpClientTest, RefusesUrlsThatItCanNotUse) {
  for (const char* url : {"", "ws://a/", "http://", "http://a b/", "ftp://a/", "grpc://a:1"}) {
    EXPECT_FALSE(HttpClient::make(io, {.url = url}).has_value()) << url;
  }
  EXPECT_FALSE(HttpClient::make(io, {.url = "https://a/"}).has_value()) << "without whom to trust";
}

// — TLS —

std::shared_ptr<const TlsContext> trusting(std::string_view ca) {
  auto loaded =
      TlsContext::load_client({.ca_file = TestCertificates::shared().certificate_file(ca)});
  EXPECT_TRUE(loaded.has_value());
  return *loaded;
}

TEST_F(HttpClientTest, SpeaksTlsAndKeepsSuchConnections) {
  HttpTestServer server(
      [](HttpTestConnection& connection) {
        for (std::string request = connection.read_request(); !request.empty();
             request = connection.read_request()) {
          connection.write(http_answer(std::to_string(request.size())));
        }
      },
      TestCertificates::server("server"));
  auto client = make({.url = server.url(), .tls = trusting("ca")});
  const std::string large(300'000, 'x');
  EXPECT_EQ(ask(*client, "{}"), ask(*client, "{}"));
  EXPECT_GT(ask(*client, large), "200 300000");
  EXPECT_EQ(client->stats().dialled, 1U);
}

TEST_F(HttpClientTest, TrustsNoOtherCertificate) {
  for (const auto& [certificate, ca] : {std::pair{"server", "other-ca"}, std::pair{"expired", "ca"},
                                        std::pair{"elsewhere", "ca"}}) {
    HttpTestServer server([](HttpTestConnection& connection) { connection.read_request(); },
                          TestCertificates::server(certificate));
    auto client = make({.url = server.url(), .tls = trusting(ca)});
    EXPECT_EQ(ask(*client), "unavailable") << certificate;
  }
}

// Without close_notify somebody in between may have cut the answer.
TEST_F(HttpClientTest, TakesNoTlsAnswerThatMayHaveBeenCut) {
  HttpTestServer server(
      [](HttpTestConnection& connection) {
        connection.read_request();
        connection.write("HTTP/1.1 200 OK\r\n\r\nall");
        if (connection.number == 2) {
          connection.end();
          connection.wait_closed();
        }
      },
      TestCertificates::server("server"));
  auto client = make({.url = server.url(), .tls = trusting("ca")});
  EXPECT_EQ(ask(*client), "unavailable");
  EXPECT_EQ(ask(*client), "200 all");
}

}  // namespace
}  // namespace trunkline::net
