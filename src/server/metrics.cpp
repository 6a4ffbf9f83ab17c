// SPDX-License-Identifier: Apache-2.0
#include "server/metrics.h"

#include <trunkline/version.h>

#include "server/metrics_histogram.h"
#include "server/metrics_proxy.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <functional>
#include <map>

namespace trunkline::server {

namespace {

using net::ShardStats;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class Families {
 public:
  explicit Families(const std::vector<ShardStats>& shards) : shards_(shards) {}

  // The sum over all shards.
  void add(MetricType type, const char* name, const char* help,
           const std::function<std::uint64_t(const ShardStats&)>& value) {
    double sum = 0;
    for (const ShardStats& shard : shards_) {
      sum += static_cast<double>(value(shard));
    }
    add_value(type, name, help, sum);
  }

  void add_value(MetricType type, const char* name, const char* help, double value) {
    MetricFamily family{name, help, type, {}};
    family.metric.push_back(metric(type, value));
    families_.push_back(std::move(family));
  }

  // The sum over all shards by a code.
  template <class Code>
  void add_by_code(
      const char* name, const char* help,
      const std::function<const std::map<Code, std::uint64_t>&(const ShardStats&)>& values) {
    std::map<Code, std::uint64_t> sums;
    for (const ShardStats& shard : shards_) {
      for (const auto& [code, count] : values(shard)) {
        sums[code] += count;
      }
    }
    MetricFamily family{name, help, MetricType::Counter, {}};
    for (const auto& [code, count] : sums) {
      ClientMetric counted = metric(MetricType::Counter, static_cast<double>(count));
      counted.label.push_back({"code", std::to_string(code)});
      family.metric.push_back(std::move(counted));
    }
    families_.push_back(std::move(family));
  }

  // Several values of one family, told apart by a label.
  void add_labelled(MetricType type, const char* name, const char* help, const char* label,
                    const std::vector<std::pair<std::string, double>>& values) {
    MetricFamily family{name, help, type, {}};
    for (const auto& [text, value] : values) {
      ClientMetric made = metric(type, value);
      made.label.push_back({label, text});
      family.metric.push_back(std::move(made));
    }
    families_.push_back(std::move(family));
  }

  void add_latency() {
    session::LatencyHistogram sum;
    for (const ShardStats& shard : shards_) {
      add_to(sum, shard.session.command_latency);
    }
    families_.push_back({"trunkline_command_duration_seconds",
                         "From a command's arrival to its reply in the outbox",
                         MetricType::Histogram,
                         {histogram_metric(sum)}});
  }

  // Made by somebody else.
  void add_family(MetricFamily family) { families_.push_back(std::move(family)); }

  void add_build() {
    ClientMetric one = metric(MetricType::Gauge, 1);
    one.label.push_back({"version", TRUNKLINE_VERSION});
    families_.push_back({"trunkline_build", "Always 1", MetricType::Gauge, {one}});
  }

  [[nodiscard]] std::string text() const {
    return prometheus::TextSerializer().Serialize(families_);
  }

 private:
  static ClientMetric metric(MetricType type, double value) {
    ClientMetric made;
    (type == MetricType::Counter ? made.counter.value : made.gauge.value) = value;
    return made;
  }

  const std::vector<ShardStats>& shards_;
  std::vector<MetricFamily> families_;
};

void add_hub(Families& families) {
  using S = const ShardStats&;
  constexpr auto kGauge = MetricType::Gauge;
  constexpr auto kCounter = MetricType::Counter;
  families.add(kGauge, "trunkline_subscriptions", "Subscriptions now",
               [](S shard) { return shard.hub.feeds.subscriptions; });
  families.add(kGauge, "trunkline_channels", "Channels with subscribers now",
               [](S shard) { return shard.hub.home.channels; });
  families.add(kCounter, "trunkline_publications_total", "Publications accepted",
               [](S shard) { return shard.hub.home.publications; });
  families.add(kCounter, "trunkline_publications_delayed_total",
               "Publications that waited because every subscriber was behind",
               [](S shard) { return shard.hub.home.delayed; });
  families.add(kCounter, "trunkline_deliveries_total", "Publications handed to subscribers",
               [](S shard) { return shard.hub.feeds.deliveries; });
  families.add(kCounter, "trunkline_delivered_bytes_total",
               "Bytes of the publications handed to subscribers",
               [](S shard) { return shard.hub.feeds.delivered_bytes; });
  families.add(kCounter, "trunkline_subscribers_lost_total",
               "Times a subscriber was told that the log no longer holds what comes next",
               [](S shard) { return shard.hub.feeds.lost; });
  families.add(kGauge, "trunkline_replay_logs", "Replay logs, with or without publications",
               [](S shard) { return shard.hub.engine.logs; });
  families.add(kGauge, "trunkline_replay_bytes", "Memory of all replay logs",
               [](S shard) { return shard.hub.engine.memory_bytes; });
  families.add(kCounter, "trunkline_replay_evicted_publications_total",
               "Publications forgotten because the total memory was reached",
               [](S shard) { return shard.hub.engine.evicted_publications; });
}

void add_connections(Families& families) {
  using S = const ShardStats&;
  constexpr auto kGauge = MetricType::Gauge;
  constexpr auto kCounter = MetricType::Counter;
  families.add(kGauge, "trunkline_connections", "WebSocket connections now",
               [](S shard) { return shard.websockets; });
  families.add(kGauge, "trunkline_clients", "Connections with a successful connect command now",
               [](S shard) { return shard.session.connected; });
  families.add(kCounter, "trunkline_connections_opened_total", "TCP connections accepted",
               [](S shard) { return shard.connection.opened; });
  families.add(kCounter, "trunkline_handshakes_refused_total",
               "HTTP requests and WebSocket handshakes refused",
               [](S shard) { return shard.connection.refused_handshakes; });
  families.add(kCounter, "trunkline_sent_bytes_total", "Bytes written to sockets",
               [](S shard) { return shard.connection.sent_bytes; });
  families.add(kCounter, "trunkline_received_bytes_total", "Bytes of messages from clients",
               [](S shard) { return shard.session.received_bytes; });
  families.add(kCounter, "trunkline_commands_total", "Commands from clients",
               [](S shard) { return shard.session.commands; });
  families.add(kCounter, "trunkline_recoveries_total", "Subscriptions resumed without a gap",
               [](S shard) { return shard.session.recoveries; });
  families.add(kCounter, "trunkline_failed_recoveries_total",
               "Subscriptions that were told that they could not be resumed",
               [](S shard) { return shard.session.failed_recoveries; });
  families.add(kGauge, "trunkline_outbox_bytes", "Bytes that wait for sockets, in all outboxes",
               [](S shard) { return shard.outbox_bytes; });
  families.add(kCounter, "trunkline_outbox_refused_total", "Frames that did not fit an outbox",
               [](S shard) { return shard.connection.outbox.refused; });
  families.add(kCounter, "trunkline_outbox_high_water_total",
               "Times that an outbox reached its high-water mark",
               [](S shard) { return shard.connection.outbox.high_water; });
  families.add(kCounter, "trunkline_stalls_total", "Times that a client's socket took no more",
               [](S shard) { return shard.connection.stalls; });
  families.add(kGauge, "trunkline_connections_blocked", "Connections whose socket is full now",
               [](S shard) { return shard.connection.blocked; });
  families.add(kGauge, "trunkline_cursors_behind",
               "Subscriptions whose publications wait in the log for their socket now",
               [](S shard) { return shard.cursors_behind; });
}

void add_endings(Families& families, const std::vector<ShardStats>& shards) {
  std::vector<std::pair<std::string, double>> endings;
  for (std::size_t i = 0; i < net::kEndingNames.size(); ++i) {
    double sum = 0;
    for (const ShardStats& shard : shards) {
      sum += static_cast<double>(shard.connection.endings[i]);
    }
    endings.emplace_back(net::kEndingNames[i], sum);
  }
  families.add_labelled(MetricType::Counter, "trunkline_connections_ended_total",
                        "WebSocket connections that have come to their end", "how", endings);
}

void add_limits(Families& families, const std::vector<ShardStats>& shards,
                const ServerFacts& facts) {
  using S = const ShardStats&;
  constexpr auto kGauge = MetricType::Gauge;
  constexpr auto kCounter = MetricType::Counter;
  net::AdmissionStats door;
  net::MemoryUse memory;
  for (const ShardStats& shard : shards) {
    // The others' are empty.
    if (shard.admission.has_value()) {
      door = *shard.admission;
    }
    memory.evictable += shard.memory.evictable;
    memory.fixed += shard.memory.fixed;
  }
  families.add_value(kGauge, "trunkline_sockets", "TCP connections now: WebSockets and HTTP",
                     static_cast<double>(door.connections));
  families.add_value(kGauge, "trunkline_remote_addresses",
                     "Addresses (IPv6: /64) that have connections now",
                     static_cast<double>(door.addresses));
  std::vector<std::pair<std::string, double>> refused;
  for (std::size_t i = 0; i < net::kRefusals; ++i) {
    refused.emplace_back(net::name(static_cast<net::Refusal>(i)),
                         static_cast<double>(door.refused[i]));
  }
  families.add_labelled(kCounter, "trunkline_connections_refused_total",
                        "Connections and handshakes refused because of a limit", "reason", refused);
  families.add_value(kGauge, "trunkline_handshakes_waiting",
                     "Handshakes that wait for client.connection_rate_limit now",
                     static_cast<double>(door.handshakes_waiting));
  families.add_value(kCounter, "trunkline_handshakes_delayed_total",
                     "Handshakes that had to wait for client.connection_rate_limit",
                     static_cast<double>(door.handshakes_delayed));
  families.add(kCounter, "trunkline_commands_refused_total",
               "Commands above a client's rate, answered with error 111",
               [](S shard) { return shard.session.refused_commands; });
  families.add_labelled(kGauge, "trunkline_memory_bytes", "Memory by the server's own account",
                        "part",
                        {{"evictable", static_cast<double>(memory.evictable)},
                         {"fixed", static_cast<double>(memory.fixed)}});
  families.add_labelled(
      kGauge, "trunkline_limit", "What the configuration allows; 0: no limit", "limit",
      {{"connections", static_cast<double>(facts.limits.connections_max)},
       {"connections_per_address", static_cast<double>(facts.limits.connections_per_address_max)},
       {"handshakes_per_second", static_cast<double>(facts.limits.handshakes_per_second)},
       {"memory_bytes", static_cast<double>(facts.limits.memory_bytes_max)}});
}

void add_jobs(Families& families, const session::JobCounts& jobs) {
  families.add_value(MetricType::Gauge, "trunkline_jobs_running",
                     "Jobs whose handler has not returned", static_cast<double>(jobs.running));
  families.add_value(MetricType::Gauge, "trunkline_jobs_queued", "Jobs that wait for a place",
                     static_cast<double>(jobs.queued));
  families.add_value(MetricType::Counter, "trunkline_jobs_started_total",
                     "Jobs begun or put in line", static_cast<double>(jobs.started));
  families.add_value(MetricType::Counter, "trunkline_jobs_refused_total",
                     "Jobs refused because of a limit (106)", static_cast<double>(jobs.refused));
  static constexpr std::array<const char*, session::kJobEnds> kNames = {
      "result", "error", "cancelled", "abandoned", "too_long", "stopped"};
  std::vector<std::pair<std::string, double>> ended;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    ended.emplace_back(kNames[i], static_cast<double>(jobs.ended[i]));
  }
  families.add_labelled(MetricType::Counter, "trunkline_jobs_ended_total", "Jobs by how they ended",
                        "how", ended);
}

}  // namespace

std::string metrics_text(const std::vector<ShardStats>& shards, const ServerFacts& facts) {
  Families families(shards);
  families.add_build();
  families.add_value(MetricType::Gauge, "trunkline_shards", "Threads that serve connections",
                     static_cast<double>(shards.size()));
  families.add_value(MetricType::Gauge, "trunkline_uptime_seconds", "Since the start",
                     static_cast<double>(facts.uptime.count()));
  add_connections(families);
  add_endings(families, shards);
  add_limits(families, shards, facts);
  add_hub(families);
  families.add_by_code<std::uint32_t>(
      "trunkline_error_replies_total", "Commands answered with an error, by code",
      [](const ShardStats& shard) -> const auto& { return shard.session.error_replies; });
  families.add_by_code<std::uint16_t>(
      "trunkline_disconnects_total", "Connections ended by the server, by code",
      [](const ShardStats& shard) -> const auto& { return shard.session.disconnects; });
  families.add_latency();
  add_jobs(families, facts.jobs);
  for (MetricFamily& family : proxy_families(facts.proxies)) {
    families.add_family(std::move(family));
  }
  return families.text();
}

}  // namespace trunkline::server
