// SPDX-License-Identifier: Apache-2.0
//
// The embedding program's handlers, asked on behalf of the sessions.
#pragma once

#include <trunkline/handlers.h>
#include <trunkline/job.h>

#include "core/string_map.h"
#include "server/outlet.h"
#include "session/application.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::server {

class JobHost;

// One of a job's two kinds. Kept by the jobs that run it, too: they may outlive the server.
struct JobMethod {
  JobHandler function;
  JobCoroutine coroutine;
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
  StringMap<std::shared_ptr<const JobMethod>> jobs;                 // by method
  std::function<void(std::string_view)> log;

  [[nodiscard]] bool empty() const {
    return !connect && !refresh && !message && !disconnect && subscribe.empty() &&
           publish.empty() && rpc.empty() && jobs.empty();
  }
};

// One shard's view of them. Thread: that shard.
class ShardHandlers final : public session::Application {
 public:
  // `handlers` must outlive it, and `jobs`, which may be null: there are none then.
  ShardHandlers(const Handlers& handlers, std::shared_ptr<Outlet> outlet, JobHost* jobs,
                hub::ShardId shard)
      : handlers_(handlers), outlet_(std::move(outlet)), jobs_(jobs), shard_(shard) {}

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
  void rpc(session::RpcQuestion question, session::Decide<session::RpcGrant> decide) override;
  void message(session::Caller caller, std::string data) override;
  void subscribed(const std::string& client, std::string_view channel) override;
  void disconnected(session::Caller caller) override;

 private:
  [[nodiscard]] bool is_job(std::string_view channel) const;
  // Runs the task that `begin` gives; it ends with an Answer<Reply>.
  template <class Reply, class Grant, class Begin, class Convert>
  void run(std::string_view what, Begin begin, session::Decide<Grant> decide, Convert convert);
  // What a handler that answers nothing throws goes to the log.
  template <class Function>
  void guarded(std::string_view what, Function function) const;

  const Handlers& handlers_;
  const std::shared_ptr<Outlet> outlet_;
  JobHost* const jobs_;
  const hub::ShardId shard_;
};

}  // namespace trunkline::server
