// SPDX-License-Identifier: Apache-2.0
//
// An application that the test is: it answers what waits, when and as it likes.
#pragma once

#include "session_fixture.h"

#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::session {

// Asks nobody: the test answers what waits.
class ManualApplication final : public Application {
 public:
  template <class Question, class Grant>
  struct Asked {
    Question question;
    Decide<Grant> decide;
  };

  [[nodiscard]] bool decides_connect(bool /*has_token*/) const override { return on_connect; }

  [[nodiscard]] bool decides_subscribe(std::string_view channel,
                                       const ChannelOptions& /*options*/) const override {
    return channel.starts_with("asked");
  }

  [[nodiscard]] bool decides_publish(std::string_view channel,
                                     const ChannelOptions& /*options*/) const override {
    return on_every_publish || channel.starts_with("asked");
  }

  [[nodiscard]] bool decides_refresh() const override { return on_refresh; }

  [[nodiscard]] bool takes_calls() const override { return true; }

  [[nodiscard]] bool takes_messages() const override { return on_message; }

  void connect(ConnectQuestion question, Decide<ConnectGrant> decide) override {
    connects.push_back({std::move(question), std::move(decide)});
  }

  void subscribe(SubscribeQuestion question, Decide<SubscribeGrant> decide) override {
    subscribes.push_back({std::move(question), std::move(decide)});
  }

  void publish(PublishQuestion question, Decide<PublishGrant> decide) override {
    publishes.push_back({std::move(question), std::move(decide)});
  }

  void refresh(Caller caller, Decide<RefreshGrant> decide) override {
    refreshes.push_back({std::move(caller), std::move(decide)});
  }

  [[nodiscard]] bool decides_sub_refresh(std::string_view channel,
                                         const ChannelOptions& /*options*/) const override {
    return on_sub_refresh && channel.starts_with("asked");
  }

  void sub_refresh(SubRefreshQuestion question, Decide<SubRefreshGrant> decide) override {
    sub_refreshes.push_back({std::move(question), std::move(decide)});
  }

  void forget(std::string_view client) override { forgotten.emplace_back(client); }

  void rpc(RpcQuestion question, Decide<RpcGrant> decide) override {
    calls.push_back({std::move(question), std::move(decide)});
  }

  void message(Caller caller, std::string data) override { messages.push_back(caller.user + data); }

  void subscribed(const std::string& client, std::string_view channel) override {
    channels.push_back(client.empty() ? "nobody" : std::string(channel));
  }

  void disconnected(Caller caller) override { gone.push_back(caller.user); }

  bool on_connect = false;
  bool on_refresh = false;
  bool on_every_publish = false;
  bool on_sub_refresh = false;
  bool on_message = true;
  std::deque<Asked<ConnectQuestion, ConnectGrant>> connects;
  std::deque<Asked<SubscribeQuestion, SubscribeGrant>> subscribes;
  std::deque<Asked<PublishQuestion, PublishGrant>> publishes;
  std::deque<Asked<Caller, RefreshGrant>> refreshes;
  std::deque<Asked<RpcQuestion, RpcGrant>> calls;
  std::vector<std::string> channels;
  std::vector<std::string> messages;
  std::deque<Asked<SubRefreshQuestion, SubRefreshGrant>> sub_refreshes;
  std::vector<std::string> gone;
  std::vector<std::string> forgotten;
};

class SessionApplicationTest : public SessionTest {
 protected:
  SessionApplicationTest() { environment.application = &application; }

  // Before the peers, whose end it is told.
  ~SessionApplicationTest() override { peers.clear(); }

  ManualApplication application;
};

inline std::unexpected<Refusal> refuse(std::uint32_t code, std::string message) {
  return std::unexpected(Refusal{code, std::move(message)});
}

}  // namespace trunkline::session
