// SPDX-License-Identifier: Apache-2.0
#include "net/tls.h"

#include <trunkline/client.h>

#include "net/certificates.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

namespace trunkline::net {
namespace {

ClientTlsOptions trusting(const std::string& ca) {
  return {.ca_file = TestCertificates::shared().certificate_file(ca)};
}

ClientTlsOptions as_client(const std::string& name) {
  ClientTlsOptions options = trusting("ca");
  options.certificate_file = TestCertificates::shared().certificate_file(name);
  options.key_file = TestCertificates::shared().key_file(name);
  return options;
}

// One end, and what it has been told.
struct End {
  TlsStream& stream;
  std::string received{};
  bool goes_on = true;

  // Whether there was anything to take.
  bool take_from(TlsStream& other) {
    const std::string bytes(other.pending());
    other.sent(bytes.size());
    if (bytes.empty() || !goes_on) {
      return false;
    }
    std::array<char, 4096> buffer{};
    goes_on = stream.receive(bytes, buffer, [this](std::span<char> said) {
      received.append(said.data(), said.size());
      return true;
    });
    return true;
  }
};

std::unique_ptr<TlsStream> dial(const ClientTlsOptions& options, std::string_view host) {
  auto context = TlsContext::load_client(options);
  EXPECT_TRUE(context.has_value()) << context.error().context;
  auto dialled = TlsStream::dial(*context, host);
  EXPECT_TRUE(dialled.has_value()) << dialled.error().context;
  return std::move(*dialled);
}

// Two ends with a wire between them, after their handshake.
struct TlsPair {
  TlsPair(std::shared_ptr<const TlsContext> context, const ClientTlsOptions& options,
          std::string_view host = "localhost")
      : server_stream(std::move(context)), client_stream(dial(options, host)) {
    run();
  }

  // Carries bytes until nobody has any.
  void run() {
    bool any = true;
    while (any) {
      any = server.take_from(client.stream);
      any = client.take_from(server.stream) || any;
    }
  }

  [[nodiscard]] bool is_open() const { return client.stream.is_open() && server.stream.is_open(); }

  static void say(const End& from, std::string_view text) {
    EXPECT_TRUE(from.stream.encrypt({&text, 1}));
  }

