// SPDX-License-Identifier: Apache-2.0
#include "server/composition.h"

#include "server/jwt.h"

#include <fmt/format.h>

#include <utility>

namespace trunkline::server {

namespace {

bool is_loopback(std::string_view address) {
  return address.starts_with("127.") || address == "::1";
}

Result<LoadedConfig> load(const ServerOptions& options) {
  EnvironmentVariables environment;
  for (const std::string& variable : options.environment) {
    const std::size_t equals = variable.find('=');
    if (equals != std::string::npos) {
      environment.emplace_back(variable.substr(0, equals), variable.substr(equals + 1));
    }
  }
  if (!options.config_file.empty()) {
    return load_config_file(options.config_file, environment);
  }
  return load_config(options.config_json.empty() ? "{}" : options.config_json, ConfigFormat::kJson,
                     options.config_json.empty() ? "defaults" : "configuration", environment);
}

}  // namespace

Result<void> apply_demo(ServerConfig& config) {
  if (!is_loopback(config.address)) {
    return fail(ErrorCode::kConfig,
                fmt::format("--demo listens on loopback only, not on {}: everybody may do "
                            "everything there",
                            config.address));
  }
  config.client.insecure = true;
  session::ChannelOptions& options = config.channel.without_namespace;
  options.presence = true;
  options.join_leave = true;
  options.history_size = 1000;
  options.history_ttl = std::chrono::minutes(10);
  options.force_recovery = true;
  return {};
}

Result<ServerConfig> effective_config(const ServerOptions& options) {
  Result<LoadedConfig> loaded = load(options);
  if (!loaded.has_value()) {
    return std::unexpected(loaded.error());
  }
  for (const std::string& warning : loaded->warnings) {
    options.log(warning);
  }
  ServerConfig config = std::move(loaded->config);
  config.address = options.address.value_or(config.address);
  config.port = options.port.value_or(config.port);
  config.shards = options.shards.value_or(config.shards);
  config.io_uring = options.io_uring.value_or(config.io_uring);
  // Where somebody uses the name already it is theirs, as long as there are no jobs.
  config.has_job_namespace =
      !config.channel.namespaces
           .emplace(session::JobTable::kNamespace, job_channel_options(config.jobs))
           .second;
  if (options.demo) {
    if (const Result<void> demo = apply_demo(config); !demo.has_value()) {
      return std::unexpected(demo.error());
    }
  }
  const Result<void> keys = Jwt(config.token, config.subscription_token).check_keys();
  if (!keys.has_value()) {
    return std::unexpected(keys.error());
  }
  return config;
}

}  // namespace trunkline::server
