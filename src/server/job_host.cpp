// SPDX-License-Identifier: Apache-2.0
#include "server/job_host.h"

#include "server/ended.h"
#include "server/json_view.h"
#include "session/json.h"
#include "session/permissions.h"
#include "session/protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::server {

namespace {

using session::JobTable;
using session::RpcGrant;

constexpr std::string_view kCancel = "job.cancel";
constexpr std::string_view kList = "job.list";
// Of one client, before those that are forgotten are left out.
constexpr std::size_t kWatchedMany = 16;

std::string_view id_of(std::string_view channel) {
  return channel.substr(JobTable::kNamespace.size() + 1);
}

std::string_view state_name(session::JobState state) {
  switch (state) {
    case session::JobState::kQueued:
      return "queued";
    case session::JobState::kRunning:
      return "running";
    default:
      return "stopping";
  }
}

// {"job":"…"}
std::optional<std::string> named_job(const std::string& data) {
  const Result<JsonMembers> members = json_members(data);
  if (!members.has_value()) {
    return std::nullopt;
  }
  const std::string* text = find_member(*members, "job");
  if (text == nullptr || text->size() < 2 || text->front() != '"') {
    return std::nullopt;
  }
  return text->substr(1, text->size() - 2);  // an id has nothing that would be escaped
}

}  // namespace

JobHost::JobHost(const JobConfig& config, const session::ChannelRules& rules,
                 const Handlers& handlers, std::shared_ptr<Outlet> outlet)
    : config_(config),
      settings_(session::channel_settings(rules, job_channel_options(config))),
      handlers_(handlers),
      outlet_(std::move(outlet)),
      threads_(std::make_shared<net::BlockingThreads>(config.threads, config.yielding)) {}

JobHost::~JobHost() = default;

bool JobHost::is_job_channel(std::string_view channel) {
  return channel.size() > JobTable::kNamespace.size() &&
         channel.starts_with(JobTable::kNamespace) && channel[JobTable::kNamespace.size()] == ':';
}

bool JobHost::takes(std::string_view method) const {
  return method == kCancel || method == kList || handlers_.jobs.contains(method) ||
         config_.proxied.contains(method);
}

// — from the sessions —

void JobHost::call(hub::ShardId from, session::RpcQuestion question,
                   session::Decide<RpcGrant> decide) {
  outlet_->post(kShard, [this, from, question = std::move(question),
                         decide = std::move(decide)](net::Shard& /*shard*/) mutable {
    outlet_->post(from, [answer = handle(std::move(question)), decide = std::move(decide)](
                            net::Shard& /*shard*/) mutable { decide(std::move(answer)); });
  });
}

bool JobHost::may_watch(std::string_view channel, std::string_view user) const {
  return is_job_channel(channel) && ids_.is_of(id_of(channel), user);
}

std::vector<session::ServerChannel> JobHost::resumed(std::string_view user,
                                                     std::span<const std::string> asked) const {
  std::vector<session::ServerChannel> channels;
  for (const std::string& channel : asked) {
    if (may_watch(channel, user)) {
      channels.push_back({.channel = channel});
    }
  }
  return channels;
}

void JobHost::watched(const std::string& client, std::string_view channel) {
  outlet_->post(kShard, [this, client, id = std::string(id_of(channel))](net::Shard& shard) {
    std::vector<std::string>& ids = watched_[client];
    if (ids.size() >= kWatchedMany) {
      std::erase_if(ids, [this](const std::string& known) { return !table_->knows(known); });
    }
    if (table_->knows(id) && std::ranges::find(ids, id) == ids.end()) {
      ids.push_back(id);
      table_->watched(id, shard.environment().now.monotonic);
    }
  });
}

void JobHost::gone(const std::string& client) {
  outlet_->post(kShard, [this, client](net::Shard& shard) {
    const auto found = watched_.find(client);
    if (found == watched_.end()) {
      return;
    }
    const std::vector<std::string> ids = std::move(found->second);
    watched_.erase(found);
    for (const std::string& id : ids) {
      table_->unwatched(id, shard.environment().now.monotonic);
    }
  });
}

