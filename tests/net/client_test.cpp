// SPDX-License-Identifier: Apache-2.0
#include <trunkline/client.h>

#include "net/client_connection.h"
#include "net/client_test_server.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <stdexcept>

namespace trunkline::net {
namespace {

using std::chrono::milliseconds;

// Events of the loop's thread, waited for by the test's.
class Events {
 public:
  void add(std::string event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    changed_.notify_all();
  }

  // Waits until an event that begins so has come (again); returns it. The time only keeps a broken
  // test from hanging.
  std::string wait(std::string_view start) {
    std::unique_lock lock(mutex_);
    std::size_t at = 0;
    const bool found = changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      for (at = next_; at < events_.size(); ++at) {
        if (events_[at].starts_with(start)) {
          return true;
        }
      }
      return false;
    });
    if (!found) {
      ADD_FAILURE() << "no event " << start;
      return {};
    }
    next_ = at + 1;
    return events_[at];
  }

  std::vector<std::string> all() {
    const std::lock_guard lock(mutex_);
    return events_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> events_;
  std::size_t next_ = 0;
};

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() { EXPECT_TRUE(loop.start().has_value()); }

  ClientHandlers handlers() {
    return {.on_connecting =
                [this](std::uint32_t code, std::string_view) {
                  events.add(fmt::format("connecting {}", code));
                },
            .on_connected = [this](auto client,
                                   auto) { events.add(fmt::format("connected {}", client)); },
            .on_disconnected =
                [this](std::uint32_t code, std::string_view reason) {
                  events.add(fmt::format("disconnected {} {}", code, reason));
                },
            .on_error = [this](const ClientError& error) { events.add("error " + error.context); }};
  }

  SubscriptionHandlers subscription_handlers() {
    return {.on_subscribed = [this](const SubscribedContext&) { events.add("subscribed"); },
            .on_publication =
                [this](const Publication& publication) {
                  events.add(fmt::format("publication {}", publication.data));
                },
            .on_unsubscribed =
                [this](std::uint32_t code, std::string_view) {
                  events.add(fmt::format("unsubscribed {}", code));
                }};
  }

  static ClientOptions options(const ClientTestServer& server) {
    return {.url = server.url(),
            .reconnect_delay_min = milliseconds(1),
            .reconnect_delay_max = milliseconds(5)};
  }

  ClientDone<void> done(std::string what) {
    return [this, what = std::move(what)](const ClientResult<void>& result) {
      events.add(what + " " + (result.has_value() ? "ok" : std::string(name(result.error().code))));
    };
  }

  Events events;
  ClientLoop loop;
};

TEST_F(ClientTest, ConnectsSubscribesAndReceives) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  client.subscribe("room", {}, subscription_handlers());
  client.connect();
  EXPECT_EQ(events.wait("connected"), "connected c");
  events.wait("subscribed");
  server.each_peer([](ServerPeer& peer) {
    peer.say(R"({"push":{"channel":"room","pub":{"data":{"x":1},"offset":1}}})");
  });
  EXPECT_EQ(events.wait("publication"), R"(publication {"x":1})");
}

TEST_F(ClientTest, PublishesAndHearsTheAcknowledgement) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  client.connect();
  client.publish("room", "1", done("publish"));
  EXPECT_EQ(events.wait("publish"), "publish ok");
}

TEST_F(ClientTest, TakesAMessageThatComesInPieces) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  client.subscribe("room", {}, subscription_handlers());
  client.connect();
  events.wait("subscribed");
  const std::string data = '"' + std::string(300'000, 'x') + '"';
  server.each_peer([&data](ServerPeer& peer) {
    peer.say(R"({"push":{"channel":"room","pub":{"offset":1,"data":)" + data + "}}}");
  });
  EXPECT_EQ(events.wait("publication"), "publication " + data);
}

