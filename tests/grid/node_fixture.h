// SPDX-License-Identifier: Apache-2.0
//
// Nodes on virtual time, and WebSockets between them that move what is said when they are told to.
#pragma once

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

}  // namespace trunkline::grid
