// SPDX-License-Identifier: Apache-2.0
#include "session/session.h"
#include "session_fixture.h"

namespace trunkline::session {
namespace {

using std::chrono::seconds;

class SessionRecoveryTest : public SessionTest {
 protected:
  std::string recover(Peer& peer, const std::string& channel, std::uint64_t offset,
                      const std::string& epoch, const std::string& more = "") {
    return ask(peer, fmt::format(R"({{"id":2,"subscribe":{{"channel":"{}","recover":true,)"
                                 R"("offset":{},"epoch":"{}"{}}}}})",
                                 channel, offset, epoch, more));
  }
};

std::string push(int number) {
  return fmt::format(R"({{"push":{{"channel":"log:a","pub":{{"data":{0},"offset":{0}}}}}}})",
                     number);
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_F(SessionRecoveryTest, EveryOffsetOfAHistoryIsRecoveredOnceWhetherInTheReplyOrBehindIt) {
  options.client.recovery_max_publication_limit = 3;
  publish_range("log:a", 1, 10);
  const std::string epoch = publish("log:a", "11").epoch;  // the history is now 2 … 11
  turn();
  for (std::uint64_t since = 1; since <= 11; ++since) {
    SCOPED_TRACE(since);
    Peer& peer = join();
    std::string expected = R"({"id":2,"subscribe":{"recoverable":true,"epoch":")" + epoch + "\"";
    std::string rest;
    for (std::uint64_t offset = since + 1; offset <= 11; ++offset) {
      if (offset <= since + 3) {
        expected += offset == since + 1 ? R"(,"publications":[)" : ",";
        expected += fmt::format(R"({{"data":{0},"offset":{0}}})", offset);
      } else {
        rest += "\n" + push(static_cast<int>(offset));
      }
    }
    expected += since < 11 ? "]" : "";
    expected += fmt::format(R"(,"recovered":true,"offset":{},"positioned":true,)"
                            R"("was_recovering":true}}}})",
                            since);
    EXPECT_EQ(recover(peer, "log:a", since, epoch), expected + rest);
  }
}

TEST_F(SessionRecoveryTest, AnOffsetThatTheHistoryNoLongerFollowsIsNotRecovered) {
  publish_range("log:a", 1, 10);
  const std::string epoch = publish("log:a", "11").epoch;
  turn();
  Peer& peer = join();
  const std::string reply = recover(peer, "log:a", 0, epoch);
  EXPECT_EQ(reply, R"({"id":2,"subscribe":{"recoverable":true,"epoch":")" + epoch +
                       R"(","offset":11,"positioned":true,"was_recovering":true}})");
}

TEST_F(SessionRecoveryTest, AnOffsetBeyondTheTopIsNotRecovered) {
  const std::string epoch = publish("log:a", "1").epoch;
  for (const char* offset : {"2", "18446744073709551615"}) {
    Peer& peer = join();
    const std::string reply =
        ask(peer, fmt::format(R"({{"id":2,"subscribe":{{"channel":"log:a","recover":true,)"
                              R"("offset":{},"epoch":"{}"}}}})",
                              offset, epoch));
    EXPECT_FALSE(has(reply, R"("recovered")")) << reply;
    EXPECT_TRUE(has(reply, R"("was_recovering":true)")) << reply;
    EXPECT_TRUE(has(reply, R"("offset":1,)")) << reply;
  }
}

TEST_F(SessionRecoveryTest, TheSentinelEpochNeverMatches) {
  publish("log:a", "1");
  Peer& peer = join();
  const std::string reply = recover(peer, "log:a", 1, "_");
  EXPECT_FALSE(has(reply, R"("recovered")")) << reply;
  EXPECT_TRUE(has(reply, R"("was_recovering":true)")) << reply;
}

TEST_F(SessionRecoveryTest, TheRecoveryFlagRefusesRatherThanStartingAnew) {
  publish("log:a", "1");
  Peer& peer = join();
  EXPECT_EQ(recover(peer, "log:a", 1, "_", R"(,"flag":2)"),
            R"({"id":2,"error":{"code":112,"message":"unrecoverable position"}})");
  EXPECT_EQ(hub.stats().feeds.subscriptions, 0U);
  // Refused means that nothing stands in the way of another try.
  EXPECT_TRUE(has(recover(peer, "log:a", 0, "", R"(,"flag":3)"), R"("recovered":true)"));
}

TEST_F(SessionRecoveryTest, FlagBitOneIsHarmless) {
  publish("log:a", "1");
  Peer& peer = join();
  EXPECT_TRUE(has(recover(peer, "log:a", 1, "_", R"(,"flag":1)"), R"("was_recovering":true)"));
}

