// SPDX-License-Identifier: Apache-2.0
#include "server/metrics_proxy.h"

#include "server/metrics_histogram.h"

#include <prometheus/client_metric.h>

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

namespace trunkline::server {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily requests(const std::vector<ProxyStats>& shards) {
  MetricFamily family{"trunkline_proxy_requests_total",
                      "Questions to backends, by what they were about and how they ended",
                      MetricType::Counter,
                      {}};
  for (std::size_t kind = 0; kind < kProxyKinds; ++kind) {
    for (std::size_t outcome = 0; outcome < kProxyOutcomeNames.size(); ++outcome) {
      ClientMetric metric;
      for (const ProxyStats& shard : shards) {
        metric.counter.value += static_cast<double>(shard.kinds[kind].outcomes[outcome]);
      }
      if (metric.counter.value > 0) {
        metric.label.push_back({"kind", std::string(name(static_cast<ProxyKind>(kind)))});
        metric.label.push_back({"outcome", std::string(kProxyOutcomeNames[outcome])});
        family.metric.push_back(std::move(metric));
      }
    }
  }
  return family;
}

MetricFamily latency(const std::vector<ProxyStats>& shards) {
  MetricFamily family{"trunkline_proxy_duration_seconds",
                      "From a question to a backend to its answer, the wait for room included",
                      MetricType::Histogram,
                      {}};
  for (std::size_t kind = 0; kind < kProxyKinds; ++kind) {
    session::LatencyHistogram sum;
    for (const ProxyStats& shard : shards) {
      add_to(sum, shard.kinds[kind].latency);
    }
    ClientMetric metric = histogram_metric(sum);
    if (metric.histogram.sample_count > 0) {
      metric.label.push_back({"kind", std::string(name(static_cast<ProxyKind>(kind)))});
      family.metric.push_back(std::move(metric));
    }
  }
  return family;
}

// The sum over all shards for each backend.
MetricFamily by_backend(const std::vector<ProxyStats>& shards, MetricType type, const char* name,
                        const char* help,
                        const std::function<std::uint64_t(const ProxyBackendStats&)>& value) {
  MetricFamily family{name, help, type, {}};
  for (std::size_t i = 0; i < shards.front().backends.size(); ++i) {
    double sum = 0;
    for (const ProxyStats& shard : shards) {
      sum += static_cast<double>(value(shard.backends[i]));
    }
    ClientMetric metric;
    (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = sum;
    metric.label.push_back({"endpoint", shards.front().backends[i].endpoint});
    // Two whose URLs differ in the query only, or in whom they trust.
    metric.label.push_back({"backend", std::to_string(i)});
    family.metric.push_back(std::move(metric));
  }
  return family;
}

}  // namespace

std::vector<MetricFamily> proxy_families(const std::vector<ProxyStats>& shards) {
  if (shards.empty()) {
    return {};
  }
  using B = const ProxyBackendStats&;
  constexpr auto kGauge = MetricType::Gauge;
  constexpr auto kCounter = MetricType::Counter;
  return {requests(shards),
          latency(shards),
          by_backend(shards, kGauge, "trunkline_proxy_breakers_open",
                     "Shards that leave the backend alone now, or try it with one question",
                     [](B backend) { return backend.breaker == BreakerState::kClosed ? 0U : 1U; }),
          by_backend(shards, kGauge, "trunkline_proxy_in_flight", "Questions on their way now",
                     [](B backend) { return backend.http.in_flight; }),
          by_backend(shards, kGauge, "trunkline_proxy_waiting", "Questions that wait for room now",
                     [](B backend) { return backend.http.waiting; }),
          by_backend(shards, kGauge, "trunkline_proxy_idle_connections",
                     "Connections kept for later questions now",
                     [](B backend) { return backend.http.idle; }),
          by_backend(shards, kCounter, "trunkline_proxy_connections_total",
                     "Connections that were begun", [](B backend) { return backend.http.dialled; }),
          by_backend(shards, kCounter, "trunkline_proxy_sent_again_total",
                     "Questions that found a kept connection closed",
                     [](B backend) { return backend.http.sent_again; })};
}

}  // namespace trunkline::server
