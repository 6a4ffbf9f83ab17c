// SPDX-License-Identifier: Apache-2.0
//
// A server with a backend over HTTP, and with handlers beside it.
#include "server/shard_proxy.h"

#include <trunkline/client.h>
#include <trunkline/server.h>

#include "net/certificates.h"
#include "net/http_test_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>

namespace trunkline {
namespace {

class ShardProxyTest : public ::testing::Test {
 protected:
  ShardProxyTest()
      : backend([this](net::HttpTestConnection& connection) {
          for (std::string request = connection.read_request(); !request.empty();
               request = connection.read_request()) {
            ++asked;
            if (is_silent) {
              connection.wait_closed();
              ++closed;
              return;
            }
            connection.write(net::http_answer(answer(request)));
          }
        }) {
    ServerOptions options;
    options.config_json = fmt::format(
        R"({{"client":{{"proxy":{{"connect":{{"enabled":true,"endpoint":"{0}/c","timeout":"60s"}}}}}},
             "channel":{{"without_namespace":{{"publish_proxy_enabled":true}},
                         "proxy":{{"publish":{{"endpoint":"{0}/p","timeout":"60s"}}}}}},
             "rpc":{{"proxy":{{"endpoint":"{0}/r","timeout":"60s"}},
                     "without_namespace":{{"proxy_enabled":true}}}}}})",
        backend.url(""));
    options.port = 0;
    options.shards = 2;
    options.log = [](std::string_view) {};
    auto made = Server::create(std::move(options));
    EXPECT_TRUE(made.has_value()) << to_string(made.error());
    server = std::move(*made);
  }

  static std::string answer(std::string_view request) {
    return request.starts_with("POST /c ") ? R"({"result":{"user":"u"}})"
                                           : R"({"result":{"data":"of the backend"}})";
  }

  void start() {
    const auto started = server->start();
    ASSERT_TRUE(started.has_value()) << to_string(started.error());
    ASSERT_TRUE(loop.start().has_value());
  }

  std::unique_ptr<Client> client() {
    ClientOptions options;
    options.url = "ws://127.0.0.1:" + std::to_string(server->port()) + "/connection/websocket";
    auto made = std::make_unique<Client>(loop, options, ClientHandlers{});
    made->connect();
    return made;
  }

  static std::future<std::string> call(Client& client, const std::string& method) {
    auto told = std::make_shared<std::promise<std::string>>();
    client.rpc(method, "1", [told](const ClientResult<RpcResult>& result) {
      told->set_value(result.has_value() ? std::string(result->data)
                                         : std::to_string(result.error().protocol_code));
    });
    return told->get_future();
  }

  std::atomic<int> asked = 0;
  std::atomic<int> closed = 0;
  std::atomic<bool> is_silent = false;
  net::HttpTestServer backend;
  ClientLoop loop;
  std::unique_ptr<Server> server;
};

TEST_F(ShardProxyTest, AnswersForTheBackendOnEveryShard) {
  start();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(client());
  }
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(call(*clients[static_cast<std::size_t>(i % 4)], "m").get(), R"("of the backend")");
  }
  EXPECT_EQ(asked, 44);
  loop.stop();
  server->stop();
}

TEST_F(ShardProxyTest, HandlersDecideWhatTheyAreThereFor) {
  server->on_rpc("mine", [](RpcRequest) -> Task<Answer<std::string>> {
    co_return std::string(R"("of the handler")");
  });
  start();
  const auto one = client();
  EXPECT_EQ(call(*one, "mine").get(), R"("of the handler")");
  EXPECT_EQ(call(*one, "other").get(), R"("of the backend")");
  loop.stop();
  server->stop();
}

// At any moment: the questions are on their way, the client and the server end.
TEST_F(ShardProxyTest, AStopEndsQuestionsThatAreOnTheirWay) {
  start();
  const auto connected = client();
  EXPECT_EQ(call(*connected, "m").get(), R"("of the backend")");
  is_silent = true;
  std::vector<std::future<std::string>> calls;
  for (int i = 0; i < 10; ++i) {
    calls.push_back(call(*connected, "never"));
  }
  const auto connecting = client();
  while (asked < 13) {
    std::this_thread::yield();
  }
  server->stop(std::chrono::milliseconds(0));
  loop.stop();
  while (closed < 11) {
    std::this_thread::yield();
  }
}

TEST_F(ShardProxyTest, AServerThatNeverStartedEnds) {
  server.reset();
}

// — TLS —

ServerOptions with_tls(const std::string& endpoint, const std::string& ca) {
  ServerOptions options;
  options.config_json = fmt::format(
      R"({{"client":{{"allow_anonymous_connect_without_token":true}},
           "rpc":{{"proxy":{{"endpoint":"{}","timeout":"30s",
                             "http":{{"tls":{{"enabled":true,"server_ca_pem_file":"{}"}}}}}},
                   "without_namespace":{{"proxy_enabled":true}}}}}})",
      endpoint, ca);
  options.port = 0;
  options.shards = 1;
  options.log = [](std::string_view) {};
  return options;
}

TEST_F(ShardProxyTest, AsksOverTlsWhomItTrusts) {
  const net::HttpTestServer secure(
      [](net::HttpTestConnection& connection) {
        while (!connection.read_request().empty()) {
          connection.write(net::http_answer(R"({"result":{"data":"secure"}})"));
        }
      },
      net::TestCertificates::server("server"));
  ASSERT_TRUE(loop.start().has_value());
  for (const auto& [ca, told] : {std::pair{"ca", "\"secure\""}, std::pair{"other-ca", "100"}}) {
    server = *Server::create(
        with_tls(secure.url(), net::TestCertificates::shared().certificate_file(ca)));
    ASSERT_TRUE(server->start().has_value());
    const auto one = client();
    EXPECT_EQ(call(*one, "m").get(), told);
  }
  loop.stop();
}

TEST_F(ShardProxyTest, ACaThatCanNotBeReadStopsTheStart) {
  server = *Server::create(with_tls("https://127.0.0.1:1/", "/no/such/file"));
  const auto started = server->start();
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().code, ErrorCode::kConfig);
  EXPECT_TRUE(started.error().context.starts_with("proxy https://127.0.0.1:1/: "))
      << started.error().context;
}

}  // namespace
}  // namespace trunkline
