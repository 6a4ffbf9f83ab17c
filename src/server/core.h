// SPDX-License-Identifier: Apache-2.0
//
// What a server is made of, put together: configuration, verifier, shards, HTTP routes, snapshots.
#pragma once

#include <trunkline/hub.h>
#include <trunkline/server.h>

#include "core/token_bucket.h"
#include "net/runtime.h"
#include "server/composed_application.h"
#include "server/config.h"
#include "server/handlers.h"
#include "server/job_host.h"
#include "server/jwt.h"
#include "server/local_subscriber.h"
#include "server/snapshots.h"
#include "server/worker_pool.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::server {

class Core {
 public:
  Core(ServerConfig config, ServerOptions options);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core();

  [[nodiscard]] Result<void> start();
  // Reads the certificate again, for connections that come from now on.
  [[nodiscard]] Result<void> reload_certificate();
  void stop(Duration timeout);

  [[nodiscard]] net::Runtime& runtime() { return runtime_; }

  [[nodiscard]] Snapshots& snapshots() { return snapshots_; }

  // To be filled before start().
  [[nodiscard]] Handlers& handlers() { return handlers_; }

  [[nodiscard]] WorkerPool& workers() { return workers_; }

  [[nodiscard]] const ServerConfig& config() const { return config_; }

  [[nodiscard]] const std::string& node() const { return node_; }

  [[nodiscard]] std::chrono::seconds uptime() const;
  [[nodiscard]] std::string url() const;

  [[nodiscard]] Hub& hub() { return hub_; }

  // The settings of a channel; nullopt when its namespace does not exist.
  [[nodiscard]] std::optional<hub::ChannelSettings> settings(std::string_view channel) const;

  // The subscribers inside the process on one shard. Thread: that shard.
  [[nodiscard]] LocalSubscribers& locals(hub::ShardId shard) { return locals_[shard]; }

  // One line for the operator. Thread: any.
  void log(std::string_view line);

 private:
  [[nodiscard]] net::RuntimeOptions runtime_options();
  void prepare(net::Shard& shard);
  void stop_jobs(Duration timeout);
  void add_application(net::Shard& shard);
  void answer_metrics(net::Shard& shard, net::HttpRespond respond);
  // The program's page, else the server's own file, else 404.
  [[nodiscard]] net::HttpResponse page_at(std::string_view path) const;
  void handle(net::Shard& shard, net::HttpRequest request, net::HttpRespond respond);

  const ServerConfig config_;
  const ServerOptions options_;
  const std::string node_;  // a fresh id a start
  const TimePoint started_;
  static constexpr Rate kLogRate{.count = 200, .interval = std::chrono::seconds(1)};
  std::mutex log_mutex_;
  TokenBucket log_rate_{kLogRate};        // with log_mutex_
  std::uint64_t log_lines_left_out_ = 0;  // with log_mutex_
  Jwt authenticator_;
  Snapshots snapshots_;
  Handlers handlers_;  // before the runtime, whose sessions ask them to their end
  WorkerPool workers_;
  ProxyTls proxy_tls_;
  net::Runtime runtime_;
  std::shared_ptr<Outlet> outlet_;
  std::unique_ptr<JobHost> jobs_;  // none without a job's handler
  std::vector<std::unique_ptr<ShardSnapshots>> shard_snapshots_;
  std::vector<std::unique_ptr<session::Application>> applications_;
  std::vector<ShardProxy*> shard_proxies_;  // by shard; none without backends
  std::vector<LocalSubscribers> locals_;
  Hub hub_;
  bool running_ = false;
};

}  // namespace trunkline::server
