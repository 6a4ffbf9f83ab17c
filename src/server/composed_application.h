// SPDX-License-Identifier: Apache-2.0
//
// The embedding program's handlers and the configured backends on one shard. What a handler is
// there for, it decides; the rest goes to the backend, where there is one for it.
#pragma once

#include "server/handlers.h"
#include "server/shard_proxy.h"
#include "session/application.h"

#include <memory>
#include <utility>

namespace trunkline::server {

// Thread: owning shard.
class ComposedApplication final : public session::Application {
 public:
  ComposedApplication(std::unique_ptr<ShardHandlers> handlers, std::unique_ptr<ShardProxy> proxy)
      : handlers_(std::move(handlers)), proxy_(std::move(proxy)) {}

  [[nodiscard]] bool decides_connect(bool has_token) const override {
    return handlers_->decides_connect(has_token) || proxy_->decides_connect(has_token);
  }

  [[nodiscard]] bool decides_subscribe(std::string_view channel,
                                       const session::ChannelOptions& options) const override {
    return handlers_->decides_subscribe(channel, options) ||
           proxy_->decides_subscribe(channel, options);
  }

  [[nodiscard]] bool decides_publish(std::string_view channel,
                                     const session::ChannelOptions& options) const override {
    return handlers_->decides_publish(channel, options) ||
           proxy_->decides_publish(channel, options);
  }

  [[nodiscard]] bool decides_refresh() const override {
    return handlers_->decides_refresh() || proxy_->decides_refresh();
  }

  [[nodiscard]] bool decides_sub_refresh(std::string_view channel,
                                         const session::ChannelOptions& options) const override {
    return proxy_->decides_sub_refresh(channel, options);
  }

  [[nodiscard]] bool takes_calls() const override {
    return handlers_->takes_calls() || proxy_->takes_calls();
  }

  [[nodiscard]] bool takes_messages() const override { return handlers_->takes_messages(); }

  void connect(session::ConnectQuestion question,
               session::Decide<session::ConnectGrant> decide) override;
  void subscribe(session::SubscribeQuestion question,
                 session::Decide<session::SubscribeGrant> decide) override;
  void publish(session::PublishQuestion question,
               session::Decide<session::PublishGrant> decide) override;
  void refresh(session::Caller caller, session::Decide<session::RefreshGrant> decide) override;
  void sub_refresh(session::SubRefreshQuestion question,
                   session::Decide<session::SubRefreshGrant> decide) override;
  void rpc(session::RpcQuestion question, session::Decide<session::RpcGrant> decide) override;

  void message(session::Caller caller, std::string data) override {
    handlers_->message(std::move(caller), std::move(data));
  }

  void subscribed(const std::string& client, std::string_view channel) override {
    handlers_->subscribed(client, channel);
  }

  void disconnected(session::Caller caller) override { handlers_->disconnected(std::move(caller)); }

  void forget(std::string_view client) override { proxy_->forget(client); }

  [[nodiscard]] const ShardProxy& proxy() const { return *proxy_; }

 private:
  const std::unique_ptr<ShardHandlers> handlers_;
  const std::unique_ptr<ShardProxy> proxy_;
};

}  // namespace trunkline::server
