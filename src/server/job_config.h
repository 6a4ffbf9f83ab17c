// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "server/config_reader.h"
#include "server/proxy_config.h"
#include "session/job_table.h"
#include "session/options.h"

#include <cstddef>
#include <functional>
#include <map>
#include <string>

namespace trunkline::server {

struct JobConfig {
  session::JobOptions table;
  unsigned threads = 16;
  bool yielding = true;  // these threads give way to those that serve clients
  std::map<std::string, ProxyPlace, std::less<>> proxied;  // jobs of backends, by method
  std::size_t history_size = 100;  // publications of a job's channel, which are kept for table.keep
};

// The section `trunkline.jobs`.
void read_jobs(ConfigSection& section, JobConfig& out);

// The namespace of jobs' channels: history and recovery for all, permissions for none.
[[nodiscard]] session::ChannelOptions job_channel_options(const JobConfig& config);

}  // namespace trunkline::server
