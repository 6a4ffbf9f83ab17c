// SPDX-License-Identifier: Apache-2.0
#include "server/config.h"

#include "server/config_limits.h"
#include "server/config_proxy.h"
#include "server/config_reader.h"
#include "server/config_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>
#include <utility>

namespace trunkline::server {

namespace {

// An int to the kernel.
constexpr std::int64_t kUnsentBytesMax = 1 << 30;

bool is_namespace_name(std::string_view name) {
  return name.size() >= 2 && std::ranges::all_of(name, [](char letter) {
           return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                  (letter >= '0' && letter <= '9') || letter == '-' || letter == '_';
         });
}

void read_modes(ConfigSection& section, session::ChannelOptions& out) {
  std::string mode = "stream";
  section.read("force_recovery_mode", mode);
  if (mode == "cache") {
    out.force_recovery_mode = session::RecoveryMode::kCache;
  } else if (mode != "stream" && !mode.empty()) {
    section.refuse("force_recovery_mode", "must be \"stream\" or \"cache\"");
  }
  section.section("slow_subscriber", [&out](ConfigSection& slow) {
    std::string on_lost = "resync";
    slow.read("on_lost", on_lost);
    if (on_lost == "disconnect") {
      out.on_lost = session::OnLost::kDisconnect;
    } else if (on_lost == "skip") {
      out.on_lost = session::OnLost::kSkip;
    } else if (on_lost == "latest") {
      out.on_lost = session::OnLost::kLatest;
    } else if (on_lost != "resync") {
      slow.refuse("on_lost", R"(must be "resync", "disconnect", "skip" or "latest")");
    }
  });
}

void read_channel_options(ConfigSection& section, session::ChannelOptions& out) {
  section.read("presence", out.presence);
  section.read("join_leave", out.join_leave);
  section.read("force_push_join_leave", out.force_push_join_leave);
  section.read("history_size", out.history_size, 0, 100'000'000);
  section.read("history_ttl", out.history_ttl);
  section.read("history_meta_ttl", out.history_meta_ttl);
  section.read("history_bytes", out.history_bytes, 0, kMany);
  section.read("force_positioning", out.force_positioning);
  section.read("allow_positioning", out.allow_positioning);
  section.read("force_recovery", out.force_recovery);
  section.read("allow_recovery", out.allow_recovery);
  section.read("auto_cache_recover", out.auto_cache_recover);
  section.read("allow_subscribe_for_client", out.allow_subscribe_for_client);
  section.read("allow_subscribe_for_anonymous", out.allow_subscribe_for_anonymous);
  section.read("allow_publish_for_client", out.allow_publish_for_client);
  section.read("allow_publish_for_anonymous", out.allow_publish_for_anonymous);
  section.read("allow_publish_for_subscriber", out.allow_publish_for_subscriber);
  section.read("allow_presence_for_client", out.allow_presence_for_client);
  section.read("allow_presence_for_anonymous", out.allow_presence_for_anonymous);
  section.read("allow_presence_for_subscriber", out.allow_presence_for_subscriber);
  section.read("allow_history_for_client", out.allow_history_for_client);
  section.read("allow_history_for_anonymous", out.allow_history_for_anonymous);
  section.read("allow_history_for_subscriber", out.allow_history_for_subscriber);
  section.read("allow_user_limited_channels", out.allow_user_limited_channels);
  read_modes(section, out);
  if ((out.history_size > 0) != (out.history_ttl > Duration{0})) {
    section.refuse(out.history_size > 0 ? "history_ttl" : "history_size",
                   "history needs both history_size and history_ttl above zero");
  }
  if ((out.force_recovery || out.allow_recovery) && !out.has_history()) {
    section.refuse(out.force_recovery ? "force_recovery" : "allow_recovery",
                   "recovery needs history: set history_size and history_ttl");
  }
}

void read_channel(ConfigSection& section, session::ChannelRules& out, ProxyReader& proxies) {
  proxies.read_channel(section);
  section.read("max_length", out.max_length, 1, 65535);
  section.read("private_prefix", out.private_prefix);
  section.read("namespace_boundary", out.namespace_boundary);
  section.read("user_boundary", out.user_boundary);
  section.read("user_separator", out.user_separator);
  section.read("history_meta_ttl", out.history_meta_ttl);
  section.section("without_namespace", [&out, &proxies](ConfigSection& options) {
    read_channel_options(options, out.without_namespace);
    proxies.read_namespace(options, "");
  });
  section.list("namespaces", [&out, &proxies](ConfigSection& options) {
    std::string name;
    options.read("name", name);
    if (!is_namespace_name(name)) {
      options.refuse("name",
                     fmt::format("'{}' is not a name: at least two of a-z A-Z 0-9 - _", name));
    }
    session::ChannelOptions read;
    read_channel_options(options, read);
    proxies.read_namespace(options, name);
    if (!out.namespaces.emplace(name, read).second) {
      options.refuse("name", fmt::format("namespace '{}' is there twice", name));
    }
  });
}

void read_token(ConfigSection& section, TokenConfig& out) {
  section.read("hmac_secret_key", out.hmac_secret_key);
  section.read("rsa_public_key", out.rsa_public_key);
  section.read("ecdsa_public_key", out.ecdsa_public_key);
  section.read("eddsa_public_key", out.eddsa_public_key);
  section.read("audience", out.audience);
  section.read("issuer", out.issuer);
  section.read("user_id_claim", out.user_id_claim);
  if (out.user_id_claim.empty()) {
    out.user_id_claim = TokenConfig{}.user_id_claim;
  }
}

void read_client(ConfigSection& section, ServerConfig& config, ProxyReader& proxies) {
  session::ClientOptions& out = config.client;
  proxies.read_client(section);
  section.read("insecure", out.insecure);
  section.read("allow_anonymous_connect_without_token", out.allow_anonymous_connect_without_token);
  section.read("disallow_anonymous_connection_tokens", out.disallow_anonymous_connection_tokens);
  section.read("connect_include_server_time", out.connect_include_server_time);
  section.read("ping_interval", out.ping_interval);
  section.read("pong_timeout", out.pong_timeout);
  section.read("expired_close_delay", out.expired_close_delay);
  section.read("expired_sub_close_delay", out.expired_sub_close_delay);
  section.read("history_max_publication_limit", out.history_max_publication_limit, 0, kMany);
  section.read("recovery_max_publication_limit", out.recovery_max_publication_limit, 0, kMany);
  read_client_limits(section, config);
  section.section("subscribe_to_user_personal_channel", [&out](ConfigSection& personal) {
    personal.read("enabled", out.personal_channel);
    personal.read("personal_channel_namespace", out.personal_channel_namespace);
  });
  section.read("allowed_origins", out.allowed_origins);
  // Accepted and without effect: commands of a client never wait for each other's backends here.
  std::int64_t ignored = 0;
  section.read("concurrency", ignored, 0, kMany);
  section.section("token", [&config](ConfigSection& token) { read_token(token, config.token); });
  config.subscription_token = config.token;
  section.section("subscription_token", [&config](ConfigSection& token) {
    bool enabled = false;
    TokenConfig apart;
    token.read("enabled", enabled);
    read_token(token, apart);
    if (enabled) {
      config.subscription_token = apart;
    }
  });
  if (out.ping_interval > Duration{0} && out.pong_timeout >= out.ping_interval) {
    section.refuse("pong_timeout", "must be shorter than client.ping_interval");
  }
}

void read_root(ConfigSection& root, ServerConfig& config) {
  ProxyReader proxies(config);
  root.section("client", [&](ConfigSection& section) { read_client(section, config, proxies); });
  root.section("channel",
               [&](ConfigSection& section) { read_channel(section, config.channel, proxies); });
  root.section("rpc", [&proxies](ConfigSection& section) { proxies.read_rpc(section); });
  proxies.read_named(root);
  const session::ClientOptions& client = config.client;
  if (client.personal_channel && !client.personal_channel_namespace.empty() &&
      !config.channel.namespaces.contains(client.personal_channel_namespace)) {
    root.refuse("client.subscribe_to_user_personal_channel.personal_channel_namespace",
                fmt::format("there is no namespace '{}'", client.personal_channel_namespace));
  }
  root.section("http_server", [&config](ConfigSection& section) {
    section.read("address", config.address);
    section.read("port", config.port, 0, 65535);
    section.section("tls", [&config](ConfigSection& tls) {
      tls.read("enabled", config.tls_enabled);
      tls.read("cert_pem_file", config.tls.certificate_file);
      tls.read("key_pem_file", config.tls.key_file);
      tls.read("client_ca_pem_file", config.tls.client_ca_file);
      tls.read("min_version", config.tls.min_version);
      if (config.tls.min_version != "1.2" && config.tls.min_version != "1.3") {
        tls.refuse("min_version", R"(must be "1.2" or "1.3")");
      }
      if (config.tls_enabled && config.tls.certificate_file.empty()) {
        tls.refuse("cert_pem_file", "is needed when TLS is enabled");
      }
      if (config.tls_enabled && config.tls.key_file.empty()) {
        tls.refuse("key_pem_file", "is needed when TLS is enabled");
      }
    });
  });
  root.section("http_api", [&config](ConfigSection& section) {
    section.read("key", config.http_api.key);
    section.read("insecure", config.http_api.insecure);
  });
  root.section("log", [&config](ConfigSection& section) {
    section.read("level", config.log_level);
    static const std::set<std::string> kLevels = {"trace", "debug", "info", "warn",
                                                  "error", "fatal", "none"};
    if (!kLevels.contains(config.log_level)) {
      section.refuse("level", "must be trace, debug, info, warn, error, fatal or none");
    }
  });
  root.section("websocket", [&config](ConfigSection& section) {
    section.read("message_size_limit", config.message_size_limit, 1, 100LL * 1024 * 1024);
    section.read("compression", config.compression);
    section.read("compression_level", config.compression_settings.level, 1, 9);
    section.read("compression_min_size", config.compression_settings.threshold_bytes, 0, kMany);
  });
  root.section("shutdown", [&config](ConfigSection& section) {
    section.read("timeout", config.shutdown_timeout);
  });
  root.section("trunkline", [&config, &proxies](ConfigSection& section) {
    proxies.read_limits(section);
    section.read("shards", config.shards, 0, 1024);
    section.read("worker_threads", config.worker_threads, 1, 1024);
    section.read("calls_in_flight_max", config.client.calls_in_flight_max, 1, 10'000);
    section.read("replay_bytes_max", config.replay_bytes_max, 1, kMany);
    section.read("io_uring", config.io_uring);
    section.read("catch_up_bytes_per_turn", config.catch_up_bytes_per_turn, 1, kMany);
    section.read("publish_wait_max", config.publish_wait_max);
    section.read("shutdown_rate", config.shutdown_rate, 0, kMany);
    section.section("outbox", [&config](ConfigSection& outbox) {
      outbox.read("high_water_bytes", config.outbox.high_water_bytes, 1, kMany);
      outbox.read("write_deadline", config.outbox.write_deadline);
      outbox.read("unsent_bytes_max", config.limits.unsent_bytes_max, 0, kUnsentBytesMax);
    });
    section.section("jobs", [&config, &proxies](ConfigSection& jobs) {
      read_jobs(jobs, config.jobs);
      proxies.read_jobs(jobs);
    });
    section.read("memory_limit", config.limits.memory_bytes_max, 0, kMany);
    section.read("handshake_wait_max", config.limits.handshake_wait_max);
  });
  proxies.resolve(root);
}

}  // namespace

Result<LoadedConfig> load_config(std::string_view text, ConfigFormat format,
                                 const std::string& source,
                                 const EnvironmentVariables& environment) {
  Result<nlohmann::json> tree = parse_tree(text, format, source);
  if (!tree.has_value()) {
    return std::unexpected(tree.error());
  }
  EnvironmentEffects effects = apply_environment(*tree, environment);
  ConfigFindings findings{.source = source,
                          .origins = std::move(effects.origins),
                          .error = {},
                          .warnings = std::move(effects.warnings)};
  LoadedConfig loaded;
  {
    ConfigSection root(std::move(*tree), "", findings);
    read_root(root, loaded.config);
  }
  if (findings.error.has_value()) {
    return std::unexpected(*findings.error);
  }
  loaded.warnings = std::move(findings.warnings);
  return loaded;
}

Result<LoadedConfig> load_config_file(const std::string& path,
                                      const EnvironmentVariables& environment) {
  const std::size_t dot = path.rfind('.');
  const std::string ending = dot == std::string::npos ? "" : path.substr(dot);
  ConfigFormat format = ConfigFormat::kJson;
  if (ending == ".toml") {
    format = ConfigFormat::kToml;
  } else if (ending == ".yaml" || ending == ".yml") {
    format = ConfigFormat::kYaml;
  } else if (ending != ".json") {
    return fail(ErrorCode::kConfig,
                fmt::format("{}: the file's ending must be .json, .toml, .yaml or .yml", path));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return fail(ErrorCode::kConfig, fmt::format("{}: cannot be read", path));
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return load_config(text, format, path, environment);
}

}  // namespace trunkline::server
