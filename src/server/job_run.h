// SPDX-License-Identifier: Apache-2.0
//
// What a job's handler holds of its job: it may outlive the server.
#pragma once

#include <trunkline/job.h>

#include "net/blocking_threads.h"
#include "server/outlet.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

namespace trunkline::server {

class JobHost;

struct JobFacts {
  std::string id;
  std::string method;
  std::string data;
  Caller caller;
  std::optional<std::chrono::steady_clock::time_point> deadline;
};

class JobRun : public std::enable_shared_from_this<JobRun> {
 public:
  // `host` is touched only on its shard's thread, through the outlet.
  JobRun(JobFacts its_facts, JobHost& host, std::shared_ptr<Outlet> outlet,
         std::shared_ptr<net::BlockingThreads> threads)
      : facts(std::move(its_facts)),
        host_(host),
        outlet_(std::move(outlet)),
        threads_(std::move(threads)) {}

  const JobFacts facts;
  std::stop_source stop;
  std::atomic<bool> ended = false;  // the handler has returned

  // However often it is called, one message is on its way to the host.
  void progress(std::string json);

  void post(std::move_only_function<void()> function) { threads_->post(std::move(function)); }

 private:
  JobHost& host_;
  const std::shared_ptr<Outlet> outlet_;
  const std::shared_ptr<net::BlockingThreads> threads_;
  std::mutex mutex_;
  std::optional<std::string> latest_;     // with mutex_; on its way
  std::atomic<bool> complained_ = false;  // of something that was not JSON
};

}  // namespace trunkline::server
