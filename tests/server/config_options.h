// SPDX-License-Identifier: Apache-2.0
//
// Every option of the configuration with a value that is not its default, and how to look at a
// loaded configuration: what the tests of the configuration share.
#pragma once

#include <trunkline/error.h>

#include "server/config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::server {

inline ServerConfig good(const Result<LoadedConfig>& loaded) {
  EXPECT_TRUE(loaded.has_value()) << (loaded.has_value() ? "" : to_string(loaded.error()));
  return loaded.has_value() ? loaded->config : ServerConfig{};
}

inline Result<LoadedConfig> from_json(std::string_view text,
                                      const EnvironmentVariables& variables = {}) {
  return load_config(text, ConfigFormat::kJson, "c.json", variables);
}

inline Result<LoadedConfig> from_yaml(std::string_view text,
                                      const EnvironmentVariables& variables = {}) {
  return load_config(text, ConfigFormat::kYaml, "c.yaml", variables);
}

inline std::string error_of(const Result<LoadedConfig>& loaded) {
  if (loaded.has_value()) {
    return "no error";
  }
  EXPECT_EQ(loaded.error().code, ErrorCode::kConfig);
  return loaded.error().context;
}

enum class Kind : std::uint8_t { kBool, kInteger, kText, kTime, kWords };

struct Option {
  const char* path;
  Kind kind;
  const char* value;  // as an environment variable has it; differs from the default
  std::string (*show)(const ServerConfig&);
};

inline std::string show(bool value) {
  return value ? "true" : "false";
}

inline std::string show(Duration value) {
  return fmt::format("{}ms", std::chrono::duration_cast<std::chrono::milliseconds>(value).count());
}

inline std::string show(const std::string& value) {
  return value;
}

inline std::string show(const std::vector<std::string>& value) {
  return fmt::format("{}", fmt::join(value, " "));
}

template <std::integral Integer>
std::string show(Integer value) {
  return std::to_string(value);
}

#define TRUNKLINE_SHOWS(member) [](const ServerConfig& config) { return show(config.member); }

inline const session::ChannelOptions& plain(const ServerConfig& config) {
  return config.channel.without_namespace;
}

#define TRUNKLINE_CHANNEL(member) \
  [](const ServerConfig& config) { return show(plain(config).member); }

