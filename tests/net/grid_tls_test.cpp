// SPDX-License-Identifier: Apache-2.0
//
// Nodes under TLS: who is believed to be whom, and what both sides say when one is not.
#include "net/certificates.h"
#include "net/grid_fixture.h"
#include "net/grid_wire.h"

#include <algorithm>

namespace trunkline::net {
namespace {

// What a node has logged.
class Log {
 public:
  std::function<void(std::string_view)> writer() {
    return [this](std::string_view line) { signal_.change([&] { lines_.emplace_back(line); }); };
  }

  bool has(std::string_view text) {
    return signal_.wait([&] {
      return std::ranges::any_of(
          lines_, [&](const std::string& line) { return line.find(text) != std::string::npos; });
    });
  }

 private:
  Signal signal_;
  std::vector<std::string> lines_;
};

// `one` dials `two`, and nobody the other way.
class GridTls : public GridTest {
 protected:
  static GridTlsOptions tls(std::string_view certificate, std::string_view ca = "ca") {
    const TestCertificates& files = TestCertificates::shared();
    return {.certificate_file = files.certificate_file(certificate),
            .key_file = files.key_file(certificate),
            .ca_file = files.certificate_file(ca)};
  }

  void begin(const GridTlsOptions& of_one, const GridTlsOptions& of_two) {
    while (port_one == nullptr || !grid::is_designated(port_one->address(), port_two.address())) {
      port_one = std::make_unique<ReservedPort>();
    }
    GridOptions first = options(port_one->address(), port_one->port());
    GridOptions second = options(port_two.address(), port_two.port());
    for (GridOptions* each : {&first, &second}) {
      each->reverse_dial_after = kPatience;
    }
    first.tls = of_one;
    first.log = log_one.writer();
    second.tls = of_two;
    second.log = log_two.writer();
    one = make(first);
    two = make(second);
    serve(*one);
    serve(*two);
    to_two.emplace(peer(*one, port_two.address()));
    to_one.emplace(peer(*two, port_one->address()));
    start(*one);
    start(*two);
  }

  GridOptions guest_options() const {
    GridOptions of_guest = options("a tool", 0);
    of_guest.listen.clear();
    of_guest.is_guest = true;
    return of_guest;
  }

  // A guest's call of `two`.
  GridResult<Bytes> call_as(const GridOptions& of_guest) {
    const std::unique_ptr<GridNode> guest = make(of_guest);
    const GridPeer there = peer(*guest, port_two.address());
    start(*guest);
    return run(there.call("echo", "hello", patient()));
  }