TEST_F(ClientTest, SendsMoreThanTheSocketTakesAtOnce) {
  std::atomic<std::size_t> received = 0;
  ClientTestServer server(
      {.on_request = {}, .on_text = [&received](ServerPeer& peer, std::string_view text) {
         received += text.size();
         ClientTestServer::answer(peer, text);
       }});
  Client client(loop, options(server), handlers());
  client.connect();
  const std::string data = '"' + std::string(400'000, 'x') + '"';
  for (int i = 0; i < 20; ++i) {
    client.publish("room", data, done("publish"));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(events.wait("publish"), "publish ok");
  }
  EXPECT_GT(received, 8'000'000U);
}

TEST_F(ClientTest, ComesBackWhenTheConnectionIsKilled) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  client.subscribe("room", {}, subscription_handlers());
  client.connect();
  events.wait("subscribed");
  server.each_peer([](ServerPeer& peer) { peer.kill(); });
  EXPECT_EQ(events.wait("connecting 1"), "connecting 1");
  events.wait("connected");
  events.wait("subscribed");
}

TEST_F(ClientTest, FailsSentCommandsWhenTheConnectionIsKilled) {
  ClientTestServer server(
      {.on_request = {}, .on_text = [](ServerPeer& peer, std::string_view text) {
         if (text.contains("publish")) {
           peer.kill();
         } else {
           ClientTestServer::answer(peer, text);
         }
       }});
  Client client(loop, options(server), handlers());
  client.connect();
  events.wait("connected");
  client.publish("room", "1", done("publish"));
  EXPECT_EQ(events.wait("publish"), "publish closed");
}

TEST_F(ClientTest, KeepsTheServersTerminalCode) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  client.connect();
  events.wait("connected");
  server.each_peer([](ServerPeer& peer) { peer.close_with(3503, "force disconnect"); });
  EXPECT_EQ(events.wait("disconnected"), "disconnected 3503 force disconnect");
}

TEST_F(ClientTest, SurvivesStatus1005InACloseFrame) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  client.connect();
  events.wait("connected");
  server.each_peer([](ServerPeer& peer) { peer.close_with(1005, "no status"); });
  EXPECT_EQ(events.wait("connecting 1"), "connecting 1");
  events.wait("connected");
}

TEST_F(ClientTest, SurvivesGarbageInsteadOfFrames) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  client.connect();
  events.wait("connected");
  server.each_peer([](ServerPeer& peer) { peer.write(std::string(100, '\xFF')); });
  EXPECT_EQ(events.wait("connecting 1"), "connecting 1");
  events.wait("connected");
}

TEST_F(ClientTest, EndsOnTextThatIsNoReply) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  client.connect();
  events.wait("connected");
  server.each_peer([](ServerPeer& peer) { peer.say("[1,"); });
  EXPECT_TRUE(events.wait("disconnected").starts_with("disconnected 2 "));
}

TEST_F(ClientTest, RefusesALargerMessageThanItsLimit) {
  ClientTestServer server;
  ClientOptions small = options(server);
  small.message_bytes_max = 1000;
  Client client(loop, small, handlers());
  client.connect();
  events.wait("connected");
  server.each_peer([](ServerPeer& peer) { peer.say(std::string(2000, ' ')); });
  EXPECT_EQ(events.wait("connecting 1"), "connecting 1");
}

