// SPDX-License-Identifier: Apache-2.0
//
// The jobs of a server: their table, which lives on one shard so that its limits are exact, and
// what the table lets happen: handlers on threads, publications in channels.
#pragma once

#include "core/string_map.h"
#include "net/blocking_threads.h"
#include "net/runtime.h"
#include "server/ended.h"
#include "server/handlers.h"
#include "server/job_config.h"
#include "server/job_ids.h"
#include "server/job_run.h"
#include "server/outlet.h"
#include "server/proxied_jobs.h"
#include "session/application.h"
#include "session/job_table.h"
#include "session/options.h"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::server {

class JobHost final : private session::JobWorld {
 public:
  static constexpr hub::ShardId kShard = 0;

  // `config`, `rules` and `handlers` must outlive it. Before the shards run.
  JobHost(const JobConfig& config, const session::ChannelRules& rules, const Handlers& handlers,
          std::shared_ptr<Outlet> outlet);
  ~JobHost() override;

  [[nodiscard]] static bool is_job_channel(std::string_view channel);
  // Whether the method is a job's, job.cancel or job.list. Thread: any.
  [[nodiscard]] bool takes(std::string_view method) const;

  // Thread: any shard's, from which the answer is asked.
  void call(hub::ShardId from, session::RpcQuestion question,
            session::Decide<session::RpcGrant> decide);
  // Thread: any.
  [[nodiscard]] bool may_watch(std::string_view channel, std::string_view user) const;
  // Those of `asked` that the user may go on watching. Thread: any.
  [[nodiscard]] std::vector<session::ServerChannel> resumed(
      std::string_view user, std::span<const std::string> asked) const;
  // A client has the channel, or has gone. Thread: any shard's, in their order.
  void watched(const std::string& client, std::string_view channel);
  void gone(const std::string& client);

  // On kShard, before it runs: where the jobs live, and who asks backends there; null where there
  // are none.
  void live_on(net::Shard& shard, ShardProxy* proxy);
  // Tells every job its end and asks the handlers to stop; no job starts any more. `told` is called
  // on kShard when all ends are published. Before the shards end. Thread: any.
  void begin_stop(std::move_only_function<void()> told);
  // Waits for handlers. Logs which have not ended; they touch nothing of the server. Thread: any,
  // when the shards have ended.
  void end_stop(Duration timeout);

  // Thread: kShard.
  void progress(std::string_view id, std::string json);
  void complain(std::string_view method, std::string_view of_what);
  [[nodiscard]] session::JobCounts counts() const;

 private:
  // session::JobWorld
  std::string make_id(const session::Caller& owner) override;
  void run(const std::string& id, const session::RpcQuestion& question) override;
  void stop(const std::string& id) override;
  void publish(const std::string& id, std::string data) override;

  std::expected<session::RpcGrant, session::Refusal> handle(session::RpcQuestion question);
  [[nodiscard]] std::string list(const session::Caller& caller) const;
  void published(const std::string& id, const Result<Position>& where);
  void begin(const std::shared_ptr<JobRun>& run, std::shared_ptr<const JobMethod> method);
  void finished(const std::string& id, Ended<std::string> ended);

  const JobConfig& config_;
  const hub::ChannelSettings settings_;
  const Handlers& handlers_;
  const std::shared_ptr<Outlet> outlet_;
  const std::shared_ptr<net::BlockingThreads> threads_;  // shared with what runs there
  const JobIds ids_;
  // Thread: kShard.
  net::Shard* shard_ = nullptr;
  std::optional<session::JobTable> table_;
  std::optional<ProxiedJobs> proxied_;
  StringMap<std::shared_ptr<JobRun>> runs_;  // by id; handlers that have not returned
  std::size_t publishing_ = 0;
  std::move_only_function<void()> told_;         // when nothing is being published
  StringMap<std::vector<std::string>> watched_;  // ids by client
};

}  // namespace trunkline::server