TEST_F(SessionRecoveryTest, APublicationIsInTheReplyOrLiveButNeverBoth) {
  const std::string epoch = publish("log:a", "1").epoch;
  Peer& peer = join();
  publish("log:a", "2");
  peer.send(R"({"id":2,"subscribe":{"channel":"log:a","recover":true,"offset":1,"epoch":")" +
            epoch + R"("}})");
  publish("log:a", "3");
  turn();
  EXPECT_EQ(peer.take(), R"({"id":2,"subscribe":{"recoverable":true,"epoch":")" + epoch +
                             R"(","publications":[{"data":2,"offset":2}],"recovered":true,)"
                             R"("offset":1,"positioned":true,"was_recovering":true}})"
                             "\n" +
                             push(3));
}

TEST_F(SessionRecoveryTest, CacheModeGivesTheNewestOnly) {
  ChannelOptions& cache = options.channel.namespaces["cache"];
  cache = options.channel.namespaces["log"];
  cache.force_recovery_mode = RecoveryMode::kCache;
  cache.auto_cache_recover = true;
  publish("cache:a", "1");
  const std::string epoch = publish("cache:a", "2").epoch;
  Peer& peer = join();
  EXPECT_EQ(ask(peer, R"({"id":2,"subscribe":{"channel":"cache:a"}})"),
            R"({"id":2,"subscribe":{"recoverable":true,"epoch":")" + epoch +
                R"(","publications":[{"data":2,"offset":2}],"recovered":true,"offset":2,)"
                R"("positioned":true,"was_recovering":true}})");
  Peer& knows = join();
  EXPECT_FALSE(has(recover(knows, "cache:a", 2, epoch), "publications"));
  Peer& alone = join();
  EXPECT_FALSE(has(ask(alone, R"({"id":2,"subscribe":{"channel":"cache:b"}})"), R"("recovered")"));
}

TEST_F(SessionRecoveryTest, AFullSocketCatchesUpWithoutGapOrRepeat) {
  publish("log:a", "0");
  Peer& peer = join();
  ask(peer, R"({"id":2,"subscribe":{"channel":"log:a"}})");
  stalled[&peer] = true;
  publish_range("log:a", 2, 25);
  stalled.clear();
  // A socket that takes seven bytes at a time.
  for (int i = 0; i < 1000; ++i) {
    peer.flush(environment.now.monotonic, 7);
  }
  std::string expected;
  for (int i = 2; i <= 25; ++i) {
    expected += (i > 2 ? "\n" : "") + push(i);
  }
  EXPECT_EQ(peer.take(), expected);
}

TEST_F(SessionRecoveryTest, TheFirstPublicationOfANewStreamCarriesItsEpoch) {
  Peer& peer = join();
  ask(peer, R"({"id":2,"subscribe":{"channel":"log:a"}})");
  const std::string epoch = publish("log:a", "1").epoch;
  turn();
  EXPECT_EQ(peer.take(), R"({"push":{"channel":"log:a","pub":{"data":1,"offset":1,"epoch":")" +
                             epoch + R"("}}})");
}

TEST_F(SessionRecoveryTest, ALostPlaceIsToldByUnsubscribingWithInsufficientState) {
  options.client.ping_interval = Duration{0};
  Peer& peer = join();
  ask(peer, R"({"id":2,"subscribe":{"channel":"log:a"}})");
  stalled[&peer] = true;
  publish_range("log:a", 1, 20);
  pass(replay::kCatchUp.age_max);
  publish_range("log:a", 21, 21);
  stalled.clear();
  turn();
  turn();
  EXPECT_EQ(peer.take(), R"({"push":{"channel":"log:a","unsubscribe":{"code":2500,)"
                         R"("reason":"insufficient state"}}})");
  EXPECT_EQ(peer.close_code, 0);
}

TEST_F(SessionRecoveryTest, ALostPlaceMayEndTheConnectionInstead) {
  options.channel.namespaces["log"].on_lost = OnLost::kDisconnect;
  Peer& peer = join();
  ask(peer, R"({"id":2,"subscribe":{"channel":"log:a"}})");
  stalled[&peer] = true;
  publish_range("log:a", 1, 20);
  pass(replay::kCatchUp.age_max);
  publish_range("log:a", 21, 21);
  stalled.clear();
  turn();
  EXPECT_EQ(peer.close_code, 3010);
}

