// SPDX-License-Identifier: Apache-2.0
#include "server/config_limits.h"

#include "server/config_options.h"

#include <gtest/gtest.h>

namespace trunkline::server {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

TEST(ConfigLimits, AreOffAsLongAsNobodySetsThem) {
  const ServerConfig config = good(from_json("{}"));
  EXPECT_EQ(config.limits.connections_max, 0U);
  EXPECT_EQ(config.limits.connections_per_address_max, 0U);
  EXPECT_EQ(config.limits.handshakes_per_second, 0U);
  EXPECT_EQ(config.limits.memory_bytes_max, 0U);
  EXPECT_TRUE(config.client.command_rates.empty());
  EXPECT_TRUE(config.client.error_rates.empty());
}

TEST(ConfigLimits, ReadTheRatesUnderTheNamesOfCentrifugo) {
  const ServerConfig config = good(from_json(R"({"client": {"rate_limit": {
      "client_command": {"enabled": true, "total": {"enabled": true, "buckets": [
          {"interval": "1s", "rate": 100}, {"interval": "1m", "rate": 1000}]}},
      "client_error": {"enabled": true, "total": {"enabled": true, "buckets": [
          {"interval": "5s", "rate": 20}]}},
      "ip_connect": {"enabled": true, "max_concurrent_per_ip": 20}}}})"));
  EXPECT_EQ(config.client.command_rates,
            (std::vector<Rate>{{.count = 100, .interval = seconds(1)},
                               {.count = 1000, .interval = minutes(1)}}));
  EXPECT_EQ(config.client.error_rates, (std::vector<Rate>{{.count = 20, .interval = seconds(5)}}));
  EXPECT_EQ(config.limits.connections_per_address_max, 20U);
}

TEST(ConfigLimits, WhatIsNotEnabledAtEachLevelIsOff) {
  for (const char* text :
       {R"({"total": {"enabled": true, "buckets": [{"interval": "1s", "rate": 1}]}})",
        R"({"enabled": true, "total": {"buckets": [{"interval": "1s", "rate": 1}]}})",
        R"({"enabled": true})"}) {
    const auto loaded =
        from_json(fmt::format(R"({{"client": {{"rate_limit": {{"client_command": {}}}}}}})", text));
    EXPECT_TRUE(good(loaded).client.command_rates.empty()) << text;
    EXPECT_TRUE(loaded->warnings.empty()) << text;
  }
  EXPECT_EQ(good(from_json(R"({"client": {"rate_limit": {"ip_connect": {
                               "max_concurrent_per_ip": 20}}}})"))
                .limits.connections_per_address_max,
            0U);
}

TEST(ConfigLimits, TakeBucketsFromTheEnvironmentAsJson) {
  const std::string prefix = "CENTRIFUGO_CLIENT_RATE_LIMIT_CLIENT_COMMAND_";
  const ServerConfig config =
      good(from_json("{}", {{prefix + "ENABLED", "true"},
                            {prefix + "TOTAL_ENABLED", "true"},
                            {prefix + "TOTAL_BUCKETS", R"([{"interval":"1s","rate":7}])"}}));
  EXPECT_EQ(config.client.command_rates, (std::vector<Rate>{{.count = 7, .interval = seconds(1)}}));
}

TEST(ConfigLimits, NameWhatIsWrongWithABucket) {
  const auto error = [](const char* buckets) {
    return error_of(
        from_json(fmt::format(R"({{"client": {{"rate_limit": {{"client_command": {{"enabled": true,
                        "total": {{"enabled": true, "buckets": {}}}}}}}}}}})",
                              buckets)));
  };
  const std::string key = "c.json: client.rate_limit.client_command.total.buckets";
  EXPECT_EQ(error("[]"), key + ": must be a list of 1 to 8 buckets");
  EXPECT_EQ(error("7"), key + ": must be a list of objects");
  EXPECT_EQ(error(R"([{"interval": "1s"}])"),
            key + "[0].rate: must be there: how many an interval");
  EXPECT_EQ(error(R"([{"interval": "1s", "rate": 0}])"),
            key + "[0].rate: 0 is not an integer from 1 to 1000000");
  EXPECT_EQ(error(R"([{"interval": "0", "rate": 1}])"),
            key + "[0].interval: must be from 1ms to 24h");
}

TEST(ConfigLimits, WarnOfRatesThatAreNotKnownHere) {
  const auto loaded = from_json(R"({"client": {"rate_limit": {"client_command": {
      "default": {"enabled": true}}}}})");
  good(loaded);
  EXPECT_EQ(loaded->warnings,
            (std::vector<std::string>{
                "c.json: unknown option 'client.rate_limit.client_command.default' is ignored"}));
}

}  // namespace
}  // namespace trunkline::server
