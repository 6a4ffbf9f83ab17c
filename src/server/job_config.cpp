// SPDX-License-Identifier: Apache-2.0
#include "server/job_config.h"

#include <limits>

namespace trunkline::server {

namespace {

constexpr std::int64_t kJobsMax = std::numeric_limits<std::int32_t>::max();

}  // namespace

void read_jobs(ConfigSection& section, JobConfig& out) {
  section.read("per_client_max", out.table.per_client_max, 0, kJobsMax);
  section.read("per_user_max", out.table.per_user_max, 0, kJobsMax);
  section.read("total_max", out.table.total_max, 0, kJobsMax);
  section.read("queued_max", out.table.queued_max, 0, kJobsMax);
  section.read("grace", out.table.grace);
  section.read("age_max", out.table.age_max);
  section.read("progress_rate", out.table.progress.count, 1, 1000);
  section.read("threads", out.threads, 1, 1024);
  section.read("yielding", out.yielding);
  section.read("history_size", out.history_size, 1, kJobsMax);
  section.read("history_ttl", out.table.keep);
  if (out.table.keep <= Duration{0}) {
    section.refuse("history_ttl", "must be longer than nothing: results are read from there");
  }
}

session::ChannelOptions job_channel_options(const JobConfig& config) {
  session::ChannelOptions options;
  options.history_size = config.history_size;
  options.history_ttl = config.table.keep;
  options.history_meta_ttl = config.table.keep;
  options.force_recovery = true;
  // Progress may have pushed out what a client missed; the newest is the result, or near it.
  options.on_lost = session::OnLost::kLatest;
  return options;
}

}  // namespace trunkline::server
