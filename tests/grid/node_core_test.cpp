// SPDX-License-Identifier: Apache-2.0
//
// Nodes on virtual time: which connection counts, and what becomes of what was open on the others.
#include "grid/node_core.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::grid {
namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

// A node; what it is told is written down. Requests are answered by hand.
class TestNode final : public NodeEvents {
 public:
  TestNode(std::string name, std::uint8_t instance, TimePoint now, const NodeOptions& with)
      : options(with) {
    options.identity.name = std::move(name);
    options.identity.instance.fill(instance);
    core = std::make_unique<NodeCore>(options, *this, now);
  }

  void on_call(Mux& mux, CallRef call, const PeerCall& what, Arrived payload) override {
    lines.push_back(fmt::format("call {} {}", what.handler, payload.bytes()));
    calls.emplace_back(&mux, call);
  }

  void on_result(Mux&, std::uint64_t token, Arrived payload) override {
    lines.push_back(fmt::format("result {} {}", token, payload.bytes()));
  }

  void on_failure(Mux&, std::uint64_t token, const Failure& failure) override {
    lines.push_back(fmt::format("failure {} {}", token, name(failure.code)));
  }

  void on_message(Mux&, CallRef, std::uint64_t, Arrived) override {}

  void on_end(Mux&, CallRef, std::uint64_t token) override {
    lines.push_back(fmt::format("end {}", token));
  }

  void on_stop(Mux&, CallRef, std::uint64_t, const Failure& why) override {
    lines.push_back(fmt::format("stop {}", name(why.code)));
  }

  void on_room(Mux&, CallRef, std::uint64_t) override {}

  void on_write(ConnectionId) override {}

  void on_close(ConnectionId id, const std::string& last, std::string_view reason) override {
    closed[id] = last;
    reasons.emplace_back(reason);
  }

  void on_dial(const std::string& peer, bool wanted) override { dials[peer] = wanted; }

  void on_peer(const std::string& peer, bool is_connected, std::string_view why) override {
    lines.push_back(
        fmt::format("{} {}{}{}", is_connected ? "up" : "down", peer, why.empty() ? "" : ": ", why));
  }

  void on_ready(std::uint64_t token, const std::optional<Failure>& failure) override {
    lines.push_back(
        fmt::format("ready {} {}", token, failure.has_value() ? name(failure->code) : "yes"));
    if (when_ready) {
      when_ready(token);
    }
  }

  void on_refused(std::string_view, const Refusal& refusal, bool by_peer) override {
    lines.push_back(fmt::format("refused{} {}", by_peer ? " by peer" : "", name(refusal.code)));
  }

  Lines events() { return std::exchange(lines, {}); }

  void call(const std::string& peer, std::uint64_t token, CallKind kind = CallKind::kRequest) {
    const auto mux = core->mux_of(peer);
    ASSERT_TRUE(mux.has_value()) << mux.error().text;
    const auto ref =
        core->begin(**mux, {.kind = kind, .handler = "x", .payload = "p", .token = token});
    ASSERT_TRUE(ref.has_value()) << ref.error().text;
  }

  void answer_all() {
    for (const auto& [mux, ref] : std::exchange(calls, {})) {
      mux->respond(ref, "answer");
    }
  }

  NodeOptions options;
  std::unique_ptr<NodeCore> core;
  Lines lines;
  std::vector<std::pair<Mux*, CallRef>> calls;
  std::map<ConnectionId, std::string> closed;
  std::vector<std::string> reasons;
  std::map<std::string, bool> dials;
  std::function<void(std::uint64_t)> when_ready;
};

class NodeCoreTest : public ::testing::Test {
 protected:
  // A WebSocket between two nodes. What is said on it moves by pump().
  struct Wire {
    TestNode* ends[2];
    ConnectionId ids[2];
    bool is_cut = false;
    bool is_silent = false;
  };

  void SetUp() override {
    options.identity.secret = "sixteen bytes or more";
    a = make("a:1", 1);
    b = make("b:1", 2);
    // The names are such that a dials.
    if (!is_designated("a:1", "b:1")) {
      std::swap(a, b);
    }
    EXPECT_TRUE(a->core->add_peer(name_of(*b)).has_value());
    EXPECT_TRUE(b->core->add_peer(name_of(*a)).has_value());
  }

