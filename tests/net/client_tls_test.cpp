// SPDX-License-Identifier: Apache-2.0
//
// The client over wss://, against certificates good and bad.
#include "net/certificates.h"
#include "net/client_fixture.h"

#include <atomic>

namespace trunkline::net {
namespace {

using std::chrono::milliseconds;

class ClientTlsTest : public ClientTest {
 protected:
  // Trusts the CA that has signed the server's.
  static ClientOptions trusting(const ClientTestServer& server) {
    ClientOptions trusting = options(server);
    trusting.tls.ca_file = TestCertificates::shared().certificate_file("ca");
    return trusting;
  }

  static std::string large_text(std::size_t bytes) { return '"' + std::string(bytes, 'x') + '"'; }
};

TEST_F(ClientTlsTest, ConnectsByAddressAndByName) {
  const ClientTestServer server(
      {.on_request = {}, .on_text = {}, .tls = TestCertificates::server("server")});
  for (const std::string_view host : {"127.0.0.1", "localhost"}) {
    ClientOptions options = trusting(server);
    options.url = server.url(host);
    Client client(loop, options, handlers());
    client.connect();
    EXPECT_EQ(events.wait("connected"), "connected c");
  }
}

TEST_F(ClientTlsTest, CarriesLargeMessagesBothWays) {
  std::atomic<std::size_t> received = 0;
  ClientTestServer server({.on_request = {},
                           .on_text =
                               [&received](ServerPeer& peer, std::string_view text) {
                                 received += text.size();
                                 ClientTestServer::answer(peer, text);
                               },
                           .tls = TestCertificates::server("server")});
  Client client(loop, trusting(server), handlers());
  client.subscribe("room", {}, subscription_handlers());
  client.connect();
  events.wait("subscribed");
  const std::string data = large_text(400'000);
  for (int i = 0; i < 20; ++i) {
    client.publish("room", data, done("publish"));
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(events.wait("publish"), "publish ok");
  }
  EXPECT_GT(received, 8'000'000U);
  server.each_peer([&data](ServerPeer& peer) {
    peer.say(R"({"push":{"channel":"room","pub":{"offset":1,"data":)" + data + "}}}");
  });
  EXPECT_EQ(events.wait("publication"), "publication " + data);
}

TEST_F(ClientTlsTest, ComesBackWhenTheConnectionIsKilled) {
  ClientTestServer server(
      {.on_request = {}, .on_text = {}, .tls = TestCertificates::server("server")});
  Client client(loop, trusting(server), handlers());
  client.subscribe("room", {}, subscription_handlers());
  client.connect();
  events.wait("subscribed");
  server.each_peer([](ServerPeer& peer) { peer.kill(); });
  EXPECT_EQ(events.wait("connecting 1"), "connecting 1");
  events.wait("connected");
  events.wait("subscribed");
  EXPECT_EQ(server.handshakes(), 2);
}

TEST_F(ClientTlsTest, ComesBackWhenTheBytesAreNotTlsAnyMore) {
  ClientTestServer server(
      {.on_request = {}, .on_text = {}, .tls = TestCertificates::server("server")});
  Client client(loop, trusting(server), handlers());
  client.connect();
  events.wait("connected");
  server.each_peer([](ServerPeer& peer) { peer.write_raw(std::string(100, 'x')); });
  EXPECT_EQ(events.wait("connecting 1"), "connecting 1");
  events.wait("connected");
}

struct RefusalCase {
  std::string_view what;
  std::string certificate;
  std::string ca;
  std::string error;  // its beginning
};

class ClientTlsRefusal : public ClientTlsTest, public ::testing::WithParamInterface<RefusalCase> {};

TEST_P(ClientTlsRefusal, IsToldAndTriedAgain) {
  const ClientTestServer server(
      {.on_request = {}, .on_text = {}, .tls = TestCertificates::server(GetParam().certificate)});
  ClientOptions options = trusting(server);
  options.tls.ca_file = TestCertificates::shared().certificate_file(GetParam().ca);
  Client client(loop, options, handlers());
  client.connect();
  const std::string told = "error " + GetParam().error;
  events.wait(told);
  events.wait(told);
  EXPECT_EQ(server.handshakes(), 0) << "a request was sent";
}

INSTANTIATE_TEST_SUITE_P(
    Certificates, ClientTlsRefusal,
    ::testing::Values(
        RefusalCase{"UnknownCa", "server", "other-ca",
                    "TLS: the certificate of 127.0.0.1 is not trusted"},
        RefusalCase{"OtherHost", "elsewhere", "ca", "TLS: the certificate is not for 127.0.0.1"},
        RefusalCase{
            "Expired", "expired", "ca",
            "TLS: the certificate of 127.0.0.1 is not valid now (certificate has expired)"}),
    [](const auto& test) { return std::string(test.param.what); });

TEST_F(ClientTlsTest, TakesAnyCertificateWhenItIsToldTo) {
  const ClientTestServer server(
      {.on_request = {}, .on_text = {}, .tls = TestCertificates::server("expired")});
  ClientOptions insecure = options(server);
  insecure.tls.insecure_no_verification = true;
  Client client(loop, insecure, handlers());
  client.connect();
  events.wait("connected");
}

TEST_F(ClientTlsTest, ShowsItsCertificate) {
  const ClientTestServer server(
      {.on_request = {}, .on_text = {}, .tls = TestCertificates::server("server", true)});
  ClientOptions known = trusting(server);
  known.tls.certificate_file = TestCertificates::shared().certificate_file("client");
  known.tls.key_file = TestCertificates::shared().key_file("client");
  Client client(loop, known, handlers());
  client.connect();
  events.wait("connected");
}

TEST_F(ClientTlsTest, SaysThatTheServerWantsACertificate) {
  const ClientTestServer server(
      {.on_request = {}, .on_text = {}, .tls = TestCertificates::server("server", true)});
  Client client(loop, trusting(server), handlers());
  client.connect();
  EXPECT_TRUE(events.wait("error").ends_with("a client certificate is needed"));
}

TEST_F(ClientTlsTest, GivesUpAServerThatNeverAnswersInTls) {
  const ClientTestServer plain;
  ClientOptions impatient = options(plain);
  impatient.url.replace(0, 2, "wss");
  impatient.connect_timeout = milliseconds(20);
  Client client(loop, impatient, handlers());
  client.connect();
  EXPECT_EQ(events.wait("error"), "error no connection in time");
  events.wait("error");
}

TEST_F(ClientTlsTest, SaysWhatIsWrongWithItsFilesBeforeItConnects) {
  const ClientTestServer server(
      {.on_request = {}, .on_text = {}, .tls = TestCertificates::server("server")});
  ClientOptions lost = options(server);
  lost.tls.ca_file = "/nowhere.pem";
  Client client(loop, lost, handlers());
  client.connect();
  EXPECT_EQ(events.wait("disconnected"),
            "disconnected 4 CA file: /nowhere.pem: No such file or directory");
  EXPECT_EQ(server.bytes_received(), 0U);
}

TEST_F(ClientTlsTest, RefusesTlsOptionsWhereNothingIsEncrypted) {
  Client client(loop, {.url = "ws://localhost/", .tls = {.insecure_no_verification = true}},
                handlers());
  client.connect();
  EXPECT_EQ(events.wait("disconnected"),
            "disconnected 4 ws://localhost/: TLS options are for wss://; ws:// is not encrypted");
}

TEST_F(ClientTlsTest, EndsInOrderWhenItDisconnects) {
  ClientTestServer server(
      {.on_request = {}, .on_text = {}, .tls = TestCertificates::server("server")});
  Client client(loop, trusting(server), handlers());
  client.connect();
  events.wait("connected");
  client.disconnect();
  EXPECT_EQ(server.wait_for_tls_end(), "");
  EXPECT_EQ(server.last_close_code(), 1000);
}

TEST_F(ClientTlsTest, EndsInOrderWhenTheServerCloses) {
  ClientTestServer server(
      {.on_request = {}, .on_text = {}, .tls = TestCertificates::server("server")});
  Client client(loop, trusting(server), handlers());
  client.connect();
  events.wait("connected");
  server.each_peer([](ServerPeer& peer) { peer.close_with(3503, "force disconnect"); });
  EXPECT_EQ(events.wait("disconnected"), "disconnected 3503 force disconnect");
  EXPECT_EQ(server.wait_for_tls_end(), "");
  EXPECT_EQ(server.last_close_code(), 3503);
}

TEST_F(ClientTlsTest, EndsInOrderWithItsLoop) {
  ClientTestServer server(
      {.on_request = {}, .on_text = {}, .tls = TestCertificates::server("server")});
  auto own = std::make_unique<ClientLoop>();
  ASSERT_TRUE(own->start().has_value());
  auto client = std::make_unique<Client>(*own, trusting(server), handlers());
  client->connect();
  events.wait("connected");
  client->disconnect();
  own->stop();
  client.reset();
  own.reset();
  EXPECT_EQ(server.wait_for_tls_end(), "");
}

}  // namespace
}  // namespace trunkline::net
