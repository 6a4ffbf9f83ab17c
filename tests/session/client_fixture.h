// SPDX-License-Identifier: Apache-2.0
//
// A client session between a scripted server and a listening user, on virtual time.
#pragma once

#include "session/client_session.h"
#include "ws/frame_reader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::session {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Everything that a subscription was told, a line each.
struct Listener final : SubscriptionEvents {
  std::vector<std::string> log;
  std::vector<std::uint64_t> tickets;
  std::function<void(const Publication&)> on_each;

  void on_subscribing(std::uint32_t code, std::string_view) override {
    log.push_back(fmt::format("subscribing {}", code));
  }

  void on_subscribed(const SubscribedContext& context) override {
    log.push_back(fmt::format("subscribed{}{} at {}", context.was_recovering ? " recovering" : "",
                              context.recovered ? " recovered" : "",
                              context.position ? fmt::format("{}:{}", context.position->epoch,
                                                             context.position->offset.value)
                                               : "nowhere"));
  }

  void on_publication(const Publication& publication) override {
    log.push_back(fmt::format("publication {} {}", publication.offset.value, publication.data));
    if (on_each) {
      on_each(publication);
    }
  }

  void on_gap(const Gap& gap) override {
    log.push_back(fmt::format("gap {} to {}", gap.from.value, gap.to.value));
  }

  void on_join(const ClientInfo& info) override {
    log.push_back(fmt::format("join {}", info.user));
  }

  void on_leave(const ClientInfo& info) override {
    log.push_back(fmt::format("leave {}", info.user));
  }

  void on_error(const ClientError& error) override {
    log.push_back(fmt::format("error {} {}", error.protocol_code, error.context));
  }

  void on_token_needed(std::uint64_t ticket) override { tickets.push_back(ticket); }

  void on_unsubscribed(std::uint32_t code, std::string_view reason) override {
    log.push_back(fmt::format("unsubscribed {} {}", code, reason));
  }

  std::vector<std::string> take() { return std::exchange(log, {}); }
};

using Lines = std::vector<std::string>;

class ClientSessionTest : public ::testing::Test, public ClientTransport, public ClientEvents {
 protected:
  // ClientTransport
  void open() override {
    ++opened;
    opened_at = now;
  }

  void send_text(std::string_view text) override { sent.emplace_back(text); }

  void close(std::uint16_t, std::string_view reason) override { closed.emplace_back(reason); }

  std::size_t unsent_bytes() const override { return unsent; }

  // ClientEvents
  void on_connecting(std::uint32_t code, std::string_view) override {
    log.push_back(fmt::format("connecting {}", code));
  }

  void on_connected(std::string_view client, std::string_view version) override {
    log.push_back(fmt::format("connected {} {}", client, version));
  }

  void on_disconnected(std::uint32_t code, std::string_view reason) override {
    log.push_back(fmt::format("disconnected {} {}", code, reason));
  }

  void on_message(std::string_view data) override {
    log.push_back(fmt::format("message {}", data));
  }

  void on_error(const ClientError& error) override {
    log.push_back(fmt::format("error {}", error.context));
  }

  void on_token_needed(std::uint64_t ticket) override { tickets.push_back(ticket); }

  void on_server_subscribed(std::string_view channel, const SubscribedContext& context) override {
    log.push_back(fmt::format(
        "{} subscribed{}{} at {}", channel, context.was_recovering ? " recovering" : "",
        context.recovered ? " recovered" : "",
        context.position
            ? fmt::format("{}:{}", context.position->epoch, context.position->offset.value)
            : "nowhere"));
    if (!context.data.empty()) {
      log.push_back(fmt::format("{} data {}", channel, context.data));
    }
    if (on_server_each) {
      on_server_each();
    }
  }

  void on_server_publication(std::string_view channel, const Publication& publication) override {
    log.push_back(
        fmt::format("{} publication {} {}", channel, publication.offset.value, publication.data));
    if (on_server_each) {
      on_server_each();
    }
  }

  void on_server_gap(std::string_view channel, const Gap& gap) override {
    log.push_back(fmt::format("{} gap {} to {}", channel, gap.from.value, gap.to.value));
  }

  void on_server_join(std::string_view channel, const ClientInfo& info) override {
    log.push_back(fmt::format("{} join {}", channel, info.user));
  }