  std::unique_ptr<TestNode> make(const std::string& name, std::uint8_t instance) {
    auto node = std::make_unique<TestNode>(name, instance, now, options);
    node->core->advance({now, WallTime(1s)});
    return node;
  }

  static const std::string& name_of(const TestNode& node) { return node.options.identity.name; }

  Wire& connect(TestNode& from, TestNode& to) {
    Nonce nonce{};
    nonce.fill(++last_nonce_);
    Nonce other = nonce;
    other[0] = 0xFF;
    wires.push_back({{&from, &to},
                     {from.core->connected(Side::kDialler, name_of(to), nonce),
                      to.core->connected(Side::kAcceptor, {}, other)}});
    return wires.back();
  }

  // One message from an end; false when it has nothing to say.
  static bool say(Wire& wire, int end) {
    TestNode& from = *wire.ends[end];
    TestNode& to = *wire.ends[1 - end];
    std::string message;
    if (const auto closed = from.closed.find(wire.ids[end]); closed != from.closed.end()) {
      message = closed->second;
      wire.is_cut = true;
    } else {
      from.core->gather(wire.ids[end], message, 64 * 1024);
    }
    if (!message.empty() && !wire.is_silent) {
      to.core->received(wire.ids[1 - end], message);
    }
    if (wire.is_cut && !wire.is_silent) {
      to.core->disconnected(wire.ids[1 - end], "closed by the peer");
    }
    return !message.empty();
  }

  void pump() {
    for (bool more = true; more;) {
      more = false;
      for (Wire& wire : wires) {
        for (const int end : {0, 1}) {
          more = (!wire.is_cut && say(wire, end)) || more;
        }
      }
    }
    check();
  }

  void check() const {
    for (const TestNode* node : {a.get(), b.get()}) {
      EXPECT_EQ(node->core->check(), "");
    }
  }

  void pass(Duration duration, Duration step = 5ms) {
    for (const TimePoint end = now + duration; now < end;) {
      now = std::min(end, now + step);
      for (TestNode* node : {a.get(), b.get(), extra.get()}) {
        if (node != nullptr) {
          node->core->advance({now, WallTime(1s)});
        }
      }
    }
  }

  static bool is_connected(const TestNode& node) {
    bool is = false;
    node.core->for_each_peer([&is](const PeerStatus& peer) { is = is || peer.is_connected; });
    return is;
  }

  TimePoint now{1s};
  NodeOptions options;
  std::unique_ptr<TestNode> a;  // the designated dialler
  std::unique_ptr<TestNode> b;
  std::unique_ptr<TestNode> extra;
  std::deque<Wire> wires;

 private:
  std::uint8_t last_nonce_ = 0;
};

TEST_F(NodeCoreTest, TheDesignatedNodeDialsAndBothAreUp) {
  EXPECT_TRUE(a->dials[name_of(*b)]);
  EXPECT_FALSE(b->dials[name_of(*a)]);
  connect(*a, *b);
  pump();
  EXPECT_EQ(a->events(), Lines{"up " + name_of(*b)});
  EXPECT_EQ(b->events(), Lines{"up " + name_of(*a)});
  b->call(name_of(*a), 7);
  pump();
  a->answer_all();
  pump();
  EXPECT_EQ(b->events(), Lines{"result 7 answer"});
}

TEST_F(NodeCoreTest, TheOtherOneDialsWhenTheDesignatedDoesNotCome) {
  pass(11s);
  EXPECT_TRUE(b->dials[name_of(*a)]);
  connect(*b, *a);
  pump();
  EXPECT_TRUE(is_connected(*a));
  // Once the designated one has come, it is left to it.
  connect(*a, *b);
  pump();
  EXPECT_FALSE(b->dials[name_of(*a)]);
}

TEST_F(NodeCoreTest, APeerThatIsSilentInTheHandshakeIsDroppedAtADeadline) {
  Wire& wire = connect(*a, *b);
  wire.is_silent = true;
  pump();
  pass(5100ms);
  EXPECT_EQ(a->events(), Lines{"refused timeout"});
  EXPECT_EQ(b->events(), Lines{"refused timeout"});
  EXPECT_EQ(a->closed.size(), 1U);
  EXPECT_EQ(b->closed.size(), 1U);
  EXPECT_EQ(a->core->connection_count() + b->core->connection_count(), 0U);
}

