// SPDX-License-Identifier: Apache-2.0
#include "session/job_table.h"

#include "core/assert.h"
#include "core/probe.h"
#include "session/json.h"
#include "session/protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace trunkline::session {

namespace {

constexpr TimePoint kNever = TimePoint::max();
// Jobs that are over and not yet forgotten.
constexpr std::size_t kOverMax = 10'000;

// Errors of a job's end that the server gives, beside the handler's own.
constexpr std::uint32_t kErrorCancelled = 120;

std::string error_event(const Refusal& why) {
  JsonText json;
  json.raw(R"({"error":{"code":)").number(why.code).raw(R"(,"message":)").string(why.message);
  json.raw(why.temporary ? R"(,"temporary":true}})" : "}}");
  return json.take();
}

std::string_view text_of(JobEnd how) {
  switch (how) {
    case JobEnd::kAbandoned:
      return "nobody waits for it";
    case JobEnd::kTooLong:
      return "it took too long";
    case JobEnd::kStopped:
      return "the server stops";
    default:
      return "cancelled";
  }
}

std::string event(std::string_view name, std::string_view data) {
  JsonText json;
  json.raw(R"({")").raw(name).raw(R"(":)").raw(data.empty() ? "null" : data).raw("}");
  return json.take();
}

}  // namespace

struct JobTable::Job final : Timer {
  Job(JobTable& its_table, std::string its_id, RpcQuestion asked, Now now)
      : table(its_table),
        id(std::move(its_id)),
        question(std::move(asked)),
        started(now.wall),
        rate(its_table.options_.progress) {}

  void on_timer(TimePoint now) override { table.on_timer(*this, now); }

  JobTable& table;
  const std::string id;
  RpcQuestion question;
  std::uint64_t number = 0;
  JobState state = JobState::kQueued;
  WallTime started;
  std::size_t watchers = 1;
  TokenBucket rate;
  std::optional<std::string> progress;  // waits for its rate
  TimePoint progress_at = kNever;
  TimePoint abandoned_at = kNever;  // end of the grace
  TimePoint ends_at = kNever;       // of its age, or of being remembered
};

JobTable::JobTable(const JobOptions& options, JobWorld& world, TimerWheel& timers)
    : options_(options), world_(world), timers_(timers) {}

JobTable::~JobTable() = default;

std::string JobTable::channel_of(std::string_view id) {
  return fmt::format("{}:{}", kNamespace, id);
}

JobTable::Job* JobTable::find(std::string_view id) const {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : found->second.get();
}

bool JobTable::is_owner(const Job& job, const Caller& caller) const {
  const Caller& owner = job.question.caller;
  return owner.user.empty() ? caller.user.empty() : owner.user == caller.user;
}

// — places —

std::string_view JobTable::limit_reached(const Caller& caller) const {
  const auto reached = [](const StringMap<std::size_t>& counts, const std::string& name,
                          std::size_t most) {
    const auto found = counts.find(name);
    return most > 0 && found != counts.end() && found->second >= most;
  };
  if (reached(by_client_, caller.client, options_.per_client_max)) {
    return "jobs of a connection";
  }
  if (!caller.user.empty() && reached(by_user_, caller.user, options_.per_user_max)) {
    return "jobs of a user";
  }
  return options_.total_max > 0 && counts_.running >= options_.total_max ? "jobs of the server"
                                                                         : "";
}

void JobTable::count(const Caller& caller, bool more) {
  const auto change = [more](StringMap<std::size_t>& counts, const std::string& name) {
    std::size_t& value = counts[name];
    value = more ? value + 1 : value - 1;
    if (value == 0) {
      counts.erase(name);
    }
  };
  counts_.running = more ? counts_.running + 1 : counts_.running - 1;
  change(by_client_, caller.client);
  if (!caller.user.empty()) {
    change(by_user_, caller.user);
  }
}

std::expected<std::string, Refusal> JobTable::start(RpcQuestion question, Now now) {
  if (stopping_) {
    ++counts_.refused;
    return std::unexpected(Refusal{kErrorNotAvailable.code, "the server stops", true});
  }
  const std::string_view limit = limit_reached(question.caller);
  const bool waits = !limit.empty() || !queue_.empty();
  if (!limit.empty() && queue_.size() >= options_.queued_max) {
    ++counts_.refused;
    return std::unexpected(
        Refusal{kErrorLimitExceeded.code, fmt::format("limit exceeded: {}", limit), true});
  }
  ++counts_.started;
  std::string name = world_.make_id(question.caller);
  auto made = std::make_unique<Job>(*this, std::move(name), std::move(question), now);
  Job& job = *made;
  job.number = ++last_number_;
  jobs_.emplace(job.id, std::move(made));
  queue_.push_back(&job);
  if (waits) {
    TRUNKLINE_SOMETIMES("job waits for a place");
  }
  const std::string id = job.id;
  run_queued(now.monotonic);
  return id;
}

// In order, but one that its own client or user keeps waiting holds up nobody else.
void JobTable::run_queued(TimePoint now) {
  for (std::size_t i = 0; i < queue_.size() && !stopping_;) {
    Job& job = *queue_[i];
    if (limit_reached(job.question.caller).empty()) {
      queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i));
      run(job, now);
    } else {
      ++i;
    }
  }
}

void JobTable::run(Job& job, TimePoint now) {
  job.state = JobState::kRunning;
  count(job.question.caller, true);
  job.ends_at = options_.age_max > Duration{0} ? now + options_.age_max : kNever;
  arm(job);
  world_.run(job.id, job.question);
}

// — what handlers say —

