// SPDX-License-Identifier: Apache-2.0
//
// Uses the installed library as its users do: public headers only, nothing of this repository. A
// server in the process, a client, one publication.
#include <trunkline/client.h>
#include <trunkline/server.h>
#include <trunkline/version.h>

#include <chrono>
#include <cstdio>
#include <future>
#include <memory>
#include <string>
#include <utility>

int main() {
  trunkline::ServerOptions options;
  options.demo = true;
  options.port = 0;
  auto server = trunkline::Server::create(std::move(options));
  if (!server.has_value() || !(*server)->start().has_value()) {
    return 1;
  }
  std::promise<std::string> received;
  trunkline::ClientLoop loop;
  if (!loop.start().has_value()) {
    return 1;
  }
  trunkline::ClientOptions client_options;
  client_options.url =
      "ws://127.0.0.1:" + std::to_string((*server)->port()) + "/connection/websocket";
  auto client =
      std::make_unique<trunkline::Client>(loop, client_options, trunkline::ClientHandlers{});
  trunkline::SubscriptionHandlers handlers;
  handlers.on_subscribed = [&](const trunkline::SubscribedContext&) {
    (*server)->hub().publish("news", R"({"hello":"world"})");
  };
  handlers.on_publication = [&](const trunkline::Publication& publication) {
    received.set_value(std::string(publication.data));
  };
  client->subscribe("news", {}, std::move(handlers));
  client->connect();
  std::future<std::string> future = received.get_future();
  const bool came = future.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  const std::string text = came ? future.get() : "nothing";
  client.reset();
  loop.stop();
  (*server)->stop();
  std::printf("trunkline %s: %s\n", TRUNKLINE_VERSION, text.c_str());
  return text == R"({"hello":"world"})" ? 0 : 1;
}