  TlsStream server_stream;
  std::unique_ptr<TlsStream> client_stream;
  End server{server_stream};
  End client{*client_stream};
};

TEST(Tls, CarriesBothWays) {
  TlsPair pair(TestCertificates::server("server"), trusting("ca"));
  ASSERT_TRUE(pair.is_open()) << pair.client.stream.failure();
  const std::string large(1'000'000, 'x');
  TlsPair::say(pair.client, large);
  TlsPair::say(pair.server, "hello");
  TlsPair::say(pair.server, large);
  pair.run();
  EXPECT_EQ(pair.server.received, large);
  EXPECT_EQ(pair.client.received, "hello" + large);
}

TEST(Tls, EndsInOrderFromEitherSide) {
  for (const bool client_first : {true, false}) {
    TlsPair pair(TestCertificates::server("server"), trusting("ca"));
    End& first = client_first ? pair.client : pair.server;
    End& second = client_first ? pair.server : pair.client;
    TlsPair::say(first, "last words");
    first.stream.close();
    pair.run();
    EXPECT_EQ(second.received, "last words");
    EXPECT_FALSE(second.goes_on);
    EXPECT_EQ(second.stream.failure(), "");
    second.stream.close();
    pair.run();
    EXPECT_FALSE(first.goes_on);
    EXPECT_EQ(first.stream.failure(), "");
  }
}

struct HostCase {
  std::string_view what;
  std::string_view certificate;
  std::string_view host;
  std::string_view failure;  // a part of it; empty: trusted
};

class TlsHost : public ::testing::TestWithParam<HostCase> {};

TEST_P(TlsHost, IsHeldAgainstTheCertificate) {
  const HostCase& test = GetParam();
  TlsPair pair(TestCertificates::server(test.certificate), trusting("ca"), test.host);
  EXPECT_EQ(pair.is_open(), test.failure.empty()) << pair.client.stream.failure();
  EXPECT_EQ(pair.client.goes_on, test.failure.empty());
  EXPECT_TRUE(pair.client.stream.failure().contains(test.failure)) << pair.client.stream.failure();
  if (!test.failure.empty()) {
    EXPECT_TRUE(pair.client.stream.failure().contains(test.host)) << pair.client.stream.failure();
    EXPECT_FALSE(pair.server.goes_on) << "the server is not told";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Hosts, TlsHost,
    ::testing::Values(
        HostCase{"Name", "server", "localhost", ""},
        HostCase{"NameInOtherCase", "server", "LocalHost", ""},
        HostCase{"NameWithItsDot", "server", "localhost.", ""},
        HostCase{"Address4", "server", "127.0.0.1", ""}, HostCase{"Address6", "server", "::1", ""},
        HostCase{"Address6Written", "server", "0:0:0:0:0:0:0:1", ""},
        HostCase{"Address6WithZone", "server", "::1%lo", ""},
        HostCase{"Wildcard", "server", "a.example.com", ""},
        HostCase{"WildcardIsOneLabel", "server", "a.b.example.com", "is not for a.b.example.com"},
        HostCase{"WildcardIsALabel", "server", "example.com", "is not for example.com"},
        HostCase{"OtherName", "server", "localhost2", "is not for localhost2"},
        HostCase{"OtherAddress", "server", "127.0.0.2", "is not for 127.0.0.2"},
        HostCase{"OtherAddress6", "server", "::2", "is not for ::2"},
        HostCase{"Elsewhere", "elsewhere", "localhost", "connect by a name or address"},
        HostCase{"CommonName", "nameless", "localhost", "subjectAltName"},
        HostCase{"Expired", "expired", "localhost", "certificate has expired"},
        HostCase{"Future", "future", "localhost", "not yet valid"}),
    [](const auto& test) { return std::string(test.param.what); });

TEST(TlsTrust, RefusesACaThatIsNotKnown) {
  TlsPair pair(TestCertificates::server("server"), trusting("other-ca"));
  EXPECT_FALSE(pair.client.goes_on);
  EXPECT_TRUE(pair.client.stream.failure().starts_with(
      "TLS: the certificate of localhost is not trusted (unable to get local issuer certificate)"))
      << pair.client.stream.failure();
  EXPECT_TRUE(pair.server.stream.failure().contains("alert unknown ca"))
      << pair.server.stream.failure();
}

TEST(TlsTrust, RefusesBySystemStoreWhatOnlyATestHasSigned) {
  TlsPair pair(TestCertificates::server("server"), {});
  EXPECT_TRUE(pair.client.stream.failure().contains("system's store"))
      << pair.client.stream.failure();
}

TEST(TlsTrust, TakesAnythingWithoutVerification) {
  for (const std::string name : {"server", "expired", "elsewhere", "stranger"}) {
    const TlsPair pair(TestCertificates::server(name), {.insecure_no_verification = true});
    EXPECT_TRUE(pair.is_open()) << name;
  }
}

TEST(TlsClientCertificate, IsShownToAServerThatAsks) {
  const TlsPair pair(TestCertificates::server("server", true), as_client("client"));
  EXPECT_TRUE(pair.is_open());
}

// In TLS 1.3 the client's side of the handshake is over before the server looks at its certificate.
TEST(TlsClientCertificate, IsSaidToBeMissing) {
  TlsPair pair(TestCertificates::server("server", true), trusting("ca"));
  EXPECT_FALSE(pair.client.goes_on);
  EXPECT_EQ(
      pair.client.stream.failure(),
      "TLS with localhost: tlsv13 alert certificate required: a client certificate is needed");
}

TEST(TlsClientCertificate, IsSaidToBeOfAStranger) {
  TlsPair pair(TestCertificates::server("server", true), as_client("stranger"));
  EXPECT_FALSE(pair.client.goes_on);
  EXPECT_TRUE(pair.client.stream.failure().ends_with("does not accept the certificate"))
      << pair.client.stream.failure();
}

TEST(TlsClient, TellsTheServerANameButNoAddress) {
  EXPECT_TRUE(dial(trusting("ca"), "host.example.com")->pending().contains("host.example.com"));
  EXPECT_FALSE(dial(trusting("ca"), "192.0.2.77")->pending().contains("192.0.2.77"));
}

TEST(TlsClient, RefusesAHostThatCannotBeVerified) {
  const auto context = TlsContext::load_client(trusting("ca"));
  for (const std::string_view host :
       {std::string_view(""), std::string_view("."), std::string_view("a:b"),
        std::string_view(".localhost"), std::string_view("127.0.0.1\0x", 11),
        std::string_view("a\0b", 3)}) {
    const auto dialled = TlsStream::dial(*context, host);
    ASSERT_FALSE(dialled.has_value()) << host;
    EXPECT_EQ(dialled.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(TlsClient, SaysThatTheOtherSideIsNotTls) {
  const std::unique_ptr<TlsStream> stream = dial(trusting("ca"), "localhost");
  std::array<char, 4096> buffer{};
  const std::string_view answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
  EXPECT_FALSE(stream->receive(answer, buffer, [](std::span<char>) { return true; }));
  EXPECT_EQ(stream->failure(),
            "TLS with localhost: wrong version number: the other side does not speak TLS there");
}

// A server that can only do less, made without TlsContext, which would not.
TEST(TlsClient, SpeaksNoVersionBefore12) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> old(SSL_CTX_new(TLS_server_method()),
                                                              SSL_CTX_free);
  const TestCertificates& files = TestCertificates::shared();
  SSL_CTX_set_security_level(old.get(), 0);
  SSL_CTX_set_max_proto_version(old.get(), TLS1_1_VERSION);
  SSL_CTX_use_certificate_chain_file(old.get(), files.certificate_file("server").c_str());
  SSL_CTX_use_PrivateKey_file(old.get(), files.key_file("server").c_str(), SSL_FILETYPE_PEM);
  const std::unique_ptr<SSL, decltype(&SSL_free)> server(SSL_new(old.get()), SSL_free);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(server.get(), in, out);

  const std::unique_ptr<TlsStream> client = dial(trusting("ca"), "localhost");
  BIO_write(in, client->pending().data(), static_cast<int>(client->pending().size()));
  EXPECT_LE(SSL_accept(server.get()), 0);
  std::array<char, 4096> answer{};
  const int size = BIO_read(out, answer.data(), answer.size());
  ASSERT_GT(size, 0);
  std::array<char, 4096> buffer{};
  EXPECT_FALSE(client->receive({answer.data(), static_cast<std::size_t>(size)}, buffer,
                               [](std::span<char>) { return true; }));
  EXPECT_TRUE(client->failure().ends_with("the two sides have no version in common"))
      << client->failure();
}

struct OptionsCase {
  std::string_view what;
  ClientTlsOptions options;
  std::string_view error;  // a part of it
};

class TlsClientOptions : public ::testing::TestWithParam<OptionsCase> {};

TEST_P(TlsClientOptions, AreRefusedWithTheReason) {
  const auto loaded = TlsContext::load_client(GetParam().options);
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ErrorCode::kConfig);
  EXPECT_TRUE(loaded.error().context.contains(GetParam().error)) << loaded.error().context;
}

std::vector<OptionsCase> bad_options() {
  const TestCertificates& files = TestCertificates::shared();
  const std::string client = files.certificate_file("client");
  const std::string key = files.key_file("client");
  return {
      {"NoCaFile", {.ca_file = "/nowhere.pem"}, "CA file: /nowhere.pem: No such file"},
      {"CaFileWithoutCertificate", {.ca_file = key}, "no certificate or crl found"},
      {"NoCertificateFile",
       {.certificate_file = "/nowhere.pem", .key_file = key},
       "client certificate: /nowhere.pem: No such file"},
      {"NoKeyFile",
       {.certificate_file = client, .key_file = "/nowhere.key"},
       "client key: /nowhere.key: No such file"},
      {"KeyOfAnother",
       {.certificate_file = client, .key_file = files.key_file("server")},
       "key values mismatch"},
      {"KeyAlone", {.key_file = key}, "given together"},
      {"CertificateAlone", {.certificate_file = client}, "given together"},
      {"CaFileForNothing",
       {.ca_file = files.certificate_file("ca"), .insecure_no_verification = true},
       "contradict"},
  };
}

INSTANTIATE_TEST_SUITE_P(Bad, TlsClientOptions, ::testing::ValuesIn(bad_options()),
                         [](const auto& test) { return std::string(test.param.what); });

}  // namespace
}  // namespace trunkline::net
