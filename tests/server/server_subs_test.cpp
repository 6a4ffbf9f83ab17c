// SPDX-License-Identifier: Apache-2.0
//
// Server-side subscriptions of a whole server, by its Hub, over loopback and with several shards.
#include <trunkline/client.h>
#include <trunkline/server.h>

#include "server/jwt.h"
#include "server/notes.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace trunkline {
namespace {

using namespace std::chrono_literals;

using Lines = std::vector<std::string>;

class ServerSubs : public ::testing::Test {
 protected:
  void SetUp() override {
    ServerOptions options;
    options.config_json = R"({"client":{"token":{"hmac_secret_key":"k"}},
        "channel":{"without_namespace":{"history_size":100,"history_ttl":"300s",
        "force_recovery":true}}})";
    options.port = 0;
    options.shards = 3;
    auto made = Server::create(std::move(options));
    ASSERT_TRUE(made.has_value()) << to_string(made.error());
    server = std::move(*made);
    // A slow start: channel `slow` has its state when the test gives it.
    server->hub().on_snapshot("slow", [this](const SnapshotRequest&, SnapshotDone end) {
      asked.set_value(std::move(end));
    });
    ASSERT_TRUE(server->start().has_value());
    ASSERT_TRUE(loop.start().has_value());
  }

  void TearDown() override { loop.stop(); }

  // A connected client of the user.
  void join(const std::string& user, const std::string& channels = "") {
    begin(user, channels);
    client_ids.push_back(ids.back()->get_future().get());
  }

  // One that connects.
  void begin(const std::string& user, const std::string& channels) {
    notes.push_back(std::make_unique<Notes>());
    Notes& mine = *notes.back();
    ids.push_back(std::make_shared<std::promise<std::string>>());
    ClientHandlers handlers;
    handlers.on_connected = [id = ids.back(), once = true](std::string_view client,
                                                           std::string_view) mutable {
      if (std::exchange(once, false)) {
        id->set_value(std::string(client));
      }
    };
    handlers.on_disconnected = [&mine](std::uint32_t code, std::string_view reason) {
      mine.add(fmt::format("disconnected {} {}", code, reason));
    };
    handlers.on_error = [&mine](const ClientError& error) { mine.add("error " + error.context); };
    handlers.on_message = [&mine](std::string_view data) {
      mine.add("message " + std::string(data));
    };
    handlers.on_server_subscribed = [&mine](std::string_view channel,
                                            const SubscribedContext& context) {
      mine.add(fmt::format("{} at {}{}", channel, context.position->offset.value, context.data));
    };
    handlers.on_server_publication = [&mine](std::string_view channel,
                                             const Publication& publication) {
      mine.add(fmt::format("{} {} {}", channel, publication.offset.value, publication.data));
    };
    handlers.on_server_unsubscribed = [&mine](std::string_view channel, std::uint32_t code,
                                              std::string_view) {
      mine.add(fmt::format("{} ended {}", channel, code));
    };
    ClientOptions options;
    options.url = fmt::format("ws://127.0.0.1:{}/connection/websocket", server->port());
    options.token = server::make_hmac_token(
        "k", fmt::format(R"({{"sub":"{}","channels":[{}]}})", user, channels));
    clients.push_back(std::make_unique<Client>(loop, options, std::move(handlers)));
    clients.back()->connect();
  }

  // What a call of the hub ends with.
  template <class Call>
  Result<std::size_t> done(Call call) {
    auto answer = std::make_shared<std::promise<Result<std::size_t>>>();
    call([answer](Result<std::size_t> result) { answer->set_value(std::move(result)); });
    return answer->get_future().get();
  }

  std::promise<SnapshotDone> asked;
  std::unique_ptr<Server> server;
  std::vector<std::unique_ptr<Notes>> notes;
  std::vector<std::shared_ptr<std::promise<std::string>>> ids;
  std::vector<std::string> client_ids;
  ClientLoop loop;
  std::vector<std::unique_ptr<Client>> clients;
};

TEST_F(ServerSubs, ReachAllConnectionsOfAUserOnAllShardsAndNobodyElse) {
  for (const char* user : {"ann", "ann", "ann", "ann", "bob"}) {
    join(user, R"("first")");
  }
  Hub& hub = server->hub();
  const auto begun =
      done([&](auto end) { hub.subscribe_user({.user = "ann"}, "room", {.data = "1"}, end); });
  EXPECT_EQ(begun.value_or(99), 4U);
  const auto again = done([&](auto end) { hub.subscribe_user({.user = "ann"}, "room", {}, end); });
  EXPECT_EQ(again.value_or(99), 0U) << "they have it already";
  for (int i = 0; i < 4; ++i) {
    notes[static_cast<std::size_t>(i)]->wait(2);
  }
  hub.publish("room", "7");
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(notes[static_cast<std::size_t>(i)]->wait(3),
              (Lines{"first at 0", "room at 01", "room 1 7"}));
  }
  const auto ended = done([&](auto end) { hub.unsubscribe_user({.user = "ann"}, "room", end); });
  EXPECT_EQ(ended.value_or(99), 4U);
  EXPECT_EQ(notes[0]->wait(4).back(), "room ended 2000");
  hub.publish("first", "8");
  EXPECT_EQ(notes[4]->wait(2), (Lines{"first at 0", "first 1 8"}));
}

