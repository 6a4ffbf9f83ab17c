// SPDX-License-Identifier: Apache-2.0
#include "net/client_fixture.h"

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <thread>

namespace trunkline::net {
namespace {

TEST_F(ClientTest, AHandleMayOutliveItsClient) {
  ClientTestServer server;
  Subscription subscription;
  {
    Client client(loop, options(server), handlers());
    subscription = client.subscribe("room", {}, subscription_handlers());
  }
  subscription.unsubscribe();
  EXPECT_TRUE(events.all().empty());
}

TEST_F(ClientTest, ATokenMayComeFromAnotherThread) {
  ClientTestServer server;
  ClientOptions with_token = options(server);
  std::promise<TokenDone> asked;
  with_token.get_token = [&asked](TokenDone answer) { asked.set_value(std::move(answer)); };
  Client client(loop, with_token, handlers());
  client.connect();
  TokenDone answer = asked.get_future().get();
  answer(std::string("token"));
  events.wait("connected");
}

TEST_F(ClientTest, ATokenMayComeAfterTheClient) {
  ClientTestServer server;
  ClientOptions with_token = options(server);
  std::promise<TokenDone> asked;
  with_token.get_token = [&asked](TokenDone answer) { asked.set_value(std::move(answer)); };
  auto client = std::make_unique<Client>(loop, with_token, handlers());
  client->connect();
  TokenDone answer = asked.get_future().get();
  client.reset();
  answer(std::string("token"));
  EXPECT_EQ(server.handshakes(), 0);
}

TEST_F(ClientTest, ACallbackThatThrowsEndsOnlyItsClient) {
  ClientTestServer server;
  Client good(loop, options(server), {});
  ClientHandlers throwing = handlers();
  throwing.on_connected = [](auto, auto) { throw std::runtime_error("user"); };
  Client bad(loop, options(server), throwing);
  bad.connect();
  EXPECT_EQ(events.wait("disconnected"), "disconnected 5 a callback threw");
  good.connect();
  good.publish("room", "1", done("publish"));
  EXPECT_EQ(events.wait("publish"), "publish ok");
}

TEST_F(ClientTest, CanBeDestroyedInsideItsOwnCallback) {
  ClientTestServer server;
  std::unique_ptr<Client> client;
  std::promise<void> destroyed;
  ClientHandlers destroying = handlers();
  destroying.on_connected = [&](auto, auto) {
    client.reset();
    destroyed.set_value();
  };
  client = std::make_unique<Client>(loop, options(server), std::move(destroying));
  client->connect();
  client->publish("room", "1", done("publish"));
  destroyed.get_future().wait();
  loop.stop();
  EXPECT_EQ(events.all(), std::vector<std::string>{"connecting 0"});
}

TEST_F(ClientTest, CanBeDestroyedInsideAPublication) {
  ClientTestServer server;
  std::unique_ptr<Client> client =
      std::make_unique<Client>(loop, options(server), ClientHandlers{});
  std::promise<void> destroyed;
  SubscriptionHandlers destroying = subscription_handlers();
  destroying.on_publication = [&, log = std::string("owned by the callback")](const Publication&) {
    client.reset();
    events.add(log);  // the callback itself still stands
    destroyed.set_value();
  };
  client->subscribe("room", {}, std::move(destroying));
  client->connect();
  events.wait("subscribed");
  server.each_peer([](ServerPeer& peer) {
    peer.say(R"({"push":{"channel":"room","pub":{"data":1,"offset":1}}})"
             "\n"
             R"({"push":{"channel":"room","pub":{"data":2,"offset":2}}})");
  });
  destroyed.get_future().wait();
  loop.stop();
  EXPECT_EQ(events.all().size(), 2U);
}

TEST_F(ClientTest, NothingIsCalledAfterItsDestruction) {
  ClientTestServer server;
  for (int round = 0; round < 50; ++round) {
    auto alive = std::make_shared<std::atomic<bool>>(true);
    const auto check = [alive] { EXPECT_TRUE(*alive) << "called after the end"; };
    {
      Client client(loop, options(server),
                    {.on_connecting = [check](auto, auto) { check(); },
                     .on_connected = [check](auto, auto) { check(); },
                     .on_disconnected = [check](auto, auto) { check(); },
                     .on_error = [check](const auto&) { check(); }});
      client.subscribe("room", {}, {.on_subscribed = [check](const auto&) { check(); }});
      client.connect();
      client.publish("room", "1", [check](const auto&) { check(); });
      if (round % 5 == 0) {
        server.each_peer([](ServerPeer& peer) { peer.kill(); });
      }
      while (server.handshakes() < round % 3) {
        std::this_thread::yield();
      }
    }
    *alive = false;
  }
}

TEST_F(ClientTest, CanBeDestroyedInEachStateOfAConnection) {
  ClientTestServer mute({.on_request = [](ServerPeer&) {}, .on_text = {}});
  ClientTestServer silent({.on_request = {}, .on_text = [](ServerPeer&, std::string_view) {}});
  {
    Client idle(loop, options(mute), handlers());
  }
  for (const ClientTestServer* server : {&mute, &silent}) {
    Client client(loop, options(*server), handlers());
    client.connect();
    client.publish("room", "1", done("publish"));
    events.wait("connecting");
  }
  Client resolving(loop, {.url = "ws://localhost:9/"}, handlers());
  resolving.connect();
  events.wait("connecting");
}

TEST_F(ClientTest, StoppingTheLoopDisconnectsItsClients) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  client.connect();
  events.wait("connected");
  loop.stop();
  EXPECT_EQ(events.wait("disconnected"), "disconnected 0 client loop stopped");
  client.connect();
  client.publish("room", "1", done("publish"));
  EXPECT_EQ(events.all().back(), "disconnected 0 client loop stopped");
}

TEST_F(ClientTest, TheLoopMayBeStoppedInsideACallback) {
  ClientTestServer server;
  std::promise<void> stopped;
  ClientHandlers stopping = handlers();
  stopping.on_connected = [&](auto, auto) { loop.stop(); };
  stopping.on_disconnected = [&](auto, auto) { stopped.set_value(); };
  Client client(loop, options(server), std::move(stopping));
  client.connect();
  stopped.get_future().wait();
}

TEST(ClientLoop, MayBeDestroyedBeforeItsClients) {
  ClientTestServer server;
  auto loop = std::make_unique<ClientLoop>();
  ASSERT_TRUE(loop->start().has_value());
  Client client(*loop, {.url = server.url()}, {});
  client.connect();
  loop.reset();
  client.disconnect();
}

TEST(ClientLoop, MayBeDestroyedWithoutAStart) {
  ClientLoop loop;
  Client client(loop, {.url = "ws://127.0.0.1:9/"}, {});
  client.connect();
}

TEST(ClientLoop, RunsWhatItIsGiven) {
  ClientLoop loop;
  std::promise<bool> ran;
  EXPECT_TRUE(loop.run_on_loop([&] { ran.set_value(loop.is_on_loop()); }));
  ASSERT_TRUE(loop.start().has_value());
  EXPECT_TRUE(ran.get_future().get());
  EXPECT_FALSE(loop.is_on_loop());
  loop.stop();
  EXPECT_FALSE(loop.run_on_loop([] {}));
  EXPECT_FALSE(loop.start().has_value());
}

}  // namespace
}  // namespace trunkline::net