inline constexpr Option kOptions[] = {
    {"http_server.address", Kind::kText, "10.0.0.1", TRUNKLINE_SHOWS(address)},
    {"http_server.port", Kind::kInteger, "9001", TRUNKLINE_SHOWS(port)},
    {"http_server.tls.cert_pem_file", Kind::kText, "a.pem", TRUNKLINE_SHOWS(tls.certificate_file)},
    {"http_server.tls.key_pem_file", Kind::kText, "a.key", TRUNKLINE_SHOWS(tls.key_file)},
    {"http_server.tls.client_ca_pem_file", Kind::kText, "ca.pem",
     TRUNKLINE_SHOWS(tls.client_ca_file)},
    {"http_server.tls.min_version", Kind::kText, "1.3", TRUNKLINE_SHOWS(tls.min_version)},
    {"http_api.key", Kind::kText, "12345", TRUNKLINE_SHOWS(http_api.key)},
    {"http_api.insecure", Kind::kBool, "true", TRUNKLINE_SHOWS(http_api.insecure)},
    {"log.level", Kind::kText, "trace", TRUNKLINE_SHOWS(log_level)},
    {"websocket.message_size_limit", Kind::kInteger, "1024", TRUNKLINE_SHOWS(message_size_limit)},
    {"websocket.compression", Kind::kBool, "true", TRUNKLINE_SHOWS(compression)},
    {"websocket.compression_level", Kind::kInteger, "5",
     TRUNKLINE_SHOWS(compression_settings.level)},
    {"websocket.compression_min_size", Kind::kInteger, "300",
     TRUNKLINE_SHOWS(compression_settings.threshold_bytes)},
    {"shutdown.timeout", Kind::kTime, "5000ms", TRUNKLINE_SHOWS(shutdown_timeout)},
    {"trunkline.shards", Kind::kInteger, "3", TRUNKLINE_SHOWS(shards)},
    {"trunkline.replay_bytes_max", Kind::kInteger, "5000000", TRUNKLINE_SHOWS(replay_bytes_max)},
    {"trunkline.io_uring", Kind::kBool, "false", TRUNKLINE_SHOWS(io_uring)},
    {"trunkline.catch_up_bytes_per_turn", Kind::kInteger, "70000",
     TRUNKLINE_SHOWS(catch_up_bytes_per_turn)},
    {"trunkline.publish_wait_max", Kind::kTime, "70000ms", TRUNKLINE_SHOWS(publish_wait_max)},
    {"trunkline.worker_threads", Kind::kInteger, "3", TRUNKLINE_SHOWS(worker_threads)},
    {"trunkline.calls_in_flight_max", Kind::kInteger, "3",
     TRUNKLINE_SHOWS(client.calls_in_flight_max)},
    {"trunkline.jobs.per_client_max", Kind::kInteger, "3",
     TRUNKLINE_SHOWS(jobs.table.per_client_max)},
    {"trunkline.jobs.per_user_max", Kind::kInteger, "3", TRUNKLINE_SHOWS(jobs.table.per_user_max)},
    {"trunkline.jobs.total_max", Kind::kInteger, "3", TRUNKLINE_SHOWS(jobs.table.total_max)},
    {"trunkline.jobs.queued_max", Kind::kInteger, "3", TRUNKLINE_SHOWS(jobs.table.queued_max)},
    {"trunkline.jobs.grace", Kind::kTime, "3000ms", TRUNKLINE_SHOWS(jobs.table.grace)},
    {"trunkline.jobs.age_max", Kind::kTime, "3000ms", TRUNKLINE_SHOWS(jobs.table.age_max)},
    {"trunkline.jobs.progress_rate", Kind::kInteger, "3",
     TRUNKLINE_SHOWS(jobs.table.progress.count)},
    {"trunkline.jobs.threads", Kind::kInteger, "3", TRUNKLINE_SHOWS(jobs.threads)},
    {"trunkline.jobs.yielding", Kind::kBool, "false", TRUNKLINE_SHOWS(jobs.yielding)},
    {"trunkline.jobs.history_size", Kind::kInteger, "3", TRUNKLINE_SHOWS(jobs.history_size)},
    {"trunkline.jobs.history_ttl", Kind::kTime, "3000ms", TRUNKLINE_SHOWS(jobs.table.keep)},
    {"trunkline.shutdown_rate", Kind::kInteger, "70", TRUNKLINE_SHOWS(shutdown_rate)},
    {"trunkline.outbox.high_water_bytes", Kind::kInteger, "70000",
     TRUNKLINE_SHOWS(outbox.high_water_bytes)},
    {"trunkline.outbox.write_deadline", Kind::kTime, "70000ms",
     TRUNKLINE_SHOWS(outbox.write_deadline)},
    {"trunkline.outbox.unsent_bytes_max", Kind::kInteger, "70000",
     TRUNKLINE_SHOWS(limits.unsent_bytes_max)},
    {"client.insecure", Kind::kBool, "true", TRUNKLINE_SHOWS(client.insecure)},
    {"client.allow_anonymous_connect_without_token", Kind::kBool, "true",
     TRUNKLINE_SHOWS(client.allow_anonymous_connect_without_token)},
    {"client.disallow_anonymous_connection_tokens", Kind::kBool, "true",
     TRUNKLINE_SHOWS(client.disallow_anonymous_connection_tokens)},
    {"client.connect_include_server_time", Kind::kBool, "true",
     TRUNKLINE_SHOWS(client.connect_include_server_time)},
    {"client.ping_interval", Kind::kTime, "60000ms", TRUNKLINE_SHOWS(client.ping_interval)},
    {"client.pong_timeout", Kind::kTime, "3000ms", TRUNKLINE_SHOWS(client.pong_timeout)},
    {"client.stale_close_delay", Kind::kTime, "1000ms", TRUNKLINE_SHOWS(client.stale_close_delay)},
    {"client.expired_close_delay", Kind::kTime, "2000ms",
     TRUNKLINE_SHOWS(client.expired_close_delay)},
    {"client.expired_sub_close_delay", Kind::kTime, "3000ms",
     TRUNKLINE_SHOWS(client.expired_sub_close_delay)},
    {"client.channel_limit", Kind::kInteger, "7", TRUNKLINE_SHOWS(client.channel_limit)},
    {"client.history_max_publication_limit", Kind::kInteger, "8",
     TRUNKLINE_SHOWS(client.history_max_publication_limit)},
    {"client.recovery_max_publication_limit", Kind::kInteger, "9",
     TRUNKLINE_SHOWS(client.recovery_max_publication_limit)},
    {"client.user_connection_limit", Kind::kInteger, "10",
     TRUNKLINE_SHOWS(client.user_connection_limit)},
    {"client.subscribe_to_user_personal_channel.enabled", Kind::kBool, "true",
     TRUNKLINE_SHOWS(client.personal_channel)},
    {"client.subscribe_to_user_personal_channel.personal_channel_namespace", Kind::kText, "own",
     TRUNKLINE_SHOWS(client.personal_channel_namespace)},
    {"client.connection_limit", Kind::kInteger, "11", TRUNKLINE_SHOWS(limits.connections_max)},
    {"client.connection_rate_limit", Kind::kInteger, "12",
     TRUNKLINE_SHOWS(limits.handshakes_per_second)},
    {"client.queue_max_size", Kind::kInteger, "1048576", TRUNKLINE_SHOWS(outbox.high_water_bytes)},
    {"trunkline.memory_limit", Kind::kInteger, "1000000000",
     TRUNKLINE_SHOWS(limits.memory_bytes_max)},
    {"trunkline.handshake_wait_max", Kind::kTime, "2000ms",
     TRUNKLINE_SHOWS(limits.handshake_wait_max)},
    {"client.allowed_origins", Kind::kWords, "https://a.example https://b.example",
     TRUNKLINE_SHOWS(client.allowed_origins)},
    {"client.token.hmac_secret_key", Kind::kText, "4711", TRUNKLINE_SHOWS(token.hmac_secret_key)},
    {"client.token.rsa_public_key", Kind::kText, "r", TRUNKLINE_SHOWS(token.rsa_public_key)},
    {"client.token.ecdsa_public_key", Kind::kText, "e", TRUNKLINE_SHOWS(token.ecdsa_public_key)},
    {"client.token.eddsa_public_key", Kind::kText, "d", TRUNKLINE_SHOWS(token.eddsa_public_key)},
    {"client.token.audience", Kind::kText, "a", TRUNKLINE_SHOWS(token.audience)},
    {"client.token.issuer", Kind::kText, "i", TRUNKLINE_SHOWS(token.issuer)},
    {"client.token.user_id_claim", Kind::kText, "uid", TRUNKLINE_SHOWS(token.user_id_claim)},
    {"channel.max_length", Kind::kInteger, "100", TRUNKLINE_SHOWS(channel.max_length)},
    {"channel.private_prefix", Kind::kText, "!", TRUNKLINE_SHOWS(channel.private_prefix)},
    {"channel.namespace_boundary", Kind::kText, "/", TRUNKLINE_SHOWS(channel.namespace_boundary)},
    {"channel.user_boundary", Kind::kText, "@", TRUNKLINE_SHOWS(channel.user_boundary)},
    {"channel.user_separator", Kind::kText, ";", TRUNKLINE_SHOWS(channel.user_separator)},
    {"channel.history_meta_ttl", Kind::kTime, "60000ms", TRUNKLINE_SHOWS(channel.history_meta_ttl)},
    {"channel.without_namespace.presence", Kind::kBool, "true", TRUNKLINE_CHANNEL(presence)},
    {"channel.without_namespace.join_leave", Kind::kBool, "true", TRUNKLINE_CHANNEL(join_leave)},
    {"channel.without_namespace.force_push_join_leave", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(force_push_join_leave)},
    {"channel.without_namespace.history_size", Kind::kInteger, "50",
     TRUNKLINE_CHANNEL(history_size)},
    {"channel.without_namespace.history_ttl", Kind::kTime, "70000ms",
     TRUNKLINE_CHANNEL(history_ttl)},
    {"channel.without_namespace.history_meta_ttl", Kind::kTime, "80000ms",
     TRUNKLINE_CHANNEL(history_meta_ttl)},
    {"channel.without_namespace.history_bytes", Kind::kInteger, "90",
     TRUNKLINE_CHANNEL(history_bytes)},
    {"channel.without_namespace.force_positioning", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(force_positioning)},
    {"channel.without_namespace.allow_positioning", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_positioning)},
    {"channel.without_namespace.force_recovery", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(force_recovery)},
    {"channel.without_namespace.allow_recovery", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_recovery)},
    {"channel.without_namespace.force_recovery_mode", Kind::kText, "cache",
     [](const ServerConfig& config) -> std::string {
       return plain(config).force_recovery_mode == session::RecoveryMode::kCache ? "cache"
                                                                                 : "stream";
     }},
    {"channel.without_namespace.auto_cache_recover", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(auto_cache_recover)},
    {"channel.without_namespace.allow_subscribe_for_client", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_subscribe_for_client)},
    {"channel.without_namespace.allow_subscribe_for_anonymous", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_subscribe_for_anonymous)},
    {"channel.without_namespace.allow_publish_for_client", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_publish_for_client)},
    {"channel.without_namespace.allow_publish_for_anonymous", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_publish_for_anonymous)},
    {"channel.without_namespace.allow_publish_for_subscriber", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_publish_for_subscriber)},
    {"channel.without_namespace.allow_presence_for_client", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_presence_for_client)},
    {"channel.without_namespace.allow_presence_for_anonymous", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_presence_for_anonymous)},
    {"channel.without_namespace.allow_presence_for_subscriber", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_presence_for_subscriber)},
    {"channel.without_namespace.allow_history_for_client", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_history_for_client)},
    {"channel.without_namespace.allow_history_for_anonymous", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_history_for_anonymous)},
    {"channel.without_namespace.allow_history_for_subscriber", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_history_for_subscriber)},
    {"channel.without_namespace.allow_user_limited_channels", Kind::kBool, "true",
     TRUNKLINE_CHANNEL(allow_user_limited_channels)},
    {"channel.without_namespace.slow_subscriber.on_lost", Kind::kText, "disconnect",
     [](const ServerConfig& config) -> std::string {
       return plain(config).on_lost == session::OnLost::kDisconnect ? "disconnect" : "resync";
     }},
};

// All options and the namespaces, to compare configurations with.
inline std::string picture(const ServerConfig& config) {
  std::string text;
  for (const Option& option : kOptions) {
    text += fmt::format("{}={}\n", option.path, option.show(config));
  }
  for (const auto& [name, options] : config.channel.namespaces) {
    ServerConfig one;
    one.channel.without_namespace = options;
    text += fmt::format("[{}]\n", name);
    for (const Option& option : kOptions) {
      text += fmt::format("{}={}\n", option.path, option.show(one));
    }
  }
  return text;
}

#undef TRUNKLINE_SHOWS
#undef TRUNKLINE_CHANNEL

}  // namespace trunkline::server