void JobTable::progress(std::string_view id, std::string data, TimePoint now) {
  Job* job = find(id);
  if (job == nullptr || job->state != JobState::kRunning) {
    return;
  }
  job->progress = std::move(data);
  if (job->progress_at != kNever) {
    TRUNKLINE_SOMETIMES("progress replaces progress");
    return;
  }
  if (job->rate.try_take(now)) {
    tell_progress(*job);
  } else {
    job->progress_at = now + options_.progress.interval / std::max(options_.progress.count, 1U);
    arm(*job);
  }
}

void JobTable::tell_progress(Job& job) {
  job.progress_at = kNever;
  if (job.progress.has_value()) {
    world_.publish(job.id, event("progress", *std::exchange(job.progress, std::nullopt)));
  }
}

void JobTable::finished(std::string_view id, std::expected<std::string, Refusal> result, Now now) {
  Job* job = find(id);
  if (job == nullptr || job->state == JobState::kOver) {
    return;
  }
  TRUNKLINE_ASSERT(job->state != JobState::kQueued);
  if (job->state == JobState::kRunning) {
    tell_progress(*job);
    ended(result.has_value() ? JobEnd::kResult : JobEnd::kError);
    world_.publish(job->id,
                   result.has_value() ? event("result", *result) : error_event(result.error()));
  }
  count(job->question.caller, false);
  over(*job, now.monotonic);
  run_queued(now.monotonic);
}

// — ends —

void JobTable::end(Job& job, JobEnd how, TimePoint now) {
  ended(how);
  const bool was_running = job.state == JobState::kRunning;
  if (was_running) {
    tell_progress(job);
    job.state = JobState::kStopping;
    job.abandoned_at = job.ends_at = job.progress_at = kNever;
    arm(job);
  } else {
    std::erase(queue_, &job);
    over(job, now);
  }
  world_.publish(job.id, error_event({kErrorCancelled, std::string(text_of(how)), false, false}));
  if (was_running) {
    world_.stop(job.id);
  }
}

void JobTable::over(Job& job, TimePoint now) {
  job.state = JobState::kOver;
  job.question.data.clear();
  job.progress.reset();
  job.progress_at = job.abandoned_at = kNever;
  job.ends_at = now + options_.keep;
  arm(job);
  over_.push_back(job.id);
  if (over_.size() > kOverMax) {
    jobs_.erase(over_.front());
    over_.pop_front();
  }
}

bool JobTable::cancel(std::string_view id, const Caller& caller, Now now) {
  Job* job = find(id);
  if (job == nullptr || !is_owner(*job, caller) || job->state == JobState::kStopping ||
      job->state == JobState::kOver) {
    return false;
  }
  end(*job, JobEnd::kCancelled, now.monotonic);
  return true;
}

void JobTable::stop(Now now) {
  stopping_ = true;
  std::vector<Job*> ending;
  for (const auto& [id, job] : jobs_) {
    if (job->state == JobState::kQueued || job->state == JobState::kRunning) {
      ending.push_back(job.get());
    }
  }
  std::ranges::sort(ending, {}, &Job::number);
  for (Job* job : ending) {
    end(*job, JobEnd::kStopped, now.monotonic);
  }
}

// — who watches —

std::vector<JobInfo> JobTable::list(const Caller& caller) const {
  std::vector<const Job*> own;
  for (const auto& [id, job] : jobs_) {
    const Caller& owner = job->question.caller;
    const bool mine = caller.user.empty() ? owner.client == caller.client : is_owner(*job, caller);
    if (mine && job->state != JobState::kOver) {
      own.push_back(job.get());
    }
  }
  std::ranges::sort(own, {}, &Job::number);
  std::vector<JobInfo> infos;
  infos.reserve(own.size());
  for (const Job* job : own) {
    infos.push_back({job->id, job->question.method, job->state, job->started});
  }
  return infos;
}

JobCounts JobTable::counts() const {
  JobCounts counts = counts_;
  counts.queued = queue_.size();
  return counts;
}

void JobTable::watched(std::string_view id, TimePoint /*now*/) {
  if (Job* job = find(id)) {
    ++job->watchers;
    job->abandoned_at = kNever;
    arm(*job);
  }
}

void JobTable::unwatched(std::string_view id, TimePoint now) {
  Job* job = find(id);
  if (job == nullptr || job->watchers == 0 || --job->watchers > 0) {
    return;
  }
  if (job->state == JobState::kQueued || job->state == JobState::kRunning) {
    if (options_.grace <= Duration{0}) {
      end(*job, JobEnd::kAbandoned, now);
      return;
    }
    job->abandoned_at = now + options_.grace;
    arm(*job);
  }
}

// — time —

void JobTable::arm(Job& job) {
  const TimePoint due = std::min({job.progress_at, job.abandoned_at, job.ends_at});
  if (due == kNever) {
    timers_.disarm(job);
  } else {
    timers_.arm(job, due);
  }
}

void JobTable::on_timer(Job& job, TimePoint now) {
  if (job.state == JobState::kOver) {
    if (now >= job.ends_at) {
      std::erase(over_, job.id);
      jobs_.erase(std::string(job.id));
      return;
    }
  } else if (now >= job.ends_at) {
    end(job, JobEnd::kTooLong, now);
    return;
  } else if (now >= job.abandoned_at) {
    TRUNKLINE_SOMETIMES("job is abandoned");
    end(job, JobEnd::kAbandoned, now);
    run_queued(now);
    return;
  }
  if (now >= job.progress_at) {
    job.rate.charge(now);
    tell_progress(job);
  }
  arm(job);
}

}  // namespace trunkline::session
