// SPDX-License-Identifier: Apache-2.0
#include "server/config_limits.h"

#include "core/token_bucket.h"

#include <limits>
#include <utility>
#include <vector>

namespace trunkline::server {

namespace {

// Each is looked at with each command.
constexpr std::size_t kBucketsMax = 8;
// More than a server can do; below what a token's nanoseconds can tell apart.
constexpr std::int64_t kRateMax = 1'000'000;
constexpr Duration kIntervalMax = std::chrono::hours(24);

// {"enabled":true,"buckets":[{"interval":"1s","rate":100}]}: each bucket applies.
std::vector<Rate> read_buckets(ConfigSection& section) {
  bool enabled = false;
  section.read("enabled", enabled);
  std::vector<Rate> rates;
  section.list("buckets", [&rates](ConfigSection& bucket) {
    Rate rate{.count = 0, .interval = std::chrono::seconds(1)};
    bucket.read("interval", rate.interval);
    bucket.read("rate", rate.count, 1, kRateMax);
    if (rate.count == 0) {
      bucket.refuse("rate", "must be there: how many an interval");
    }
    if (rate.interval < std::chrono::milliseconds(1) || rate.interval > kIntervalMax) {
      bucket.refuse("interval", "must be from 1ms to 24h");
    }
    rates.push_back(rate);
  });
  if (enabled && (rates.empty() || rates.size() > kBucketsMax)) {
    section.refuse("buckets", "must be a list of 1 to 8 buckets");
  }
  return enabled ? rates : std::vector<Rate>{};
}

// {"enabled":true,"total":{…}}
std::vector<Rate> read_total(ConfigSection& section) {
  bool enabled = false;
  section.read("enabled", enabled);
  std::vector<Rate> rates;
  section.section("total", [&rates](ConfigSection& total) { rates = read_buckets(total); });
  return enabled ? rates : std::vector<Rate>{};
}

void read_rate_limit(ConfigSection& section, ServerConfig& config) {
  section.section("client_command", [&config](ConfigSection& commands) {
    config.client.command_rates = read_total(commands);
  });
  section.section("client_error", [&config](ConfigSection& errors) {
    config.client.error_rates = read_total(errors);
  });
  section.section("ip_connect", [&config](ConfigSection& address) {
    bool enabled = false;
    std::size_t connections = 0;
    address.read("enabled", enabled);
    address.read("max_concurrent_per_ip", connections, 0, std::numeric_limits<int>::max());
    config.limits.connections_per_address_max = enabled ? connections : 0;
  });
}

}  // namespace

void read_client_limits(ConfigSection& client, ServerConfig& config) {
  client.read("connection_limit", config.limits.connections_max, 0, kMany);
  client.read("connection_rate_limit", config.limits.handshakes_per_second, 0, kRateMax);
  client.read("user_connection_limit", config.client.user_connection_limit, 0, kMany);
  client.read("channel_limit", config.client.channel_limit, 1, 1'000'000);
  client.read("stale_close_delay", config.client.stale_close_delay);
  client.read("queue_max_size", config.outbox.high_water_bytes, 1, kMany);
  client.section("rate_limit",
                 [&config](ConfigSection& section) { read_rate_limit(section, config); });
}

}  // namespace trunkline::server