// — on the shard of the jobs —

void JobHost::live_on(net::Shard& shard, ShardProxy* proxy) {
  shard_ = &shard;
  JobWorld& world = *this;
  table_.emplace(config_.table, world, shard.environment().timers);
  if (proxy != nullptr) {
    proxied_.emplace(
        *proxy, shard, outlet_,
        ProxiedJobs::Hooks{
            .progress = [this](const std::string& id,
                               std::string data) { progress(id, std::move(data)); },
            .finished =
                [this](const std::string& id, std::expected<std::string, session::Refusal> result) {
                  table_->finished(id, std::move(result), shard_->environment().now);
                },
            .complain = [this](std::string_view method,
                               std::string_view of_what) { complain(method, of_what); }});
  }
}

std::expected<RpcGrant, session::Refusal> JobHost::handle(session::RpcQuestion question) {
  const Now now = shard_->environment().now;
  if (question.method == kList) {
    return RpcGrant{list(question.caller), {}};
  }
  if (question.method == kCancel) {
    const std::optional<std::string> id = named_job(question.data);
    if (!id.has_value()) {
      return std::unexpected(
          session::Refusal{session::kErrorBadRequest.code, R"(data must be {"job":"<id>"})"});
    }
    if (!table_->cancel(*id, question.caller, now)) {
      return std::unexpected(
          session::Refusal{session::kErrorNotAvailable.code, "no such job is under way"});
    }
    return RpcGrant{};
  }
  const std::string client = question.caller.client;
  const std::expected<std::string, session::Refusal> id = table_->start(std::move(question), now);
  if (!id.has_value()) {
    return std::unexpected(id.error());
  }
  watched_[client].push_back(*id);
  const std::string channel = JobTable::channel_of(*id);
  session::JsonText json;
  json.open().member("job").string(*id).member("channel").string(channel).close();
  // From the beginning: the job may have told something before the subscription stands.
  return RpcGrant{json.take(),
                  session::ServerChannel{.channel = channel, .since = Position{"", Offset{0}}}};
}

std::string JobHost::list(const session::Caller& caller) const {
  session::JsonText json;
  json.raw(R"({"jobs":[)");
  for (const session::JobInfo& job : table_->list(caller)) {
    const auto started = job.started.time_since_epoch();
    json.raw(json.view().back() == '[' ? "" : ",").open();
    json.member("job").string(job.id);
    json.member("channel").string(JobTable::channel_of(job.id));
    json.member("method").string(job.method);
    json.member("state").string(state_name(job.state));
    json.member("started").number(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(started).count()));
    json.close();
  }
  json.raw("]}");
  return json.take();
}

void JobHost::progress(std::string_view id, std::string json) {
  table_->progress(id, std::move(json), shard_->environment().now.monotonic);
}

void JobHost::complain(std::string_view method, std::string_view of_what) {
  handlers_.log(fmt::format("the handler of job '{}' {}", method, of_what));
}

session::JobCounts JobHost::counts() const {
  return table_->counts();
}

// — what the table lets happen —

std::string JobHost::make_id(const session::Caller& owner) {
  return ids_.make(owner.user);
}

void JobHost::run(const std::string& id, const session::RpcQuestion& question) {
  const auto method = handlers_.jobs.find(question.method);
  if (method == handlers_.jobs.end()) {
    proxied_->run(id, config_.proxied.find(question.method)->second, question);
    return;
  }
  const Duration age = config_.table.age_max;
  const auto now = shard_->environment().now.monotonic.time_since_epoch();
  const auto deadline = age > Duration{0}
                            ? std::optional(std::chrono::steady_clock::time_point(now + age))
                            : std::nullopt;
  auto run = std::make_shared<JobRun>(
      JobFacts{.id = id,
               .method = question.method,
               .data = question.data,
               .caller = {question.caller.client, question.caller.user, question.caller.info},
               .deadline = deadline},
      *this, outlet_, threads_);
  runs_.emplace(id, run);
  begin(run, method->second);
}

