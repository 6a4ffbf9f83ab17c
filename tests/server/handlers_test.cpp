// SPDX-License-Identifier: Apache-2.0
//
// A program's handlers in a running server: on any shard, answered at once, from a worker thread,
// or never.
#include <trunkline/client.h>
#include <trunkline/server.h>

#include "server/client_call.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

namespace trunkline {
namespace {

using namespace std::chrono_literals;

constexpr const char* kConfig = R"({
  "channel": {"without_namespace": {"history_size": 10, "history_ttl": "60s"}}
})";

class HandlersTest : public ::testing::Test {
 protected:
  HandlersTest() {
    ServerOptions options;
    options.config_json = kConfig;
    options.port = 0;
    options.shards = 2;
    options.log = [this](std::string_view line) {
      const std::lock_guard lock(mutex_);
      log_ += line;
      log_ += '\n';
    };
    auto made = Server::create(std::move(options));
    EXPECT_TRUE(made.has_value()) << to_string(made.error());
    server = std::move(*made);
    server->on_connect([](ConnectRequest request) -> Task<Answer<ConnectReply>> {
      if (request.data == R"("stranger")") {
        co_return end_connection(4500, "not you");
      }
      co_return ConnectReply{.user = "u", .info = "", .data = R"({"hello":1})", .expire_at = {}};
    });
  }

  void TearDown() override { loop.stop(); }

  void start() {
    const auto started = server->start();
    ASSERT_TRUE(started.has_value()) << to_string(started.error());
    ASSERT_TRUE(loop.start().has_value());
  }

  std::unique_ptr<Client> client(ClientHandlers handlers = {}, std::string data = {}) {
    ClientOptions options;
    options.url = "ws://127.0.0.1:" + std::to_string(server->port()) + "/connection/websocket";
    options.data = std::move(data);
    auto made = std::make_unique<Client>(loop, options, std::move(handlers));
    made->connect();
    return made;
  }

  [[nodiscard]] std::string log() {
    const std::lock_guard lock(mutex_);
    return log_;
  }

  ClientLoop loop;
  std::unique_ptr<Server> server;

 private:
  std::mutex mutex_;
  std::string log_;
};

TEST_F(HandlersTest, AnswerAtOnceAndFromWorkerThreads) {
  server->on_rpc("echo", [](RpcRequest request) -> Task<Answer<std::string>> {
    co_return request.caller.user + "" == "u" ? request.data : "0";
  });
  std::mutex mutex;
  std::set<std::thread::id> threads;
  server->on_rpc("work", [&](RpcRequest request) -> Task<Answer<std::string>> {
    const auto began_on = std::this_thread::get_id();
    const auto work = [&] {
      const std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
      return std::this_thread::get_id() == began_on ? std::string("1") : request.data;
    };
    const auto done = co_await server->offload(work);
    co_return *done;
  });
  start();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(client());
  }
  for (int i = 0; i < 50; ++i) {
    const std::string data = "[" + std::to_string(i) + "]";
    EXPECT_EQ(call(*clients[static_cast<std::size_t>(i % 4)], "echo", data), data);
    EXPECT_EQ(call(*clients[static_cast<std::size_t>(i % 4)], "work", data), data);
  }
  EXPECT_GE(threads.size(), 1U);
  loop.stop();
  server->stop();
}

TEST_F(HandlersTest, ASlowCallDelaysNoOther) {
  std::promise<void> go;
  server->on_rpc("slow",
                 [&, wait = go.get_future().share()](RpcRequest) -> Task<Answer<std::string>> {
                   (void)co_await server->offload([&wait] { wait.wait(); });
                   co_return "1";
                 });
  server->on_rpc("fast", [](RpcRequest) -> Task<Answer<std::string>> { co_return "2"; });
  start();
  const auto caller = client();
  std::promise<std::string> slow;
  caller->rpc("slow", "null", [&slow](const ClientResult<RpcResult>& result) {
    slow.set_value(result.has_value() ? std::string(result->data) : result.error().context);
  });
  EXPECT_EQ(call(*caller, "fast"), "2");
  go.set_value();
  EXPECT_EQ(slow.get_future().get(), "1");
  loop.stop();
  server->stop();
}

Task<Answer<std::string>> answer_of(std::string data) {
  co_return data;
}

TEST_F(HandlersTest, WhatGoesWrongHarmsItsOwnCallOnly) {
  server->on_rpc("throws", [](RpcRequest) -> Task<Answer<std::string>> {
    throw std::runtime_error("on purpose");
    co_return "";
  });
  server->on_rpc("throws later", [&](RpcRequest) -> Task<Answer<std::string>> {
    (void)co_await server->offload([] { throw std::runtime_error("at work"); });
    co_return "";
  });
  server->on_rpc("throws early", [](const RpcRequest& request) -> Task<Answer<std::string>> {
    if (request.data == "null") {
      throw std::runtime_error("before the task");
    }
    return answer_of(request.data);
  });
  server->on_message([](const Caller&, std::string_view) { throw std::runtime_error("unheard"); });
  server->on_rpc("not json", [](RpcRequest) -> Task<Answer<std::string>> { co_return "{\"a\":"; });
  server->on_rpc("refuses", [](RpcRequest) -> Task<Answer<std::string>> {
    co_return refuse(1234, "not now");
  });
  start();
  const auto caller = client();
  EXPECT_EQ(call(*caller, "throws").substr(0, 4), "100 ");
  EXPECT_EQ(call(*caller, "throws later").substr(0, 4), "100 ");
  EXPECT_EQ(call(*caller, "throws early").substr(0, 4), "100 ");
  EXPECT_EQ(call(*caller, "throws early", "7"), "7");
  caller->send("1", [](const ClientResult<void>&) {});
  EXPECT_EQ(call(*caller, "not json").substr(0, 4), "100 ");
  const std::string refused = call(*caller, "refuses");
  EXPECT_TRUE(refused.starts_with("1234 ") && refused.contains("not now")) << refused;
  EXPECT_EQ(call(*caller, "nobody").substr(0, 4), "104 ");
  const std::string lines = log();
  EXPECT_TRUE(lines.contains("rpc 'throws' threw: on purpose")) << lines;
  EXPECT_TRUE(lines.contains("rpc 'throws later' threw: at work")) << lines;
  EXPECT_TRUE(lines.contains("rpc 'throws early' threw: before the task")) << lines;
  EXPECT_TRUE(lines.contains("message threw: unheard")) << lines;
  EXPECT_TRUE(lines.contains("rpc 'not json' gave something that is not JSON")) << lines;
  loop.stop();
  server->stop();
}

