// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/shard.h"

#include <string>
#include <vector>

namespace trunkline::server {

// The statistics of all shards as Prometheus text (exposition format 0.0.4).
[[nodiscard]] std::string metrics_text(const std::vector<net::ShardStats>& shards,
                                       double uptime_seconds);

}  // namespace trunkline::server
