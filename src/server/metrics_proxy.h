// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "server/proxy_stats.h"

#include <prometheus/metric_family.h>

#include <vector>

namespace trunkline::server {

// What is told of backends; nothing when there are none. `shards`: all of them. Thread: any.
[[nodiscard]] std::vector<prometheus::MetricFamily> proxy_families(
    const std::vector<ProxyStats>& shards);

}  // namespace trunkline::server