TEST_F(NodeCoreTest, WhoIsNoPeerIsRefusedWithAReasonOnBothSides) {
  EXPECT_TRUE(b->core->remove_peer(name_of(*a)).has_value());
  connect(*a, *b);
  pump();
  EXPECT_EQ(b->events(), Lines{"refused name"});
  EXPECT_EQ(a->events(), Lines{"refused by peer name"});
  EXPECT_EQ(a->core->connection_count(), 0U);
}

TEST_F(NodeCoreTest, BothConnectAtOnceAndNothingIsLost) {
  // Whichever of the two stands first, and with calls on it.
  for (const bool reverse_first : {false, true}) {
    wires.clear();
    SetUp();
    Wire& first = reverse_first ? connect(*b, *a) : connect(*a, *b);
    Wire& second = reverse_first ? connect(*a, *b) : connect(*b, *a);
    while (say(first, 0) || say(first, 1)) {
    }
    a->call(name_of(*b), 1);
    b->call(name_of(*a), 2);
    while (say(first, 0) || say(first, 1)) {
    }
    while (say(second, 0) || say(second, 1)) {
    }
    a->call(name_of(*b), 3);
    b->call(name_of(*a), 4);
    pump();
    a->answer_all();
    b->answer_all();
    pump();
    const auto has = [](const Lines& lines, const std::string& line) {
      return std::ranges::find(lines, line) != lines.end();
    };
    const Lines at_a = a->events();
    const Lines at_b = b->events();
    EXPECT_TRUE(has(at_a, "result 1 answer") && has(at_a, "result 3 answer"));
    EXPECT_TRUE(has(at_b, "result 2 answer") && has(at_b, "result 4 answer"));
    EXPECT_EQ(a->core->connection_count(), 1U) << reverse_first;
    EXPECT_EQ(b->core->connection_count(), 1U) << reverse_first;
  }
}

TEST_F(NodeCoreTest, AReplacedConnectionEndsEachOfItsFortyStreamsWithAnError) {
  Wire& old = connect(*a, *b);
  pump();
  for (std::uint64_t token = 1; token <= 40; ++token) {
    b->call(name_of(*a), token, CallKind::kStream);
  }
  pump();
  b->events();
  old.is_silent = true;
  old.is_cut = true;  // a has lost it, b has not noticed
  a->core->disconnected(old.ids[0], "reset");
  connect(*a, *b);
  pump();
  Lines events = b->events();
  ASSERT_EQ(events.size(), 42U);
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(events[i], fmt::format("failure {} disconnected", i + 1));
  }
  EXPECT_EQ(events[41], "up " + name_of(*a));
}

TEST_F(NodeCoreTest, ARestartedPeerEndsWhatItsOldInstanceHadOpen) {
  Wire& old = connect(*a, *b);
  pump();
  b->call(name_of(*a), 1);
  pump();
  b->events();
  old.is_silent = true;
  old.is_cut = true;
  extra = make(name_of(*a), 9);
  EXPECT_TRUE(extra->core->add_peer(name_of(*b)).has_value());
  connect(*extra, *b);
  pump();
  EXPECT_FALSE(is_connected(*extra));  // b asks the old one first
  pass(1100ms);
  pump();
  EXPECT_TRUE(is_connected(*extra));
  EXPECT_EQ(b->events()[0], "failure 1 disconnected");
}

TEST_F(NodeCoreTest, TheSameNameTwiceIsRefusedWhileTheFirstIsAlive) {
  connect(*a, *b);
  pump();
  b->call(name_of(*a), 1);
  extra = make(name_of(*a), 9);
  EXPECT_TRUE(extra->core->add_peer(name_of(*b)).has_value());
  connect(*extra, *b);
  pump();
  EXPECT_EQ(extra->events(), Lines{"refused by peer in_use"});
  EXPECT_TRUE(is_connected(*a));
  a->answer_all();
  pump();
  EXPECT_EQ(b->events().back(), "result 1 answer");
}