TEST_F(ServerSubs, MayMeanOneConnectionBehindAPosition) {
  join("ann");
  join("ann");
  Hub& hub = server->hub();
  std::promise<Position> first;
  hub.publish("room", "1", {}, [&first](Result<Position> at) { first.set_value(*at); });
  const Position from = first.get_future().get();
  hub.publish("room", "2");
  const UserConnections second{.user = "ann", .client = client_ids[1]};
  const auto begun =
      done([&](auto end) { hub.subscribe_user(second, "room", {.since = from}, end); });
  EXPECT_EQ(begun.value_or(99), 1U);
  EXPECT_EQ(notes[1]->wait(2), (Lines{"room at 1", "room 2 2"}));
  const auto closed =
      done([&](auto end) { hub.disconnect_user({.user = "ann"}, 4500, "enough", end); });
  EXPECT_EQ(closed.value_or(99), 2U);
  EXPECT_EQ(notes[0]->wait(1), Lines{"disconnected 4500 enough"});
  EXPECT_EQ(notes[1]->wait(3).back(), "disconnected 4500 enough");
}

TEST_F(ServerSubs, OfATokenGoOnAfterAReconnectAndOthersHaveEnded) {
  join("ann", R"("kept")");
  Hub& hub = server->hub();
  hub.subscribe_user({.user = "ann"}, "given");
  notes[0]->wait(2);
  hub.publish("kept", "1");
  notes[0]->wait(3);
  EXPECT_EQ(done([&](auto end) {
              hub.disconnect_user({.user = "ann"}, 3011, "again", end);
            }).value_or(99),
            1U);
  hub.publish("kept", "2");
  EXPECT_EQ(notes[0]->wait(6), (Lines{"kept at 0", "given at 0", "kept 1 1", "given ended 5",
                                      "kept at 1", "kept 2 2"}));
}

TEST_F(ServerSubs, LoseNothingThatIsPublishedWhileTheConnectWaits) {
  begin("ann", R"("a","b","c","slow")");
  SnapshotDone end = asked.get_future().get();
  Hub& hub = server->hub();
  constexpr int kEach = 20;
  for (int i = 1; i <= kEach; ++i) {
    for (const char* channel : {"a", "b", "c"}) {
      hub.publish(channel, std::to_string(i));
    }
  }
  // When the last of each has its position all of them are in the logs.
  for (const char* channel : {"a", "b", "c"}) {
    std::promise<Position> last;
    hub.publish(channel, "99", {}, [&last](Result<Position> at) { last.set_value(*at); });
    EXPECT_EQ(last.get_future().get().offset.value, kEach + 1U);
  }
  EXPECT_TRUE(notes[0]->wait(0).empty()) << "nothing may be told before the connect";
  end(Snapshot{.data = "7", .position = {}});
  // A subscription may begin behind all of those: one more, that comes in any case.
  for (const std::string channel : {"a", "b", "c"}) {
    hub.publish(channel, "100");
    const Lines told = notes[0]->wait_for(fmt::format("{} {} 100", channel, kEach + 2));
    Lines seen;
    for (const std::string& line : told) {
      if (line.starts_with(channel + " ")) {
        seen.push_back(line);
      }
    }
    // Its attach was on its way with the others' while the first ones were published.
    const int begun = std::stoi(seen.at(0).substr(5));
    Lines expected{fmt::format("{} at {}", channel, begun)};
    for (int i = begun + 1; i <= kEach + 2; ++i) {
      const int data = i <= kEach ? i : i == kEach + 1 ? 99 : 100;
      expected.push_back(fmt::format("{} {} {}", channel, i, data));
    }
    EXPECT_EQ(seen, expected);
  }
}

TEST_F(ServerSubs, AMessageIsForAUserOrOneConnection) {
  for (const char* user : {"ann", "ann", "bob"}) {
    join(user, "");
  }
  Hub& hub = server->hub();
  EXPECT_EQ(done([&](auto end) { hub.send_user({.user = "ann"}, R"({"n":1})", end); }), 2U);
  for (const std::size_t one : {0U, 1U}) {
    EXPECT_EQ(notes[one]->wait(1).front(), R"(message {"n":1})");
  }
  EXPECT_EQ(done([&](auto end) { hub.send_user({.user = "carl"}, "1", end); }), 0U);
  EXPECT_EQ(done([&](auto end) { hub.send_user({.user = "bob"}, "{", end); }).error().code,
            ErrorCode::kMalformed);
  EXPECT_TRUE(notes[2]->wait(0).empty());
}

TEST_F(ServerSubs, SayWhatTheyDoNotTake) {
  Hub& hub = server->hub();
  const auto code = [](const Result<std::size_t>& result) {
    return result.has_value() ? std::string("ok") : std::string(name(result.error().code));
  };
  EXPECT_EQ(code(done([&](auto end) { hub.subscribe_user({}, "a", {}, end); })),
            "invalid_argument");
  EXPECT_EQ(code(done([&](auto end) { hub.subscribe_user({.user = "u"}, "x:a", {}, end); })),
            "unknown_channel");
  EXPECT_EQ(
      code(done([&](auto end) { hub.subscribe_user({.user = "u"}, "a", {.info = "{"}, end); })),
      "malformed");
  for (const auto& [number, reason] : {std::pair<std::uint16_t, std::string>{2999, "r"},
                                       {5000, "r"},
                                       {3000, ""},
                                       {3000, std::string(124, 'r')}}) {
    EXPECT_EQ(
        code(done([&](auto end) { hub.disconnect_user({.user = "u"}, number, reason, end); })),
        "invalid_argument");
  }
  server->stop();
  EXPECT_EQ(code(done([&](auto end) { hub.unsubscribe_user({.user = "u"}, "a", end); })), "closed");
}

}  // namespace
}  // namespace trunkline
