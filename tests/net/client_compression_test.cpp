// SPDX-License-Identifier: Apache-2.0
//
// permessage-deflate between the client and servers of several kinds.
#include "net/certificates.h"
#include "net/client_fixture.h"
#include "ws/deflate.h"

namespace trunkline::net {
namespace {

class ClientCompressionTest : public ClientTest {
 protected:
  static ClientOptions compressing(const ClientTestServer& server) {
    ClientOptions compressing = options(server);
    compressing.compression = true;
    return compressing;
  }

  // As a JSON text; nothing like the ones before it, but small when compressed.
  static std::string text(int number, std::size_t bytes) {
    std::string text = fmt::format("\"{} ", number);
    while (text.size() < bytes) {
      text += fmt::format("the quick brown fox {} ", number);
    }
    return text + '"';
  }

  static std::string publication(int number, std::string_view data) {
    return fmt::format(R"({{"push":{{"channel":"room","pub":{{"offset":{},"data":{}}}}}}})", number,
                       data);
  }

  // Large and small messages in turn, both ways.
  void expect_round_trips(ClientTestServer& server, const ClientOptions& options) {
    Client client(loop, options, handlers());
    client.subscribe("room", {}, subscription_handlers());
    client.connect();
    events.wait("subscribed");
    for (const int number : {1, 2, 3, 4}) {
      const std::string data = text(number, number % 2 == 0 ? 20 : 300'000);
      client.publish("room", data, done("publish"));
      EXPECT_EQ(events.wait("publish"), "publish ok");
      server.each_peer([push = publication(number, data)](ServerPeer& peer) { peer.say(push); });
      EXPECT_EQ(events.wait("publication"), "publication " + data);
    }
  }

  static ServerScript agreeing_to(const ws::DeflateParameters& parameters) {
    return {.on_request = {}, .on_text = {}, .tls = {}, .deflate = parameters};
  }
};

TEST_F(ClientCompressionTest, GoesBothWaysInFewerBytes) {
  ClientTestServer server(agreeing_to({}));
  expect_round_trips(server, compressing(server));
  EXPECT_LT(server.bytes_received(), 60'000U);
}

TEST_F(ClientCompressionTest, GoesBothWaysWithoutTheServersContext) {
  ClientTestServer server(
      agreeing_to({.server_no_context_takeover = true, .client_no_context_takeover = true}));
  expect_round_trips(server, compressing(server));
  EXPECT_LT(server.bytes_received(), 60'000U);
}

TEST_F(ClientCompressionTest, GoesBothWaysWithSmallWindows) {
  ClientTestServer server(agreeing_to({.client_max_window_bits = 9}));
  expect_round_trips(server, compressing(server));
  EXPECT_LT(server.bytes_received(), 60'000U);
}

TEST_F(ClientCompressionTest, GoesBothWaysInsideTls) {
  ServerScript script = agreeing_to({});
  script.tls = TestCertificates::server("server");
  ClientTestServer server(script);
  ClientOptions options = compressing(server);
  options.tls.ca_file = TestCertificates::shared().certificate_file("ca");
  expect_round_trips(server, options);
  EXPECT_LT(server.bytes_received(), 60'000U);
}

TEST_F(ClientCompressionTest, IsNotOfferedUnlessItIsAskedFor) {
  ClientTestServer server(agreeing_to({}));
  expect_round_trips(server, options(server));
  EXPECT_GT(server.bytes_received(), 600'000U);
}

TEST_F(ClientCompressionTest, MayBeDeclined) {
  ClientTestServer server;
  expect_round_trips(server, compressing(server));
}

TEST_F(ClientCompressionTest, RefusesAnAnswerThatTheOfferDoesNotAllow) {
  const ClientTestServer server({.on_request = {},
                                 .on_text = {},
                                 .tls = {},
                                 .deflate = {},
                                 .extensions = "permessage-deflate; server_max_window_bits=16"});
  Client client(loop, compressing(server), handlers());
  client.connect();
  EXPECT_TRUE(events.wait("error").contains("the server's permessage-deflate"));
}

TEST_F(ClientCompressionTest, RefusesAnAnswerToNoOffer) {
  const ClientTestServer server({.on_request = {},
                                 .on_text = {},
                                 .tls = {},
                                 .deflate = {},
                                 .extensions = "permessage-deflate"});
  Client client(loop, options(server), handlers());
  client.connect();
  EXPECT_EQ(events.wait("error"), "error the server chose an extension that was not offered");
}

TEST_F(ClientCompressionTest, RefusesABombByTheSizeItWouldHave) {
  ClientTestServer server(agreeing_to({}));
  ClientOptions limited = compressing(server);
  limited.message_bytes_max = 1'000'000;
  Client client(loop, limited, handlers());
  client.connect();
  events.wait("connected");
  server.each_peer([](ServerPeer& peer) {
    ws::DeflateScratch scratch{ws::CompressionSettings{}};
    const std::string zeros(100'000'000, ' ');
    peer.write(*ws::make_compressed_frame(ws::Opcode::kText, zeros, scratch));
  });
  EXPECT_EQ(events.wait("connecting 1"), "connecting 1");
  EXPECT_EQ(server.wait_for_close(), 1009);
  events.wait("connected");
}

TEST_F(ClientCompressionTest, RefusesTextThatIsNotUtf8WhenItIsInflated) {
  ClientTestServer server(agreeing_to({}));
  Client client(loop, compressing(server), handlers());
  client.connect();
  events.wait("connected");
  server.each_peer([](ServerPeer& peer) {
    ws::DeflateScratch scratch{ws::CompressionSettings{}};
    peer.write(*ws::make_compressed_frame(ws::Opcode::kText, std::string(1000, '\xFF'), scratch));
  });
  EXPECT_EQ(events.wait("connecting 1"), "connecting 1");
  EXPECT_EQ(server.wait_for_close(), 1007);
}

TEST_F(ClientCompressionTest, RefusesWhatIsNotDeflate) {
  ClientTestServer server(agreeing_to({}));
  Client client(loop, compressing(server), handlers());
  client.connect();
  events.wait("connected");
  server.each_peer([](ServerPeer& peer) {
    peer.write(ws::make_frame(ws::Opcode::kText, std::string(100, '\xFF'), ws::Rsv1::kSet));
  });
  EXPECT_EQ(events.wait("connecting 1"), "connecting 1");
  EXPECT_EQ(server.wait_for_close(), 1007);
}

}  // namespace
}  // namespace trunkline::net