  void on_server_leave(std::string_view channel, const ClientInfo& info) override {
    log.push_back(fmt::format("{} leave {}", channel, info.user));
  }

  void on_server_unsubscribed(std::string_view channel, std::uint32_t code,
                              std::string_view reason) override {
    log.push_back(fmt::format("{} unsubscribed {} {}", channel, code, reason));
  }

  // What the scripted server does.
  void server_opens() {
    session().on_transport_open(now);
    flush();
  }

  void server_says(std::string_view text) {
    std::string padded(text);
    padded.append(ws::kMessagePadding, '#');
    session().on_transport_message({padded.data(), text.size()}, now);
    flush();
  }

  void server_closes(std::uint16_t code, std::string_view reason = "reason") {
    session().on_transport_closed(code, reason, now);
    flush();
  }

  // Until nothing is due within `duration`, in the steps that next_wakeup asks for.
  void wait(Duration duration) {
    const TimePoint until = now + duration;
    while (session().next_wakeup() <= until) {
      now = std::max(now, session().next_wakeup());
      session().on_timer(now);
      flush();
    }
    now = until;
  }

  // Through the delay of a reconnect, up to the next attempt.
  void wait_for_attempt() {
    const int before = opened;
    for (int tries = 0; opened == before && tries < 100; ++tries) {
      wait(milliseconds(500));
    }
    ASSERT_GT(opened, before);
  }

  void connect() {
    session().connect(now);
    server_opens();
    sent.clear();
    server_says(R"({"id":1,"connect":{"client":"c1","version":"v","ping":25,"pong":true}})");
    log.clear();
  }

  // Reconnects after a loss and answers the connect.
  void reconnect() {
    wait_for_attempt();
    sent.clear();
    server_opens();
    server_says(fmt::format(R"({{"id":{},"connect":{{"client":"c2","ping":25,"pong":true}}}})",
                            sent_id("connect")));
    log.clear();
  }

  void subscribe(std::string channel, ClientSubscriptionOptions given = {}) {
    session().subscribe(SubscriptionId{++last_id}, std::move(channel), std::move(given), listener,
                        now);
    flush();
  }

  // Subscribed to "room" at epoch:offset, recoverable.
  void subscribe_recoverable(std::uint64_t offset) {
    subscribe("room");
    server_says(fmt::format(
        R"({{"id":{},"subscribe":{{"recoverable":true,"positioned":true,"epoch":"e","offset":{}}}}})",
        sent_id("subscribe"), offset));
    listener.log.clear();
    sent.clear();
  }

  void server_publishes(std::uint64_t offset) {
    server_says(fmt::format(R"({{"push":{{"channel":"room","pub":{{"data":{},"offset":{}}}}}}})",
                            offset * 10, offset));
  }

  // The id of the last command of this name that was sent; 0: none.
  unsigned sent_id(std::string_view command) const {
    unsigned found = 0;
    for (const std::string& message : sent) {
      const std::string name = fmt::format(",\"{}\":", command);
      for (std::size_t at = message.find(name); at != std::string::npos;
           at = message.find(name, at + 1)) {
        const std::size_t start = message.rfind("\"id\":", at) + 5;
        found = static_cast<unsigned>(std::stoul(message.substr(start, at - start)));
      }
    }
    return found;
  }

  ClientDone<void> expect_one(std::vector<std::string>& results) {
    return [&results](const ClientResult<void>& result) {
      results.push_back(result.has_value() ? "ok" : std::string(name(result.error().code)));
    };
  }

  ClientSession& session() {
    if (!session_) {
      session_ = std::make_unique<ClientSession>(options, decoder, Random(7), *this, *this);
    }
    return *session_;
  }

  void flush() { session().flush(); }

  ClientSessionOptions options;
  ServerLineDecoder decoder;
  Listener listener;
  TimePoint now{seconds(1000)};
  int opened = 0;
  TimePoint opened_at;
  std::size_t unsent = 0;
  Lines sent;
  Lines closed;
  Lines log;
  std::function<void()> on_server_each;  // at each of a server-side subscription's first events
  std::vector<std::uint64_t> tickets;
  std::uint64_t last_id = 0;

 private:
  std::unique_ptr<ClientSession> session_;
};

}  // namespace trunkline::session
