// SPDX-License-Identifier: Apache-2.0
//
// `trunkline call` and `trunkline top` as processes, against nodes in the test.
#include "apps/child.h"
#include "net/certificates.h"

#include <fstream>
#include <optional>

namespace trunkline::app {
namespace {

class GridCommand : public net::TwoNodes {
 protected:
  static constexpr const char* kSecret = "TRUNKLINE_GRID_SECRET=a secret for the tests";

  Child& call(std::vector<std::string> arguments, const std::string& secret = kSecret) {
    arguments.insert(arguments.begin(), "call");
    return child.emplace(std::move(arguments), std::vector<std::string>{secret});
  }

  Child& top(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "top");
    return child.emplace(std::move(arguments), std::vector<std::string>{kSecret});
  }

  std::vector<GridReply> kept;
  std::optional<Child> child;
};

TEST_F(GridCommand, ACallPrintsTheAnswer) {
  EXPECT_EQ(call({port_one.address(), "echo", "hello"}).ends(), 0);
  EXPECT_EQ(child->out(), "hello");
  EXPECT_EQ(child->err(), "");
}

TEST_F(GridCommand, TheRequestMayComeFromStandardInputOrAFile) {
  Child& piped = call({port_one.address(), "echo", "-"});
  piped.write("one\ntwo");
  piped.end_input();
  EXPECT_EQ(piped.ends(), 0);
  EXPECT_EQ(piped.out(), "one\ntwo");
  const std::string file = ::testing::TempDir() + "grid_command_request";
  std::ofstream(file, std::ios::binary) << std::string("bytes\0of a file", 15);
  EXPECT_EQ(call({port_one.address(), "echo", "@" + file}).ends(), 0);
  EXPECT_EQ(child->out(), std::string("bytes\0of a file", 15));
  EXPECT_EQ(call({port_one.address(), "echo", "@/nowhere/at/all"}).ends(), 2);
  EXPECT_TRUE(child->tells("No such file"));
}

TEST_F(GridCommand, TheSecretMayBeInAFile) {
  const std::string file = ::testing::TempDir() + "grid_command_secret";
  std::ofstream(file) << "a secret for the tests\n";
  EXPECT_EQ(call({port_one.address(), "echo", "x", "--secret-file", file}, "X=").ends(), 0);
  EXPECT_EQ(call({port_one.address(), "echo", "x"}, "X=").ends(), 2);
  EXPECT_TRUE(child->tells("--secret-file"));
}

TEST_F(GridCommand, AFailureSaysWhoseItIs) {
  one->handle("fails", [](GridRequest) -> Task<GridResult<Bytes>> {
    co_return grid_error(1234, "no such lock");
  });
  one->handle_inline(
      "never", [this](std::string_view, GridReply reply) { kept.push_back(std::move(reply)); });
  EXPECT_EQ(call({port_one.address(), "fails"}).ends(), 1);
  EXPECT_TRUE(child->tells("fails: handler (handler 1234): no such lock"));
  EXPECT_EQ(call({port_one.address(), "nothing"}).ends(), 1);
  EXPECT_TRUE(child->tells("unknown_handler (remote)"));
  EXPECT_EQ(call({port_one.address(), "never", "--timeout", "50ms"}).ends(), 1);
  EXPECT_TRUE(child->tells("deadline (caller)"));
  EXPECT_EQ(call({net::ReservedPort().address(), "echo"}).ends(), 1);
  EXPECT_TRUE(child->tells("not_connected (transport)"));
  EXPECT_TRUE(child->tells("refused"));
  EXPECT_EQ(call({port_one.address(), "echo"}, "TRUNKLINE_GRID_SECRET=some other secret").ends(),
            1);
  EXPECT_TRUE(child->tells("secret"));
}

TEST_F(GridCommand, AStreamsMessagesAreLines) {
  Child& stream = call({"--stream", port_one.address(), "echo-stream"});
  stream.write("one\n");
  EXPECT_TRUE(stream.says("one\n"));  // while the input goes on
  stream.write("two\n\nlast without newline");
  stream.end_input();
  EXPECT_EQ(stream.ends(), 0);
  EXPECT_EQ(stream.out(), "one\ntwo\n\nlast without newline\n");
}

TEST_F(GridCommand, AStreamThatTheHandlerEndsNeedsNoMoreInput) {
  one->handle_stream("greets",
                     [](GridRequest request, GridStream stream) -> Task<GridResult<void>> {
                       static_cast<void>(co_await stream.send("hello " + request.payload));
                       co_return GridResult<void>{};
                     });
  EXPECT_EQ(call({"--stream", port_one.address(), "greets", "you"}).ends(), 0);
  EXPECT_EQ(child->out(), "hello you\n");
  one->handle_stream("breaks", [](GridRequest, GridStream) -> Task<GridResult<void>> {
    co_return grid_error(7, "out of luck");
  });
  EXPECT_EQ(call({"--stream", port_one.address(), "breaks"}).ends(), 1);
  EXPECT_TRUE(child->tells("breaks: handler (handler 7): out of luck"));
}

TEST_F(GridCommand, ACallThatIsEndedStopsItsHandler) {
  net::Signal signal;
  int begun = 0;
  int stopped = 0;
  one->handle_stream(
      "waits", [&](GridRequest request, GridStream stream) -> Task<GridResult<void>> {
        signal.change([&] { ++begun; });
        const GridResult<std::optional<Bytes>> message = co_await stream.receive();
        signal.change([&] { stopped += request.stop.stop_requested() ? 1 : 0; });
        co_return message.has_value() ? GridResult<void>{} : std::unexpected(message.error());
      });
  Child& stream = call({"--stream", port_one.address(), "waits"});
  ASSERT_TRUE(signal.wait([&] { return begun == 1; }));
  stream.signal(SIGKILL);
  EXPECT_TRUE(signal.wait([&] { return stopped == 1; }));
}

TEST_F(GridCommand, TlsNeedsTheCaAndACertificateWhereOneIsAskedFor) {
  const net::TestCertificates& files = net::TestCertificates::shared();
  one->stop();
  GridOptions encrypted = options(port_one.address(), port_one.port());
  encrypted.tls = {.certificate_file = files.certificate_file("server"),
                   .key_file = files.key_file("server"),
                   .ca_file = files.certificate_file("ca")};
  one = make(encrypted);
  serve(*one);
  start(*one);
  const std::vector<std::string> plain = {port_one.address(), "echo", "hello"};
  std::vector<std::string> trusting = plain;
  trusting.insert(trusting.end(), {"--ca", files.certificate_file("ca")});
  std::vector<std::string> certified = trusting;
  certified.insert(certified.end(),
                   {"--cert", files.certificate_file("client"), "--key", files.key_file("client")});
  EXPECT_EQ(call(certified).ends(), 0);
  EXPECT_EQ(child->out(), "hello");
  EXPECT_EQ(call(trusting).ends(), 1);
  EXPECT_TRUE(child->tells("a client certificate is needed"));
  EXPECT_EQ(call(plain).ends(), 1);
  EXPECT_TRUE(child->tells("not_connected (transport)"));
}

TEST_F(GridCommand, TopShowsConnections) {
  EXPECT_EQ(net::run(to_two->call("echo", "x", patient())).value(), "x");
  EXPECT_EQ(top({port_one.address() + "," + port_two.address(), "-n", "2", "-i", "20ms"}).ends(),
            0);
  const std::string out = child->out();
  EXPECT_NE(out.find(port_one.address() + ": 1 of 1 peers connected"), std::string::npos) << out;
  EXPECT_NE(out.find(port_two.address() + ": 1 of 1 peers connected"), std::string::npos) << out;
  EXPECT_NE(out.find("guest/"), std::string::npos) << out;
}

TEST_F(GridCommand, TopGoesOnOverANodesRestartUntilItIsInterrupted) {
  Child& running = top({port_two.address(), "--interval", "10ms", "--json"});
  EXPECT_TRUE(running.says(R"("name":")" + port_two.address()));
  two->stop();
  EXPECT_TRUE(running.tells("not_connected (transport)"));
  two = make(options(port_two.address(), port_two.port()));
  two->handle_inline("after the restart", [](std::string_view, GridReply) {});
  ASSERT_TRUE(two->peer("127.0.0.1:2").has_value());
  start(*two);
  EXPECT_TRUE(running.says(R"("name":"127.0.0.1:2")"));
  running.signal(SIGINT);
  EXPECT_EQ(running.ends(), 0);
}

TEST_F(GridCommand, TopSaysThatANodeDoesNotAnswer) {
  EXPECT_EQ(top({net::ReservedPort().address(), "-n", "1"}).ends(), 1);
  EXPECT_NE(child->out().find("not_connected (transport)"), std::string::npos);
}

}  // namespace
}  // namespace trunkline::app
