// SPDX-License-Identifier: Apache-2.0
//
// A client on the test's own loop, which runs while the test waits for something.
#pragma once

#include "net/http_client.h"
#include "net/http_test_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::net {

class HttpClientTest : public ::testing::Test {
 protected:
  std::unique_ptr<HttpClient> make(HttpClientOptions options) {
    auto made = HttpClient::make(io, std::move(options));
    EXPECT_TRUE(made.has_value()) << made.error().context;
    return std::move(*made);
  }

  std::unique_ptr<HttpClient> make(const HttpTestServer& server) {
    return make({.url = server.url()});
  }

  // Runs the loop until that is so. The time only keeps a broken test from hanging.
  void until(const std::function<bool()>& is_so) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!is_so()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "it did not come";
      io.restart();
      io.run_one_for(std::chrono::milliseconds(100));
    }
  }

  static std::string told(const Result<HttpReply>& result) {
    return result.has_value() ? std::to_string(result->status) + " " + result->body
                              : std::string(name(result.error().code));
  }

  // An exchange from beginning to end: status and body, or the error's name.
  std::string ask(HttpClient& client, std::string body = "{}", Duration timeout = {}) {
    std::optional<std::string> answer;
    const HttpCall call =
        client.send({.fields = {}, .body = std::move(body), .timeout = timeout},
                    [&answer](const Result<HttpReply>& result) { answer = told(result); });
    EXPECT_FALSE(answer.has_value()) << "told from inside";
    until([&answer] { return answer.has_value(); });
    return answer.value_or("");
  }

  boost::asio::io_context io;
};

}  // namespace trunkline::net