TEST_F(ClientTest, SaysWhyAHandshakeWasRefused) {
  ClientTestServer server({.on_request =
                               [](ServerPeer& peer) {
                                 peer.write("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
                               },
                           .on_text = {}});
  Client client(loop, options(server), handlers());
  client.connect();
  EXPECT_EQ(events.wait("error"), "error the server answered HTTP status 503");
  events.wait("error");  // and tries again
}

TEST_F(ClientTest, SurvivesHalfAHandshake) {
  ClientTestServer server({.on_request =
                               [](ServerPeer& peer) {
                                 peer.write("HTTP/1.1 101 Switch");
                                 peer.kill();
                               },
                           .on_text = {}});
  Client client(loop, options(server), handlers());
  client.connect();
  EXPECT_EQ(events.wait("error"), "error the server closed the connection");
}

TEST_F(ClientTest, RefusesAHandshakeThatIsNotHttp) {
  ClientTestServer server(
      {.on_request = [](ServerPeer& peer) { peer.write("SSH-2.0-x\r\n\r\n"); }, .on_text = {}});
  Client client(loop, options(server), handlers());
  client.connect();
  EXPECT_TRUE(events.wait("error").starts_with("error not an HTTP response"));
}

TEST_F(ClientTest, RefusesAHandshakeWithoutEnd) {
  ClientTestServer server(
      {.on_request =
           [](ServerPeer& peer) { peer.write("HTTP/1.1 101 X\r\nA: " + std::string(20'000, 'a')); },
       .on_text = {}});
  Client client(loop, options(server), handlers());
  client.connect();
  EXPECT_EQ(events.wait("error"), "error the server's handshake does not end");
}

TEST_F(ClientTest, GivesUpAServerThatNeverAnswersTheHandshake) {
  ClientTestServer server({.on_request = [](ServerPeer&) {}, .on_text = {}});
  ClientOptions impatient = options(server);
  impatient.connect_timeout = milliseconds(20);
  Client client(loop, impatient, handlers());
  client.connect();
  EXPECT_EQ(events.wait("error"), "error no connection in time");
  events.wait("error");
}

TEST_F(ClientTest, EndsACommandThatIsNeverAnswered) {
  ClientTestServer server(
      {.on_request = {}, .on_text = [](ServerPeer& peer, std::string_view text) {
         if (!text.contains("publish")) {
           ClientTestServer::answer(peer, text);
         }
       }});
  ClientOptions impatient = options(server);
  impatient.command_timeout = milliseconds(50);
  Client client(loop, impatient, handlers());
  client.connect();
  events.wait("connected");
  client.publish("room", "1", done("publish"));
  EXPECT_EQ(events.wait("publish"), "publish timeout");
}

TEST_F(ClientTest, SaysThatNobodyListens) {
  std::string url;
  {
    const ClientTestServer server;
    url = server.url();
  }
  Client client(loop, {.url = url}, handlers());
  client.connect();
  EXPECT_TRUE(events.wait("error").starts_with("error connect: "));
}

TEST_F(ClientTest, RefusesWssWithAClearReason) {
  Client client(loop, {.url = "wss://localhost/"}, handlers());
  client.connect();
  EXPECT_EQ(events.wait("disconnected"),
            "disconnected 4 wss://localhost/: wss:// (TLS) is not spoken yet, only ws://");
}

TEST_F(ClientTest, BindsToALocalAddress) {
  ClientTestServer server;
  ClientOptions bound = options(server);
  bound.local_address = "127.0.0.2";
  Client client(loop, bound, handlers());
  client.connect();
  events.wait("connected");
}

TEST_F(ClientTest, SaysCloseWhenItDisconnects) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  client.connect();
  events.wait("connected");
  client.disconnect();
  EXPECT_EQ(events.wait("disconnected"), "disconnected 0 disconnect called");
  while (server.last_close_code() == 0) {
    std::this_thread::yield();
  }
  EXPECT_EQ(server.last_close_code(), 1000);
}

TEST_F(ClientTest, ConnectsAgainAfterDisconnect) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  client.subscribe("room", {}, subscription_handlers());
  client.connect();
  events.wait("subscribed");
  client.disconnect();
  events.wait("disconnected");
  client.connect();
  events.wait("subscribed");
}

TEST_F(ClientTest, UnsubscribesByItsHandle) {
  ClientTestServer server;
  Client client(loop, options(server), handlers());
  Subscription subscription = client.subscribe("room", {}, subscription_handlers());
  client.connect();
  events.wait("subscribed");
  subscription.unsubscribe();
  EXPECT_EQ(events.wait("unsubscribed"), "unsubscribed 0");
}

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
}

INSTANTIATE_TEST_SUITE_P(Good, ClientUrl,
                         ::testing::Values(UrlCase{"ws://a", "a", "80", "/"},
                                           UrlCase{"ws://a:8000/x", "a", "8000", "/x"},
                                           UrlCase{"ws://[::1]:9/x?y=1#z", "::1", "9", "/x?y=1"},
                                           UrlCase{"ws://[::1]", "::1", "80", "/"},
                                           UrlCase{"ws://a?q", "a", "80", "/?q"}));

class ClientBadUrl : public ::testing::TestWithParam<std::string_view> {};

TEST_P(ClientBadUrl, IsRefused) {
  EXPECT_FALSE(parse_client_url(GetParam()).has_value());
}

INSTANTIATE_TEST_SUITE_P(Bad, ClientBadUrl,
                         ::testing::Values("", "http://a", "ws://", "ws://:80/", "ws://a:0/",
                                           "ws://a:65536/", "ws://a:x/", "ws://[::1/", "ws://a b/",
                                           "ws://a\r\nX: y/", "ws://user@a/"));

}  // namespace
}  // namespace trunkline::net