  Log log_one;
  Log log_two;
  std::unique_ptr<ReservedPort> port_one;
  ReservedPort port_two;
  std::unique_ptr<GridNode> one;
  std::unique_ptr<GridNode> two;
  std::optional<GridPeer> to_two;
  std::optional<GridPeer> to_one;
};

TEST_F(GridTls, CallsGoBothWays) {
  begin(tls("server"), tls("server"));
  EXPECT_EQ(run(to_two->call("echo", "1", patient())).value(), "1");
  EXPECT_EQ(run(to_one->call("quick", "2", patient())).value(), "2");
  const Bytes large(9'000'001, 'x');
  auto promise = std::make_shared<std::promise<bool>>();
  to_one->call("echo", large, patient(), [promise, &large](GridResult<std::string_view> result) {
    promise->set_value(result.has_value() && *result == large);
  });
  EXPECT_EQ(run(to_two->call("echo", large, patient())).value(), large);
  EXPECT_TRUE(promise->get_future().get());
}

TEST_F(GridTls, StreamsComeToTheirEnd) {
  begin(tls("server"), tls("server"));
  GridResult<GridStream> stream = run(to_two->open("echo-stream", "", patient()));
  ASSERT_TRUE(stream.has_value());
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(run(stream->send(Bytes(1000, 'a'))).has_value());
    EXPECT_EQ(run(stream->receive()).value().value(), Bytes(1000, 'a'));
  }
  stream->finish();
  EXPECT_EQ(run(stream->receive()).value(), std::nullopt);
}

TEST_F(GridTls, WhoDialsRefusesAnUntrustedCertificate) {
  begin(tls("server"), tls("stranger"));
  EXPECT_TRUE(log_one.has("no TLS with " + port_two.address()));
  EXPECT_TRUE(log_one.has("is not trusted"));
  EXPECT_TRUE(log_two.has("no TLS with a caller"));
  EXPECT_EQ(run(to_two->call("echo", "")).error().code, GridCode::kNotConnected);
}

TEST_F(GridTls, WhoDialsRefusesACertificateOfAnotherHost) {
  begin(tls("server"), tls("elsewhere"));
  EXPECT_TRUE(log_one.has("the certificate is not for 127.0.0.1"));
  EXPECT_TRUE(log_two.has("no TLS with a caller"));
}

TEST_F(GridTls, WhoIsDialledRefusesAnUntrustedCertificate) {
  begin(tls("stranger"), tls("server"));
  EXPECT_TRUE(log_two.has("no TLS with a caller"));
  EXPECT_TRUE(log_one.has("the other side does not accept the certificate"));
}

TEST_F(GridTls, WhoIsDialledRefusesACertificateOfAnotherHost) {
  begin(tls("elsewhere"), tls("server"));
  EXPECT_TRUE(log_two.has("(name): its certificate is not for '127.0.0.1'"));
  EXPECT_TRUE(log_one.has("refused by " + port_two.address() + " (name)"));
}

TEST_F(GridTls, APlainNodeAndAnEncryptedOneDoNotMeet) {
  begin(GridTlsOptions{}, tls("server"));
  EXPECT_TRUE(log_two.has("no TLS with a caller"));
  EXPECT_EQ(run(to_two->call("echo", "")).error().code, GridCode::kNotConnected);
}

TEST_F(GridTls, TheSecretStillHasToBeRight) {
  begin(tls("server"), tls("server"));
  EXPECT_EQ(run(to_two->call("echo", "1", patient())).value(), "1");
  GridOptions guest = guest_options();
  guest.tls = tls("client");
  guest.secret = "another secret entirely";
  EXPECT_NE(call_as(guest).error().text.find("secret"), std::string::npos);
}

TEST_F(GridTls, AGuestShowsACertificateWhereOneIsAskedFor) {
  begin(tls("server"), tls("server"));
  GridOptions guest = guest_options();
  guest.tls = tls("client");
  EXPECT_EQ(call_as(guest).value(), "hello");
  guest.tls = {.ca_file = TestCertificates::shared().certificate_file("ca")};
  EXPECT_NE(call_as(guest).error().text.find("certificate is needed"), std::string::npos);
  GridTlsOptions lenient = tls("server");
  lenient.asks_for_certificates = false;
  begin(lenient, lenient);
  EXPECT_EQ(call_as(guest).value(), "hello");
}

TEST_F(GridTls, ACertificateDoesWithoutASecret) {
  begin(tls("server"), tls("server"));
  two->stop();
  GridOptions second = options(port_two.address(), port_two.port());
  second.secret.clear();
  second.tls = tls("server");
  two = make(second);
  serve(*two);
  start(*two);
  GridOptions guest = guest_options();
  guest.secret.clear();
  guest.tls = tls("client");
  EXPECT_EQ(call_as(guest).value(), "hello");
}

TEST_F(GridTls, FilesThatCannotBeUsedAreNamed) {
  const auto error_of = [](const GridTlsOptions& with) {
    GridOptions wrong = options("127.0.0.1:1", 1);
    wrong.tls = with;
    const auto node = GridNode::create(wrong);
    return node.has_value() ? std::string() : node.error().context;
  };
  GridTlsOptions with = tls("server");
  with.ca_file.clear();
  EXPECT_NE(error_of(with).find("tls.ca_file"), std::string::npos);
  with = tls("server");
  with.key_file.clear();
  EXPECT_NE(error_of(with).find("tls.key_file"), std::string::npos);
  with = tls("server");
  with.certificate_file = "/nowhere.pem";
  EXPECT_NE(error_of(with).find("tls.certificate_file: /nowhere.pem: No such file"),
            std::string::npos);
  EXPECT_NE(error_of({.ca_file = tls("server").ca_file}).find("all but guests"), std::string::npos);
}

TEST(HostOfAName, IsWhatTheCertificateHas) {
  EXPECT_EQ(host_of("10.0.0.1:7000"), "10.0.0.1");
  EXPECT_EQ(host_of("node.example:7000"), "node.example");
  EXPECT_EQ(host_of("[2001:db8::1]:7000"), "2001:db8::1");
  EXPECT_EQ(host_of("2001:db8::1"), "2001:db8::1");
  EXPECT_EQ(host_of("node"), "node");
  EXPECT_EQ(host_of(""), "");
}

}  // namespace
}  // namespace trunkline::net