TEST_F(NodeCoreTest, CallersMayWaitForAPeer) {
  a->core->wait(name_of(*b), TimePoint::max(), 1);
  a->core->wait(name_of(*b), now + 50ms, 2);
  a->core->wait("nobody:1", TimePoint::max(), 3);
  a->core->wait(name_of(*b), TimePoint::max(), 4);
  a->core->cancel_wait(4);
  pass(60ms);
  EXPECT_EQ(a->events(), (Lines{"ready 3 invalid", "ready 2 deadline"}));
  connect(*a, *b);
  pump();
  EXPECT_EQ(a->events(), (Lines{"up " + name_of(*b), "ready 1 yes"}));
  a->core->wait(name_of(*b), TimePoint::max(), 5);
  EXPECT_EQ(a->events(), Lines{"ready 5 yes"});
  EXPECT_EQ(a->core->waiter_count(), 0U);
}

TEST_F(NodeCoreTest, ANodeThatEndsLetsWhatIsOpenFinish) {
  connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  pump();
  b->core->drain(now + 10s);
  pump();
  EXPECT_FALSE(b->core->is_drained());
  b->answer_all();
  pump();
  EXPECT_EQ(a->events(),
            (Lines{"up " + name_of(*b), "result 1 answer", "down " + name_of(*b) + ": drained"}));
  EXPECT_TRUE(b->core->is_drained());
  connect(*a, *b);
  pump();
  EXPECT_EQ(a->events().back(), "refused by peer draining");
}

TEST_F(NodeCoreTest, WhatDoesNotFinishInTimeIsCut) {
  connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  pump();
  b->core->drain(now + 100ms);
  pump();
  pass(150ms);
  EXPECT_TRUE(b->core->is_drained());
  pump();
  EXPECT_EQ(a->events()[1], "failure 1 disconnected");
}

TEST_F(NodeCoreTest, PeersMayBeRemovedWhileCallsAreOpen) {
  connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  EXPECT_TRUE(a->core->remove_peer(name_of(*b)).has_value());
  EXPECT_EQ(a->events()[1], "failure 1 disconnected");
  EXPECT_FALSE(a->core->mux_of(name_of(*b)).has_value());
  EXPECT_FALSE(a->core->remove_peer(name_of(*b)).has_value());
  EXPECT_TRUE(a->core->add_peer(name_of(*b)).has_value());
  EXPECT_FALSE(a->core->add_peer(name_of(*b)).has_value());
  EXPECT_FALSE(a->core->add_peer(name_of(*a)).has_value());
}

TEST_F(NodeCoreTest, ARuleThatIsBrokenEndsTheConnectionAndSaysWhich) {
  Wire& wire = connect(*a, *b);
  pump();
  b->core->received(wire.ids[1], "nonsense");
  ASSERT_EQ(b->reasons.size(), 1U);
  EXPECT_NE(b->reasons[0].find("cut short"), std::string::npos);
  Wire& next = connect(*a, *b);
  a->core->received(next.ids[0], std::string(5000, 'x'));
  EXPECT_NE(a->reasons.back().find("5000 bytes in the handshake"), std::string::npos);
}

TEST_F(NodeCoreTest, HandlersOfLostConnectionsMayEndLater) {
  Wire& wire = connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  pump();
  wire.is_cut = true;
  b->core->disconnected(wire.ids[1], "cut");
  pass(5ms);
  EXPECT_EQ(b->core->orphan_count(), 1U);
  b->answer_all();
  pass(5ms);
  EXPECT_EQ(b->core->orphan_count(), 0U);
}

TEST_F(NodeCoreTest, APeersHandlersAreCountedOverAllItsConnections) {
  options.mux.handlers_max = 1;
  b = make(name_of(*b), 2);
  EXPECT_TRUE(b->core->add_peer(name_of(*a)).has_value());
  Wire& wire = connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  pump();
  wire.is_cut = true;
  b->core->disconnected(wire.ids[1], "cut");
  a->core->disconnected(wire.ids[0], "cut");
  connect(*a, *b);
  pump();
  a->events();
  a->call(name_of(*b), 2);
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 2 busy"});
  std::size_t handlers = 0;
  b->core->for_each_peer([&](const PeerStatus& peer) { handlers += peer.mux.handlers; });
  EXPECT_EQ(handlers, 1U);
  b->answer_all();
  a->call(name_of(*b), 3);
  pump();
  b->answer_all();
  pump();
  EXPECT_EQ(a->events(), Lines{"result 3 answer"});
}

