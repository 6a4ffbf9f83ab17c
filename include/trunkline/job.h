// SPDX-License-Identifier: Apache-2.0
//
// Long-running commands. A client calls the method of a job as an rpc and is answered at once with
// {"job":id,"channel":"job:<id>"}; what the job tells, {"progress":…} and then one {"result":…} or
// {"error":{"code":…,"message":…}}, are publications of that channel, which the client, or another
// one of the same user, resumes after a lost connection like any other.
//
//   server.on_job("rescan", [&](Job job) -> Answer<std::string> {
//     for (std::size_t i = 0; i < blocks.size() && !job.cancelled(); ++i) {
//       scan(blocks[i]);
//       job.progress(std::to_string(i));
//     }
//     return R"({"found":3})";
//   });
#pragma once

#include <trunkline/handlers.h>
#include <trunkline/task.h>

#include <chrono>
#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace trunkline {

namespace server {
class JobRun;
}

// One job, for its handler. Copies are the same job; they may outlive the server. Thread: any.
class Job {
 public:
  // What `co_await job.worker()` gives.
  class Worker;

  explicit Job(std::shared_ptr<server::JobRun> run) : run_(std::move(run)) {}

  [[nodiscard]] const std::string& id() const;
  [[nodiscard]] const std::string& method() const;
  // JSON text that came with the call; empty: none.
  [[nodiscard]] const std::string& data() const;
  // Who called.
  [[nodiscard]] const Caller& caller() const;

  // When it will be cancelled for having taken too long (trunkline.jobs.age_max); none: never.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> deadline() const;

  // Whether it should end: its client or its user's said so, nobody waits for it any more, it took
  // too long, or the server stops. Its end has been told then: what the handler returns is not.
  [[nodiscard]] bool cancelled() const;
  // The same, with callbacks: to end what the handler waits for. They run on the thread that
  // cancels, one of the server's, and must be short.
  [[nodiscard]] std::stop_token stop_token() const;

  // Tells how far it is, as JSON text. A state, not a log: what comes faster than
  // trunkline.jobs.progress_rate replaces what has not been told yet. Never blocks. What is not
  // JSON is left out, with a line in the log.
  void progress(std::string json) const;

  // The job threads, as an executor: runs the function on one of them when one is free, also while
  // the server stops and after.
  void post(std::move_only_function<void()> function) const;

  // `co_await job.worker()`: a coroutine goes on on a job thread, where it may block. A handler
  // begins on one.
  [[nodiscard]] Worker worker() const;

 private:
  std::shared_ptr<server::JobRun> run_;
};

class Job::Worker {
 public:
  explicit Worker(Job job) : job_(std::move(job)) {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }

  void await_suspend(std::coroutine_handle<> awaiting) const {
    job_.post([awaiting] { awaiting.resume(); });
  }

  void await_resume() const noexcept {}

 private:
  Job job_;
};

inline Job::Worker Job::worker() const {
  return Worker(*this);
}

// The answer is the result as JSON text (empty: none) or why there is none; one that throws ends
// its job with error 100 and a line in the log. Both kinds begin on one of the job threads
// (trunkline.jobs.threads), and may block there: one that never returns keeps its thread and its
// place among the jobs, and nothing else.
using JobHandler = std::function<Answer<std::string>(Job)>;
using JobCoroutine = std::function<Task<Answer<std::string>>(Job)>;

}  // namespace trunkline
