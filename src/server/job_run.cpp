// SPDX-License-Identifier: Apache-2.0
#include "server/job_run.h"

#include "server/job_host.h"
#include "server/json_view.h"

#include <utility>

namespace trunkline {

const std::string& Job::id() const {
  return run_->facts.id;
}

const std::string& Job::method() const {
  return run_->facts.method;
}

const std::string& Job::data() const {
  return run_->facts.data;
}

const Caller& Job::caller() const {
  return run_->facts.caller;
}

std::optional<std::chrono::steady_clock::time_point> Job::deadline() const {
  return run_->facts.deadline;
}

bool Job::cancelled() const {
  return run_->stop.stop_requested();
}

std::stop_token Job::stop_token() const {
  return run_->stop.get_token();
}

void Job::progress(std::string json) const {
  run_->progress(std::move(json));
}

void Job::post(std::move_only_function<void()> function) const {
  run_->post(std::move(function));
}

namespace server {

void JobRun::progress(std::string json) {
  std::optional<std::string> checked = checked_json(json);
  if (!checked.has_value()) {
    if (!complained_.exchange(true)) {
      outlet_->post(JobHost::kShard, [self = shared_from_this()](net::Shard& /*shard*/) {
        self->host_.complain(self->facts.method, "told progress that is not JSON");
      });
    }
    return;
  }
  const std::lock_guard lock(mutex_);
  const bool on_its_way = latest_.has_value();
  latest_ = std::move(checked);
  if (on_its_way) {
    return;
  }
  outlet_->post(JobHost::kShard, [self = shared_from_this()](net::Shard& /*shard*/) {
    std::optional<std::string> told;
    {
      const std::lock_guard inner(self->mutex_);
      told = std::exchange(self->latest_, std::nullopt);
    }
    self->host_.progress(self->facts.id, std::move(*told));
  });
}

}  // namespace server

}  // namespace trunkline
