// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/admission.h"
#include "net/shard.h"
#include "server/proxy_stats.h"
#include "session/job_table.h"

#include <chrono>
#include <string>
#include <vector>

namespace trunkline::server {

// What is not counted on a shard.
struct ServerFacts {
  net::LimitOptions limits;
  std::chrono::seconds uptime{0};
  session::JobCounts jobs;
  std::vector<ProxyStats> proxies;  // by shard; none without backends
};

// The statistics of all shards as Prometheus text (exposition format 0.0.4). Thread: any.
[[nodiscard]] std::string metrics_text(const std::vector<net::ShardStats>& shards,
                                       const ServerFacts& facts);

}  // namespace trunkline::server
