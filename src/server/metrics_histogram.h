// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "session/stats.h"

#include <prometheus/client_metric.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace trunkline::server {

inline void add_to(session::LatencyHistogram& sum, const session::LatencyHistogram& histogram) {
  for (std::size_t i = 0; i < sum.counts.size(); ++i) {
    sum.counts[i] += histogram.counts[i];
  }
  sum.sum += histogram.sum;
}

// Prometheus counts each bucket with all below it.
[[nodiscard]] inline prometheus::ClientMetric histogram_metric(
    const session::LatencyHistogram& histogram) {
  prometheus::ClientMetric metric;
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    cumulative += histogram.counts[i];
    const bool last = i + 1 == histogram.counts.size();
    const double bound = std::chrono::duration<double>(histogram.upper_bound(i)).count();
    metric.histogram.bucket.push_back(
        {cumulative, last ? std::numeric_limits<double>::infinity() : bound});
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = std::chrono::duration<double>(histogram.sum).count();
  return metric;
}

}  // namespace trunkline::server
