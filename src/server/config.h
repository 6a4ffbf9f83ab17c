// SPDX-License-Identifier: Apache-2.0
//
// The configuration, as values: names and nesting of Centrifugo 6 for what we have, and a section
// `trunkline` for what is ours.
#pragma once

#include <trunkline/error.h>

#include "core/time.h"
#include "hub/pacing.h"
#include "net/admission.h"
#include "net/tls.h"
#include "outbox/outbox.h"
#include "server/job_config.h"
#include "server/proxy_config.h"
#include "session/options.h"
#include "ws/deflate.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::server {

// client.token and client.subscription_token: how tokens are verified.
struct TokenConfig {
  std::string hmac_secret_key;
  std::string rsa_public_key;    // PEM
  std::string ecdsa_public_key;  // PEM
  std::string eddsa_public_key;  // PEM, Ed25519; ours
  std::string audience;          // empty: any
  std::string issuer;            // empty: any
  std::string user_id_claim = "sub";

  friend bool operator==(const TokenConfig&, const TokenConfig&) = default;
};

struct HttpApiConfig {
  std::string key;        // empty: every call is refused
  bool insecure = false;  // no key is needed
};

struct ServerConfig {
  session::ClientOptions client;
  session::ChannelRules channel;
  TokenConfig token;
  TokenConfig subscription_token;     // that of `token` unless it is configured apart
  std::string address = "127.0.0.1";  // http_server.address
  std::uint16_t port = 8000;          // http_server.port
  bool tls_enabled = false;           // http_server.tls.enabled
  net::TlsOptions tls;                // http_server.tls
  HttpApiConfig http_api;
  std::string log_level = "info";
  std::size_t message_size_limit = 64UL * 1024;  // websocket.message_size_limit, bytes
  net::LimitOptions limits;
  bool compression = false;                      // websocket.compression: permessage-deflate
  ws::CompressionSettings compression_settings;  // websocket.compression_level, …_min_size
  Duration shutdown_timeout = std::chrono::seconds(30);
  // trunkline.shutdown_rate: clients disconnected in a second of a stop; 0: all at once.
  std::size_t shutdown_rate = 2000;
  JobConfig jobs;                  // trunkline.jobs
  bool has_job_namespace = false;  // channel.namespaces has one of the name that jobs use
  unsigned worker_threads = 4;     // trunkline.worker_threads: for Server::offload
  unsigned shards = 0;             // trunkline.shards; 0: one a core
  std::size_t replay_bytes_max = 256UL * 1024 * 1024;  // trunkline.replay_bytes_max, all logs
  bool io_uring = true;                                // trunkline.io_uring: where there is one
  // trunkline.publish_wait_max: see hub::Pacing.
  Duration publish_wait_max = hub::Pacing{}.wait_max;
  // trunkline.catch_up_bytes_per_turn: of a shard's turn, for all who read on after a stall.
  std::size_t catch_up_bytes_per_turn = 2UL * 1024 * 1024;
  outbox::OutboxOptions outbox;  // trunkline.outbox
  ProxyRules proxy;              // client.proxy, channel.proxy, rpc, proxies, trunkline.proxy
};

struct LoadedConfig {
  ServerConfig config;
  std::vector<std::string> warnings;  // one a line, for the operator
};

enum class ConfigFormat : std::uint8_t { kJson, kToml, kYaml };

using EnvironmentVariables = std::vector<std::pair<std::string, std::string>>;

// Reads a configuration. `source` names it in messages. Variables TRUNKLINE_<PATH> and
// CENTRIFUGO_<PATH> (upper case, joined by '_') override the text. Unknown options are warnings;
// a value that cannot be is an error: kConfig with source, key and reason.
[[nodiscard]] Result<LoadedConfig> load_config(std::string_view text, ConfigFormat format,
                                               const std::string& source,
                                               const EnvironmentVariables& environment = {});

// The same from a file; its ending (.json, .toml, .yaml, .yml) says the format.
[[nodiscard]] Result<LoadedConfig> load_config_file(const std::string& path,
                                                    const EnvironmentVariables& environment = {});

// "300s", "1h30m", "250ms": numbers with units ns, us, µs, ms, s, m, h, added up; "0".
[[nodiscard]] Result<Duration> parse_duration(std::string_view text);

}  // namespace trunkline::server