// Both go on behind a gap that they tell: one with what comes next, the other with the newest.
TEST_F(SessionRecoveryTest, ALostPlaceMayBeAGapThatIsTold) {
  options.client.ping_interval = Duration{0};
  for (const OnLost on_lost : {OnLost::kSkip, OnLost::kLatest}) {
    options.channel.namespaces["log"].on_lost = on_lost;
    const std::string channel = on_lost == OnLost::kSkip ? "log:skip" : "log:latest";
    Peer& peer = join();
    ask(peer, R"({"id":2,"subscribe":{"channel":")" + channel + R"("}})");
    stalled[&peer] = true;
    publish_range(channel, 1, 20);
    pass(replay::kCatchUp.age_max);
    publish_range(channel, 21, 21);
    stalled.clear();
    turn();
    turn();
    const bool latest = on_lost == OnLost::kLatest;
    EXPECT_EQ(peer.take(),
              fmt::format(R"({{"push":{{"channel":"{0}","gap":{{"from":1,"to":{1}}}}}}})", channel,
                          latest ? 20 : 21) +
                  (latest ? "\n"
                            R"({"push":{"channel":"log:latest","pub":{"data":21,"offset":21}}})"
                          : ""));
    publish_range(channel, 22, 22);
    turn();
    EXPECT_EQ(
        peer.take(),
        fmt::format(R"({{"push":{{"channel":"{}","pub":{{"data":22,"offset":22}}}}}})", channel));
    EXPECT_EQ(peer.close_code, 0);
  }
}

// A client that comes back to what is not kept any more still gets the newest of it.
TEST_F(SessionRecoveryTest, WhoComesTooLateBeginsWithTheNewestWhereThatCounts) {
  options.channel.namespaces["log"].on_lost = OnLost::kLatest;
  const std::string epoch = publish("log:a", "1").epoch;
  publish_range("log:a", 2, 40);
  Peer& peer = join();
  EXPECT_EQ(ask(peer, fmt::format(R"({{"id":2,"subscribe":{{"channel":"log:a","recover":true,)"
                                  R"("offset":1,"epoch":"{}"}}}})",
                                  epoch)),
            fmt::format(R"({{"id":2,"subscribe":{{"recoverable":true,"epoch":"{}","offset":39,)"
                        R"("positioned":true,"was_recovering":true}}}})"
                        "\n"
                        R"({{"push":{{"channel":"log:a","pub":{{"data":40,"offset":40}}}}}})",
                        epoch));
}

TEST_F(SessionRecoveryTest, HistoryReadsForwardsBackwardsAndStopsAtItsLimit) {
  publish_range("log:a", 1, 3);
  const std::string epoch = publish("log:a", "4").epoch;
  Peer& peer = join();
  const auto read = [&](const std::string& query) {
    return ask(peer, R"({"id":3,"history":{"channel":"log:a")" + query + "}}");
  };
  const auto answer = [&](const std::string& publications) {
    return R"({"id":3,"history":{"publications":[)" + publications + R"(],"epoch":")" + epoch +
           R"(","offset":4}})";
  };
  const auto one = [&](int n) {
    return fmt::format(R"({{"data":{0},"offset":{0}{1}}})", n,
                       n == 1 ? R"(,"epoch":")" + epoch + "\"" : "");
  };
  EXPECT_EQ(read(""), answer(""));
  EXPECT_EQ(read(R"(,"limit":2)"), answer(one(1) + "," + one(2)));
  EXPECT_EQ(read(R"(,"limit":2,"reverse":true)"), answer(one(4) + "," + one(3)));
  EXPECT_EQ(read(R"(,"limit":9,"since":{"offset":2})"), answer(one(3) + "," + one(4)));
  EXPECT_EQ(read(R"(,"limit":9,"since":{"offset":2},"reverse":true)"), answer(one(1)));
  EXPECT_EQ(read(R"(,"limit":9,"since":{"offset":4})"), answer(""));
  EXPECT_EQ(read(R"(,"limit":9,"since":{"offset":4,"epoch":"other"})"),
            R"({"id":3,"error":{"code":112,"message":"unrecoverable position"}})");
  // The offset behind the largest one is not the first.
  EXPECT_EQ(read(R"(,"limit":9,"since":{"offset":18446744073709551615})"), answer(""));
  EXPECT_EQ(read(R"(,"limit":-1)"), answer(one(1) + "," + one(2) + "," + one(3) + "," + one(4)));
  options.client.history_max_publication_limit = 3;
  EXPECT_EQ(read(R"(,"limit":-1)"), answer(one(1) + "," + one(2) + "," + one(3)));
  options.client.history_max_publication_limit = 0;  // no limit
  EXPECT_EQ(read(R"(,"limit":-1)"), answer(one(1) + "," + one(2) + "," + one(3) + "," + one(4)));
}

TEST_F(SessionRecoveryTest, TimeToLiveClearsDataAndNotThePosition) {
  Peer& peer = join();
  const std::string epoch = publish("log:a", "1").epoch;
  turn();
  pass(seconds(5));
  ask(peer, "{}");
  options.client.ping_interval = Duration{0};
  pass(seconds(400));
  Peer& later = join();
  EXPECT_EQ(ask(later, R"({"id":3,"history":{"channel":"log:a","limit":9}})"),
            R"({"id":3,"history":{"publications":[],"epoch":")" + epoch + R"(","offset":1}})");
}

}  // namespace
}  // namespace trunkline::session
