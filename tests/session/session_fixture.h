// SPDX-License-Identifier: Apache-2.0
//
// Sessions of one shard on virtual time: what a client sends goes in as text, what it would receive
// comes out as lines of JSON, read back from the outbox's bytes by a frame reader in the client's
// role.
#pragma once

#include "core/random.h"
#include "core/timer_wheel.h"
#include "hub/shard.h"
#include "replay/memory_engine.h"
#include "session/json_codec.h"
#include "session/session.h"
#include "ws/frame.h"
#include "ws/frame_reader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::session {

// Knows the tokens that a test gives it; every other one is invalid.
class TokenTable final : public Authenticator {
 public:
  [[nodiscard]] Result<ConnectionClaims> verify_connection(std::string_view token,
                                                           WallTime now) const override {
    return look_up(connections, token, now);
  }

  [[nodiscard]] Result<SubscriptionClaims> verify_subscription(std::string_view token,
                                                               WallTime now) const override {
    return look_up(subscriptions, token, now);
  }

  std::map<std::string, ConnectionClaims, std::less<>> connections;
  std::map<std::string, SubscriptionClaims, std::less<>> subscriptions;

 private:
  template <class Claims>
  static Result<Claims> look_up(const std::map<std::string, Claims, std::less<>>& tokens,
                                std::string_view token, WallTime now) {
    const auto found = tokens.find(token);
    if (found == tokens.end()) {
      return fail(ErrorCode::kTokenInvalid, "not in the table");
    }
    if (found->second.expire_at.value_or(WallTime::max()) <= now) {
      return fail(ErrorCode::kTokenExpired, "expired");
    }
    return found->second;
  }
};

// Snapshots that wait until the test ends them.
class ManualSnapshots final : public SnapshotProvider {
 public:
  [[nodiscard]] bool covers(std::string_view channel) const override {
    return channel.starts_with("snap");
  }

  void take(const std::string& /*channel*/, const Position& attached,
            hub::Done<Snapshot> done) override {
    asked.push_back(attached);
    waiting.push_back(std::move(done));
  }

  void answer(Result<Snapshot> snapshot) {
    hub::Done<Snapshot> done = std::move(waiting.front());
    waiting.pop_front();
    done(std::move(snapshot));
  }

  std::vector<Position> asked;
  std::deque<hub::Done<Snapshot>> waiting;
};

// One client and its connection.
class Peer final : public Link, public ws::MessageHandler {
 public:
  explicit Peer(Environment& environment, Fields request_headers = {})
      : session(std::make_unique<Session>(environment, *this, std::move(request_headers))) {}

  void send(std::string_view text) {
    std::string padded(text);
    padded.append(ws::kMessagePadding, '\0');
    session->on_message(std::span(padded.data(), text.size()));
  }

  // The socket takes up to `bytes_max` bytes.
  void flush(TimePoint now, std::size_t bytes_max = SIZE_MAX) {
    outbox::Plan plan;
    for (outbox_.gather(plan); !plan.empty() && bytes_max > 0; outbox_.gather(plan)) {
      std::string bytes;
      for (const std::string_view span : plan.spans()) {
        bytes += span;
      }
      const std::size_t taken = std::min(bytes.size(), bytes_max);
      bytes_max -= taken;
      outbox_.written(plan, taken, now);
      bytes.resize(taken);
      bytes.append(ws::kMessagePadding, '\0');
      ASSERT_TRUE(reader_.read(std::span(bytes.data(), taken), *this).has_value());
    }
    if (session) {
      session->resume();
    }
  }

  // What was received since the last call, joined by line feeds.
  std::string take() { return std::exchange(received, {}); }

  // Link
  [[nodiscard]] outbox::Outbox& outbox() override { return outbox_; }

  void want_flush() override { wants_flush = true; }

  void close(std::uint16_t code, std::string_view why) override {
    EXPECT_EQ(close_code, 0) << "closed twice";
    close_code = code;
    reason = why;
  }

  [[nodiscard]] bool wants_native_pings() const override { return native_pings; }

  // ws::MessageHandler
  bool on_text(std::span<char> message) override {
    ++messages;
    received += (received.empty() ? "" : "\n") + std::string(message.data(), message.size());
    return true;
  }

  bool on_binary(std::span<char> /*message*/) override {
    ADD_FAILURE() << "a binary message";
    return false;
  }