TEST_F(HandlersTest, DecideWhoComesAndWhatIsPublished) {
  server->on_subscribe("room", [](SubscribeRequest request) -> Task<Answer<SubscribeReply>> {
    if (request.channel == "room-closed") {
      co_return refuse(1001, "closed");
    }
    co_return SubscribeReply{};
  });
  server->on_publish("room", [&](PublishRequest request) -> Task<Answer<PublishReply>> {
    const auto made = co_await server->offload([&] { return "[" + request.data + "]"; });
    co_return PublishReply{*made};
  });
  std::promise<std::string> gone;
  server->on_disconnect([&](const Caller& caller) { gone.set_value(caller.user); });
  std::promise<std::string> message;
  server->on_message([&](const Caller& caller, const std::string& data) {
    message.set_value(caller.user + data);
  });
  start();
  {
    std::promise<std::uint32_t> refused;
    const auto stranger = client(
        {.on_disconnected = [&](std::uint32_t code, std::string_view) { refused.set_value(code); }},
        R"("stranger")");
    EXPECT_EQ(refused.get_future().get(), 4500U);
  }
  auto member = client();
  std::promise<void> subscribed;
  std::promise<std::string> received;
  member->subscribe("room-1", {},
                    {.on_subscribed = [&](const SubscribedContext&) { subscribed.set_value(); },
                     .on_publication =
                         [&](const Publication& publication) {
                           received.set_value(std::string(publication.data));
                         }});
  subscribed.get_future().get();
  member->publish("room-1", "7", [](const ClientResult<void>&) {});
  EXPECT_EQ(received.get_future().get(), "[7]");
  std::promise<std::uint32_t> closed;
  member->subscribe(
      "room-closed", {},
      {.on_unsubscribed = [&](std::uint32_t code, std::string_view) { closed.set_value(code); }});
  EXPECT_EQ(closed.get_future().get(), 1001U);
  member->send("[1]", [](const ClientResult<void>&) {});
  EXPECT_EQ(message.get_future().get(), "u[1]");
  member.reset();
  EXPECT_EQ(gone.get_future().get(), "u");
  loop.stop();
  server->stop();
}

// Its frame is kept by whoever will resume it, here this test, after the server's end.
struct Never {
  [[nodiscard]] bool await_ready() const noexcept { return false; }

  void await_suspend(std::coroutine_handle<> handle) const { *waiting = handle; }

  void await_resume() const noexcept {}

  std::coroutine_handle<>* waiting;
};

TEST_F(HandlersTest, AStopWaitsForNoHandlerThatNeverAnswers) {
  std::coroutine_handle<> waiting;
  std::promise<void> asked;
  server->on_rpc("never", [&](RpcRequest) -> Task<Answer<std::string>> {
    asked.set_value();
    co_await Never{&waiting};
    co_return "1";
  });
  start();
  const auto caller = client();
  caller->rpc("never", "null", [](const ClientResult<RpcResult>&) {});
  asked.get_future().get();
  loop.stop();
  server->stop();
  server.reset();
  waiting.resume();  // goes nowhere, and touches nothing of the server
}

TEST_F(HandlersTest, WorkThatWaitsWhenTheServerStopsIsToldSo) {
  std::promise<void> go;
  std::promise<void> begun;
  const auto wait = go.get_future().share();
  std::promise<ErrorCode> told;
  server->on_rpc("block", [&, wait](RpcRequest request) -> Task<Answer<std::string>> {
    (void)co_await server->offload([&] {
      if (request.data == "4") {
        begun.set_value();
      }
      wait.wait();
    });
    co_return "1";
  });
  server->on_rpc("late", [&](RpcRequest) -> Task<Answer<std::string>> {
    const auto done = co_await server->offload([] { return 1; });
    told.set_value(done.has_value() ? ErrorCode::kInternal : done.error().code);
    co_return "1";
  });
  start();
  const auto caller = client();
  const auto ignore = [](const ClientResult<RpcResult>&) {};
  for (const char* number : {"1", "2", "3", "4"}) {
    caller->rpc("block", number, ignore);
  }
  begun.get_future().get();  // all four worker threads are busy
  caller->rpc("late", "null", ignore);
  // Answered behind it on the same connection, so that it has been asked.
  std::promise<void> answered;
  caller->rpc("nobody", "null", [&](const ClientResult<RpcResult>&) { answered.set_value(); });
  answered.get_future().get();
  loop.stop();
  std::thread stopping([this] { server->stop(); });
  EXPECT_EQ(told.get_future().get(), ErrorCode::kClosed);
  go.set_value();
  stopping.join();
}

}  // namespace
}  // namespace trunkline