void JobHost::begin(const std::shared_ptr<JobRun>& run, std::shared_ptr<const JobMethod> method) {
  auto tell = [this, outlet = outlet_, run, method](std::optional<Answer<std::string>> answer,
                                                    const std::exception_ptr& thrown) mutable {
    Ended<std::string> ended = ended_with(std::move(answer), thrown);
    run->ended = true;
    outlet->post(kShard, [this, id = run->facts.id, ended = std::move(ended)](
                             net::Shard& /*shard*/) mutable { finished(id, std::move(ended)); });
  };
  threads_->post([run, method = std::move(method), tell = std::move(tell)]() mutable {
    if (run->stop.stop_requested()) {
      tell(Answer<std::string>{}, {});  // it ended while it waited for a thread
      return;
    }
    if (method->coroutine) {
      run_handler([&] { return method->coroutine(Job(run)); }, std::move(tell));
      return;
    }
    std::optional<Answer<std::string>> answer;
    std::exception_ptr thrown;
    try {
      answer.emplace(method->function(Job(run)));
    } catch (...) {
      thrown = std::current_exception();
    }
    tell(std::move(answer), thrown);
  });
}

void JobHost::finished(const std::string& id, Ended<std::string> ended) {
  const auto found = runs_.find(id);
  const std::string method = found->second->facts.method;
  runs_.erase(found);
  std::expected<std::string, session::Refusal> result =
      std::unexpected(to_refusal(session::kErrorInternal));
  if (!ended.has_value()) {
    complain(method, "threw: " + ended.error());
  } else if (!ended->has_value()) {
    const Refusal& why = ended->error();
    result = std::unexpected(session::Refusal{why.code, why.message, why.temporary, false});
  } else if (std::optional<std::string> data =
                 (*ended)->empty() ? std::string{} : checked_json(**ended)) {
    result = std::move(*data);
  } else {
    complain(method, "gave a result that is not JSON");
  }
  table_->finished(id, std::move(result), shard_->environment().now);
}

void JobHost::stop(const std::string& id) {
  if (const auto found = runs_.find(id); found != runs_.end()) {
    // Callbacks of the handler's: they may not come back into the table, which only posts.
    found->second->stop.request_stop();
  } else if (proxied_.has_value()) {
    proxied_->stop(id);
  }
}

void JobHost::publish(const std::string& id, std::string data) {
  ++publishing_;
  shard_->hub().publish(
      {.channel = JobTable::channel_of(id),
       .settings = settings_,
       .publication = {.data = std::move(data), .info = {}, .tags = {}},
       .idempotency_key = {},
       .done = [this, id](const Result<Position>& where) { published(id, where); }},
      shard_->environment().now.monotonic);
}

void JobHost::published(const std::string& id, const Result<Position>& where) {
  if (!where.has_value()) {
    handlers_.log(fmt::format("what job {} told is lost: {}", id, to_string(where.error())));
  }
  if (--publishing_ == 0 && told_) {
    std::exchange(told_, nullptr)();
  }
}

// — the end —

void JobHost::begin_stop(std::move_only_function<void()> told) {
  outlet_->post(kShard, [this, told = std::move(told)](net::Shard& shard) mutable {
    ++publishing_;  // until all are under way
    told_ = std::move(told);
    table_->stop(shard.environment().now);
    if (--publishing_ == 0) {
      std::exchange(told_, nullptr)();
    }
  });
}

void JobHost::end_stop(Duration timeout) {
  for (const auto& [id, run] : runs_) {
    run->stop.request_stop();
  }
  threads_->stop(timeout);
  for (const auto& [id, run] : runs_) {
    if (!run->ended) {
      complain(run->facts.method, "has not ended: it is left to itself");
    }
  }
}

}  // namespace trunkline::server