TEST_F(NodeCoreTest, AGuestDoesNotBecomeTheMemberWhoseNameItTook) {
  options.identity.is_guest = true;
  extra = make("c:1", 3);
  EXPECT_TRUE(extra->core->add_peer(name_of(*b)).has_value());
  connect(*extra, *b);
  pump();
  EXPECT_TRUE(b->core->mux_of("c:1").has_value());
  EXPECT_TRUE(b->core->add_peer("c:1").has_value());
  EXPECT_FALSE(b->core->mux_of("c:1").has_value());
  EXPECT_EQ(b->dials["c:1"], is_designated(name_of(*b), "c:1"));
  pump();
  connect(*extra, *b);
  pump();
  EXPECT_EQ(extra->events().back(), "refused by peer name");
}

TEST_F(NodeCoreTest, WhoIsToldOfAnEndMayAddAndRemovePeers) {
  for (int i = 2; i < 40; ++i) {
    EXPECT_TRUE(a->core->add_peer(fmt::format("p:{}", i)).has_value());
    a->core->wait(fmt::format("p:{}", i), TimePoint::max(), static_cast<std::uint64_t>(i));
  }
  a->when_ready = [this](std::uint64_t token) {
    static_cast<void>(a->core->remove_peer(fmt::format("p:{}", token)));
    EXPECT_TRUE(a->core->add_peer(fmt::format("q:{}", token)).has_value());
  };
  EXPECT_TRUE(a->core->remove_peer("p:5").has_value());
  EXPECT_TRUE(a->core->add_peer("p:5").has_value());
  a->core->drain(now + 1s);
  EXPECT_EQ(a->events().size(), 38U);
  EXPECT_EQ(a->core->waiter_count(), 0U);
}

TEST_F(NodeCoreTest, AWaiterThatAddsThePeerAgainHasANewOne) {
  a->core->wait(name_of(*b), TimePoint::max(), 1);
  a->when_ready = [this](std::uint64_t) {
    EXPECT_TRUE(a->core->add_peer(name_of(*b)).has_value());
  };
  EXPECT_TRUE(a->core->remove_peer(name_of(*b)).has_value());
  a->when_ready = nullptr;
  connect(*a, *b);
  pump();
  EXPECT_TRUE(a->core->mux_of(name_of(*b)).has_value());
}

TEST_F(NodeCoreTest, ANodeThatStoodStillReadsTheAnswerBeforeItGivesTheOldConnectionUp) {
  connect(*a, *b);
  pump();
  a->call(name_of(*b), 1);
  pump();
  // The other direction comes, too, and waits for what the old one answers to b's probe.
  extra = make(name_of(*a), 9);
  EXPECT_TRUE(extra->core->add_peer(name_of(*b)).has_value());
  Wire& newcomer = connect(*extra, *b);
  while (say(newcomer, 0) || say(newcomer, 1)) {
  }
  say(wires[0], 1);  // the probe
  now += options.probe_timeout + 1s;
  b->core->advance({now, WallTime(1s)});  // it has slept; the answer was there all the time
  say(wires[0], 0);
  pump();
  EXPECT_TRUE(a->core->mux_of(name_of(*b)).has_value());
  EXPECT_EQ(extra->events().back(), "refused by peer in_use");
}

TEST(NodeOptions, ThatCannotBeAreNamed) {
  NodeOptions options;
  EXPECT_FALSE(check_options(options).has_value());
  options.identity.name = "a:1";
  options.identity.instance.fill(1);
  EXPECT_TRUE(check_options(options).has_value());
  options.identity.secret = "short";
  EXPECT_NE(check_options(options).error().context.find("secret"), std::string::npos);
}

TEST(MayRetry, OnlyWhatNobodyHasSeenOrWhatDoesNoHarmTwice) {
  EXPECT_TRUE(may_retry({.code = FailureCode::kDraining, .not_run = true}, false));
  EXPECT_FALSE(may_retry({.code = FailureCode::kDisconnected}, false));
  EXPECT_TRUE(may_retry({.code = FailureCode::kDisconnected}, true));
  EXPECT_FALSE(may_retry({.code = FailureCode::kHandler}, true));
  EXPECT_FALSE(may_retry({.code = FailureCode::kDeadline, .not_run = true}, true));
}

}  // namespace
}  // namespace trunkline::grid
