// SPDX-License-Identifier: Apache-2.0
//
// The embedding program's handlers, asked on behalf of the sessions.
#pragma once

#include <trunkline/handlers.h>

#include "core/string_map.h"
#include "net/runtime.h"
#include "session/application.h"

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::server {

// Where answers go that may come from any thread, even after the server's end. Thread: any.
class Outlet {
 public:
  explicit Outlet(net::Runtime& runtime) : runtime_(&runtime) {}

  // False when the server has ended; the task is dropped then.
  bool post(hub::ShardId shard, net::Task task) {
    const std::lock_guard lock(mutex_);
    return runtime_ != nullptr && runtime_->post(shard, std::move(task));
  }

  // Before the runtime's end.
  void close() {
    const std::lock_guard lock(mutex_);
    runtime_ = nullptr;
  }

 private:
  std::mutex mutex_;
  net::Runtime* runtime_;
};

// Filled before the start, constant from then on.
struct Handlers {
  ConnectHandler connect;
  RefreshHandler refresh;
  MessageHandler message;
  DisconnectHandler disconnect;
  std::vector<std::pair<std::string, SubscribeHandler>> subscribe;  // by the channel's prefix
  std::vector<std::pair<std::string, PublishHandler>> publish;      // by the channel's prefix
  StringMap<RpcHandler> rpc;                                        // by method; "": any other
  std::function<void(std::string_view)> log;

  [[nodiscard]] bool empty() const {
    return !connect && !refresh && !message && !disconnect && subscribe.empty() &&
           publish.empty() && rpc.empty();
  }
};

// One shard's view of them. Thread: that shard.
class ShardHandlers final : public session::Application {
 public:
  // `handlers` must outlive it.
  ShardHandlers(const Handlers& handlers, std::shared_ptr<Outlet> outlet, hub::ShardId shard)
      : handlers_(handlers), outlet_(std::move(outlet)), shard_(shard) {}

  [[nodiscard]] bool decides_connect(bool has_token) const override;
  [[nodiscard]] bool decides_subscribe(std::string_view channel,
                                       const session::ChannelOptions& options) const override;
  [[nodiscard]] bool decides_publish(std::string_view channel,
                                     const session::ChannelOptions& options) const override;
  [[nodiscard]] bool decides_refresh() const override;
  [[nodiscard]] bool takes_calls() const override;
  // Whether there is a handler for it.
  [[nodiscard]] bool has_subscribe(std::string_view channel) const;
  [[nodiscard]] bool has_publish(std::string_view channel) const;
  [[nodiscard]] bool has_rpc(std::string_view method) const;
  [[nodiscard]] bool takes_messages() const override;
  void connect(session::ConnectQuestion question,
               session::Decide<session::ConnectGrant> decide) override;
  void subscribe(session::SubscribeQuestion question,
                 session::Decide<session::SubscribeGrant> decide) override;
  void publish(session::PublishQuestion question,
               session::Decide<session::PublishGrant> decide) override;
  void refresh(session::Caller caller, session::Decide<session::RefreshGrant> decide) override;
  void rpc(session::RpcQuestion question, session::Decide<std::string> decide) override;
  void message(session::Caller caller, std::string data) override;
  void disconnected(session::Caller caller) override;

 private:
  template <class Reply, class Grant, class Convert>
  void run(std::string_view what, Task<Answer<Reply>> task, session::Decide<Grant> decide,
           Convert convert);

  const Handlers& handlers_;
  const std::shared_ptr<Outlet> outlet_;
  const hub::ShardId shard_;
};

}  // namespace trunkline::server
