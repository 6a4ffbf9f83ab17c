// SPDX-License-Identifier: Apache-2.0
#include "net/client_fixture.h"

#include <atomic>
#include <thread>

namespace trunkline::net {
namespace {

using std::chrono::milliseconds;

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

// A socket that is closed with bytes unread takes back what it has sent.
TEST_F(ClientTest, SaysWhyItRefusesAMessageWhateverFollowsIt) {
  ClientTestServer server;
  ClientOptions small = options(server);
  small.message_bytes_max = 1000;
  Client client(loop, small, handlers());
  client.connect();
  events.wait("connected");
  server.each_peer([](ServerPeer& peer) { peer.say(std::string(3'000'000, ' ')); });
  EXPECT_EQ(server.wait_for_close(), 1009);
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

}  // namespace
}  // namespace trunkline::net
