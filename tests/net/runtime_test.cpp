// SPDX-License-Identifier: Apache-2.0
#include "net/runtime.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include <future>
#include <thread>

namespace trunkline::net {
namespace {

namespace asio = boost::asio;

class NobodyIsKnown : public session::Authenticator {
 public:
  [[nodiscard]] Result<session::ConnectionClaims> verify_connection(
      std::string_view /*token*/, WallTime /*now*/) const override {
    return fail(ErrorCode::kTokenInvalid, "nobody is known");
  }

  [[nodiscard]] Result<session::SubscriptionClaims> verify_subscription(
      std::string_view /*token*/, WallTime /*now*/) const override {
    return fail(ErrorCode::kTokenInvalid, "nobody is known");
  }
};

struct HeldRequest {
  Shard* shard;
  HttpRespond respond;
};

// Two shards; every HTTP request is held until the test answers it.
class RuntimeTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kUnsentBytesMax = 64UL * 1024;

  void SetUp() override {
    RuntimeOptions options;
    options.limits.unsent_bytes_max = kUnsentBytesMax;
    options.port = 0;
    options.shards = 2;
    options.shard.http = [this](Shard& shard, const HttpRequest& /*request*/, HttpRespond respond) {
      held.set_value({&shard, std::move(respond)});
    };
    runtime = std::make_unique<Runtime>(std::move(options), authenticator);
    const Result<void> started = runtime->start();
    ASSERT_TRUE(started.has_value()) << to_string(started.error());
  }

  asio::ip::tcp::socket connect() {
    asio::ip::tcp::socket socket(io);
    socket.connect({asio::ip::make_address("127.0.0.1"), runtime->port()});
    return socket;
  }

  // What a connection still says until its end.
  static std::string rest(asio::ip::tcp::socket& socket) {
    std::string said;
    boost::system::error_code error;
    asio::read(socket, asio::dynamic_buffer(said), error);
    return said;
  }

  ShardStats stats(hub::ShardId shard) {
    std::promise<ShardStats> said;
    std::future<ShardStats> answer = said.get_future();
    runtime->post(shard, [&said](Shard& owner) { said.set_value(owner.stats()); });
    return answer.get();
  }

  // Whether a task posted to the shard runs.
  bool answers(hub::ShardId shard) {
    std::promise<void> ran;
    std::future<void> done = ran.get_future();
    return runtime->post(shard, [ran = std::move(ran)](Shard&) mutable { ran.set_value(); }) &&
           done.wait_for(std::chrono::seconds(60)) == std::future_status::ready;
  }

  NobodyIsKnown authenticator;
  asio::io_context io;
  std::promise<HeldRequest> held;
  std::unique_ptr<Runtime> runtime;
};

// An answer that one shard owes may need another one, also one that has no connection left.
TEST_F(RuntimeTest, NoShardEndsWhileAnotherStillAnswers) {
  asio::ip::tcp::socket idle = connect();
  asio::ip::tcp::socket asking = connect();
  asio::write(asking, asio::buffer(std::string_view("GET /held HTTP/1.1\r\nHost: h\r\n\r\n")));
  HeldRequest request = held.get_future().get();
  const hub::ShardId other = 1 - request.shard->self();

  std::thread stopping([this] { runtime->stop(std::chrono::minutes(1)); });
  EXPECT_EQ(rest(idle), "");  // the other shard has been told to drain, and has
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(answers(other));
  }
  runtime->post(request.shard->self(), [&request](Shard&) {
    request.respond({.status = 200, .content_type = "text/plain", .body = "late", .fields = {}});
  });
  EXPECT_TRUE(rest(asking).ends_with("late"));
  stopping.join();
  EXPECT_FALSE(runtime->post(other, [](Shard&) {}));
}

// Without the bound a socket on loopback takes 2.5 MiB that nobody reads.
TEST_F(RuntimeTest, TheKernelHoldsLittleForAConnectionThatIsNotRead) {
  asio::ip::tcp::socket asking = connect();
  asio::write(
      asking,
      asio::buffer(std::string_view("GET /held HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")));
  HeldRequest request = held.get_future().get();
  const hub::ShardId shard = request.shard->self();
  runtime->post(shard, [&request](Shard&) {
    request.respond({.status = 200,
                     .content_type = "text/plain",
                     .body = std::string(32UL * 1024 * 1024, 'x'),
                     .fields = {}});
  });
  ShardStats now = stats(shard);
  while (now.connection.blocked == 0) {
    now = stats(shard);
  }
  asio::socket_base::receive_buffer_size takes;
  asking.get_option(takes);
  EXPECT_LE(now.connection.sent_bytes,
            static_cast<std::size_t>(takes.value()) + 4 * kUnsentBytesMax);
  EXPECT_GT(now.connection.sent_bytes, 0U);
  EXPECT_TRUE(rest(asking).ends_with("xxx"));
}

// A request that is never answered is given up at the deadline.
TEST_F(RuntimeTest, TheDeadlineEndsWhatIsNeverAnswered) {
  asio::ip::tcp::socket asking = connect();
  asio::write(asking, asio::buffer(std::string_view("GET /held HTTP/1.1\r\nHost: h\r\n\r\n")));
  const HeldRequest request = held.get_future().get();
  runtime->stop(std::chrono::milliseconds(10));
  EXPECT_EQ(rest(asking), "");
}

}  // namespace
}  // namespace trunkline::net
