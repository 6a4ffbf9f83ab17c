// SPDX-License-Identifier: Apache-2.0
//
// The circuit breaker of a backend, on a clock that the test sets.
#include "server/proxy_backend.h"

#include "net/http_client_fixture.h"

#include <atomic>
#include <latch>

namespace trunkline::server {
namespace {

using std::chrono::seconds;

class ProxyBackendTest : public net::HttpClientTest {
 protected:
  std::shared_ptr<ProxyBackend> make_backend(net::HttpClientOptions options) {
    return std::make_shared<ProxyBackend>(
        "http://backend/", make(std::move(options)),
        peers::BreakerSettings{.failures = 3, .open = seconds(1), .open_max = seconds(8)},
        [this] { return now; }, [this](std::string_view line) { log.emplace_back(line); });
  }

  // The status, or how it failed; "not asked" while the breaker is open.
  std::string ask_backend(ProxyBackend& backend) {
    if (!backend.admits()) {
      return "not asked";
    }
    std::optional<std::string> told;
    const ProxyCall call = backend.send(
        {.fields = {}, .body = "{}", .timeout = seconds(30)},
        [&told](const std::expected<net::HttpReply, ProxyFailure>& reply) {
          told = reply.has_value()
                     ? std::to_string(reply->status)
                     : kProxyOutcomeNames[static_cast<std::size_t>(reply.error().outcome)];
        });
    until([&told] { return told.has_value(); });
    return told.value_or("");
  }

  // Answers with what `status` is at the time; nothing while it is empty.
  net::HttpTestServer::Script answering(std::atomic<const char*>& status) {
    return [&status](net::HttpTestConnection& connection) {
      while (!connection.read_request().empty()) {
        const std::string_view now_status = status.load();
        if (now_status.empty()) {
          return;
        }
        connection.write(net::http_answer("x", now_status));
      }
    };
  }

  TimePoint now{seconds(1000)};
  std::vector<std::string> log;
};

TEST_F(ProxyBackendTest, LeavesABackendAloneThatFailsAndTriesItWithOneQuestion) {
  std::atomic<const char*> status = "";
  net::HttpTestServer server(answering(status));
  const auto backend = make_backend({.url = server.url()});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ask_backend(*backend), "unreachable");
  }
  EXPECT_EQ(ask_backend(*backend), "not asked");
  ASSERT_EQ(log.size(), 1U);
  EXPECT_TRUE(
      log[0].starts_with("backend http://backend/ is left alone for a while, it has failed "
                         "3 times in a row: "))
      << log[0];
  now += seconds(1);
  EXPECT_EQ(ask_backend(*backend), "unreachable") << "the probe";
  now += seconds(1);
  EXPECT_EQ(ask_backend(*backend), "not asked") << "twice as long";
  now += seconds(1);
  status = "200 OK";
  EXPECT_EQ(ask_backend(*backend), "200");
  EXPECT_EQ(backend->stats().breaker, BreakerState::kClosed);
  EXPECT_EQ(log.back(), "backend http://backend/ answers again");
  EXPECT_EQ(log.size(), 2U);
}

TEST_F(ProxyBackendTest, OneQuestionOnlyIsTheProbe) {
  std::atomic<const char*> status = "503 Service Unavailable";
  net::HttpTestServer server(answering(status));
  const auto backend = make_backend({.url = server.url()});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ask_backend(*backend), "503");
  }
  now += seconds(1);
  ASSERT_TRUE(backend->admits());
  {
    const ProxyCall probe = backend->send({}, [](const auto&) { ADD_FAILURE(); });
    EXPECT_FALSE(backend->admits());
  }
  // Its client went away: the next one is the probe.
  EXPECT_TRUE(backend->admits());
  status = "200 OK";
  EXPECT_EQ(ask_backend(*backend), "200");
}

TEST_F(ProxyBackendTest, AnAnswerOfAnyOtherStatusIsALifeSign) {
  std::atomic<const char*> status = "500 Oops";
  net::HttpTestServer server(answering(status));
  const auto backend = make_backend({.url = server.url()});
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(ask_backend(*backend), "500");
  }
  status = "404 Not Found";
  EXPECT_EQ(ask_backend(*backend), "404");
  EXPECT_TRUE(log.empty());
}

TEST_F(ProxyBackendTest, FailuresCountInARowOnly) {
  std::atomic<const char*> status = "502 Bad Gateway";
  net::HttpTestServer server(answering(status));
  const auto backend = make_backend({.url = server.url()});
  for (int i = 0; i < 5; ++i) {
    status = "502 Bad Gateway";
    EXPECT_EQ(ask_backend(*backend), "502");
    EXPECT_EQ(ask_backend(*backend), "502");
    status = "200 OK";
    EXPECT_EQ(ask_backend(*backend), "200");
  }
}

TEST_F(ProxyBackendTest, WhatFindsNoRoomIsNotTheBackendsFault) {
  std::latch all_asked(1);
  net::HttpTestServer server([&all_asked](net::HttpTestConnection& connection) {
    connection.read_request();
    all_asked.wait();
    connection.write(net::http_answer("x"));
    connection.wait_closed();
  });
  const auto backend = make_backend({.url = server.url(), .requests_max = 1, .waiting_max = 0});
  bool answered = false;
  const ProxyCall first = backend->send({}, [&answered](const auto&) { answered = true; });
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(ask_backend(*backend), "busy");
  }
  EXPECT_EQ(backend->stats().breaker, BreakerState::kClosed);
  all_asked.count_down();
  until([&answered] { return answered; });
}

TEST_F(ProxyBackendTest, GivesAStreamedBodyLineByLine) {
  net::HttpTestServer server([](net::HttpTestConnection& connection) {
    connection.read_request();
    connection.write(net::kChunkedHead);
    connection.write(net::http_chunk("1\n2\n") + net::http_chunk("3\n"));
    if (connection.number > 1) {
      connection.write("0\r\n\r\n");
      connection.wait_closed();
    }
  });
  const auto backend = make_backend({.url = server.url()});
  for (const char* expected : {"unreachable", "200"}) {
    std::vector<std::string> lines;
    std::string told;
    ProxyCall call = backend->stream(
        {},
        [&lines](std::string_view line) {
          lines.emplace_back(line);
          return net::HttpFlow::kPause;
        },
        [&told](const std::expected<net::HttpReply, ProxyFailure>& reply) {
          told = reply.has_value()
                     ? std::to_string(reply->status)
                     : kProxyOutcomeNames[static_cast<std::size_t>(reply.error().outcome)];
        });
    for (std::size_t n = 1; n <= 3; ++n) {
      until([&] { return lines.size() == n; });
      call.resume();
    }
    until([&told] { return !told.empty(); });
    EXPECT_EQ(lines, (std::vector<std::string>{"1", "2", "3"}));
    EXPECT_EQ(told, expected);
  }
}

TEST_F(ProxyBackendTest, ComplaintsDoNotFlood) {
  const auto backend = make_backend({.url = "http://127.0.0.1:1/"});
  for (int i = 0; i < 100; ++i) {
    backend->complain("rpc", "status 500");
  }
  now += seconds(10);
  backend->complain("rpc", "status 500");
  EXPECT_EQ(log, (std::vector<std::string>{"backend http://backend/: rpc: status 500",
                                           "backend http://backend/: rpc: status 500 (99 lines "
                                           "left out)"}));
}

}  // namespace
}  // namespace trunkline::server
