// SPDX-License-Identifier: Apache-2.0
//
// Long-running commands. A job is started by a client's call, runs wherever its runner lets it run,
// and tells what it does in a channel of its own, `job:<id>`: progress, and one end.
//
//   state       what it waits for
//   kQueued     a place: too many run already
//   kRunning    its handler
//   kStopping   its handler, which was asked to stop; its end has been told
//   kOver       that it is forgotten: its channel still holds what it told
//
// A job whose end has been told counts until its handler has returned: one that never does keeps
// its place and nobody else's. All jobs of a server are in one table, on
// one shard, so the limits are exact without a lock.
#pragma once

#include <trunkline/error.h>

#include "core/string_map.h"
#include "core/timer_wheel.h"
#include "core/token_bucket.h"
#include "session/application.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::session {

struct JobOptions {
  // Jobs at once; 0: no limit. Anonymous clients have no user to count by.
  std::size_t per_client_max = 1;
  std::size_t per_user_max = 10;
  std::size_t total_max = 100;
  // Jobs that may wait for a place, in order; 0: none waits, it is refused.
  std::size_t queued_max = 0;
  // From when nobody watches any more until the job is cancelled; 0: at once.
  Duration grace = std::chrono::seconds(30);
  // From its start until it is ended; 0: for ever.
  Duration age_max = std::chrono::hours(1);
  // How long it is known whose job it was that is over: as long as its channel holds the result.
  Duration keep = std::chrono::minutes(5);
  // Of one job. What comes faster replaces what waits: progress is a state, not a log.
  Rate progress{.count = 20, .interval = std::chrono::seconds(1)};
};

enum class JobState : std::uint8_t { kQueued, kRunning, kStopping, kOver };

struct JobInfo {
  std::string id;
  std::string method;
  JobState state = JobState::kQueued;
  WallTime started;
};

// How jobs ended, since the start.
enum class JobEnd : std::uint8_t { kResult, kError, kCancelled, kAbandoned, kTooLong, kStopped };
inline constexpr std::size_t kJobEnds = 6;

struct JobCounts {
  std::size_t running = 0;  // handlers that were begun and have not returned
  std::size_t queued = 0;
  std::uint64_t started = 0;
  std::uint64_t refused = 0;
  std::array<std::uint64_t, kJobEnds> ended{};  // by JobEnd
};

// What the table lets happen. Called from inside its methods; none of these may call back into the
// table before it has returned.
class JobWorld {
 public:
  JobWorld() = default;
  JobWorld(const JobWorld&) = delete;
  JobWorld& operator=(const JobWorld&) = delete;
  virtual ~JobWorld() = default;

  // A fresh name for a job of this client's. It cannot be guessed: an anonymous client proves by it
  // that the job is its own.
  virtual std::string make_id(const Caller& owner) = 0;
  // Begins the handler; JobTable::progress and, once, JobTable::finished follow.
  virtual void run(const std::string& id, const RpcQuestion& question) = 0;
  // Asks a handler that was begun to stop. It finishes in its own time.
  virtual void stop(const std::string& id) = 0;
  // Publishes to the job's channel, in order: {"progress":…}, {"result":…} or {"error":{…}}.
  virtual void publish(const std::string& id, std::string data) = 0;
};

// Thread: owning shard.
class JobTable {
 public:
  static constexpr std::string_view kNamespace = "job";

  // All references must outlive the table.
  JobTable(const JobOptions& options, JobWorld& world, TimerWheel& timers);
  JobTable(const JobTable&) = delete;
  JobTable& operator=(const JobTable&) = delete;
  // Handlers that were not finished are not told.
  ~JobTable();

  [[nodiscard]] static std::string channel_of(std::string_view id);

  // Starts or queues a job, watched by the one who asks. Refusals: 106 for a limit that is reached,
  // with its name.
  [[nodiscard]] std::expected<std::string, Refusal> start(RpcQuestion question, Now now);

  // Of a handler. Raw JSON. Ignored when the job's end has been told.
  void progress(std::string_view id, std::string data, TimePoint now);
  // The handler has returned: with a result (raw JSON, empty for none), or not.
  void finished(std::string_view id, std::expected<std::string, Refusal> result, Now now);

  // Of a client. Only the user who started it may; false when there is no such job of theirs, or
  // its end has been told.
  bool cancel(std::string_view id, const Caller& caller, Now now);
  // Those of the caller's user, or of its connection when it has none; oldest first.
  [[nodiscard]] std::vector<JobInfo> list(const Caller& caller) const;

  // Whether it is not forgotten yet.
  [[nodiscard]] bool knows(std::string_view id) const { return find(id) != nullptr; }

  // Somebody began or ceased to watch.
  void watched(std::string_view id, TimePoint now);
  void unwatched(std::string_view id, TimePoint now);

  // The server stops: every job is told its end and asked to stop, and none starts any more.
  void stop(Now now);

  [[nodiscard]] JobCounts counts() const;

 private:
  struct Job;

  // The limit that keeps the caller from one more running job; empty: none.
  [[nodiscard]] std::string_view limit_reached(const Caller& caller) const;
  [[nodiscard]] bool is_owner(const Job& job, const Caller& caller) const;
  void run(Job& job, TimePoint now);
  void run_queued(TimePoint now);
  // Tells the end and asks the handler to stop.
  void end(Job& job, JobEnd how, TimePoint now);

  void ended(JobEnd how) { ++counts_.ended[static_cast<std::size_t>(how)]; }

  void over(Job& job, TimePoint now);
  void tell_progress(Job& job);
  void arm(Job& job);
  void on_timer(Job& job, TimePoint now);
  void count(const Caller& caller, bool more);
  [[nodiscard]] Job* find(std::string_view id) const;

  const JobOptions& options_;
  JobWorld& world_;
  TimerWheel& timers_;
  bool stopping_ = false;
  std::uint64_t last_number_ = 0;  // jobs in the order of their start
  StringMap<std::unique_ptr<Job>> jobs_;
  std::deque<Job*> queue_;
  std::deque<std::string> over_;  // oldest first
  JobCounts counts_;
  StringMap<std::size_t> by_client_;  // … of each connection
  StringMap<std::size_t> by_user_;    // … of each user
};

}  // namespace trunkline::session