  bool on_ping(std::string_view /*payload*/) override {
    ++pings;
    return true;
  }

  bool on_pong(std::string_view /*payload*/) override { return true; }

  bool on_close(ws::CloseCode /*code*/, std::string_view /*why*/) override { return true; }

  outbox::OutboxOptions limits;
  std::string received;
  int messages = 0;
  int pings = 0;
  int close_code = 0;
  std::string reason;
  bool wants_flush = false;
  bool native_pings = false;

 private:
  outbox::Outbox outbox_{limits};
  ws::FrameReader reader_{ws::Role::kClient, {}};

 public:
  std::unique_ptr<Session> session;  // last: it leaves the outbox before that goes
};

class SessionTest : public ::testing::Test {
 protected:
  SessionTest() {
    options.client.allow_anonymous_connect_without_token = true;
    options.server_version = "test";
    ChannelOptions& plain = options.channel.without_namespace;
    plain.allow_subscribe_for_client = plain.allow_subscribe_for_anonymous = true;
    plain.allow_publish_for_client = plain.allow_publish_for_anonymous = true;
    // Namespace `log`: with history and recovery.
    ChannelOptions& log = options.channel.namespaces["log"];
    log = plain;
    log.history_size = 10;
    log.history_ttl = std::chrono::seconds(300);
    log.force_recovery = log.allow_recovery = true;
    log.allow_history_for_client = log.allow_history_for_anonymous = true;
    environment.snapshots = &snapshots;
  }

  // A client that has been answered to its connect.
  Peer& join(std::string_view token = "") {
    Peer& peer = open();
    peer.send(fmt::format(R"({{"id":1,"connect":{{"token":"{}"}}}})", token));
    peer.flush(environment.now.monotonic);
    EXPECT_TRUE(peer.received.starts_with(R"({"id":1,"connect":{)")) << peer.received;
    peer.take();
    return peer;
  }

  // One that has only just come.
  Peer& open() {
    peers.push_back(std::make_unique<Peer>(environment));
    return *peers.back();
  }

  // Everybody's socket takes everything.
  void turn() {
    hub.announce();
    for (const auto& peer : peers) {
      if (!stalled.contains(peer.get())) {
        peer->flush(environment.now.monotonic);
      }
    }
    hub.settle(environment.now.monotonic);
  }

  std::string ask(Peer& peer, std::string_view text) {
    peer.send(text);
    turn();
    return peer.take();
  }

  void pass(Duration duration) {
    environment.now.monotonic += duration;
    environment.now.wall += std::chrono::duration_cast<std::chrono::milliseconds>(duration);
    timers.advance(environment.now.monotonic);
    turn();
  }

  Position publish(const std::string& channel, const std::string& data, bool logged = true) {
    Position result;
    const ChannelOptions* found = find_options(options.channel, channel);
    hub.publish({.channel = channel,
                 .settings = channel_settings(options.channel, *found),
                 .publication = {.data = data, .info = {}, .tags = {}},
                 .logged = logged,
                 .idempotency_key = {},
                 .done = [&result](Result<Position> position) { result = *position; }},
                environment.now.monotonic);
    return result;
  }

  // Publishes the numbers first … last, a turn each.
  void publish_range(const std::string& channel, int first, int last) {
    for (int i = first; i <= last; ++i) {
      publish(channel, std::to_string(i));
      turn();
    }
  }

  struct NoMail final : hub::Mail {
    void post(hub::ShardId /*to*/, hub::Message /*message*/) override { FAIL(); }
  };

  Options options;
  TokenTable tokens;
  ManualSnapshots snapshots;
  TimerWheel timers{TimePoint{}};
  Random random{1};
  replay::MemoryEngine engine{{}, timers, random};
  JsonCodec codec;
  NoMail mail;
  hub::HubShard hub{0, 1, engine, codec, mail, timers};
  Environment environment{.options = options,
                          .authenticator = tokens,
                          .hub = hub,
                          .timers = timers,
                          .random = random,
                          .now = {TimePoint{}, WallTime{std::chrono::hours(500'000)}}};
  std::map<Peer*, bool> stalled;  // their sockets take nothing
  std::vector<std::unique_ptr<Peer>> peers;
};

}  // namespace trunkline::session
