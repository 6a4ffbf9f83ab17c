// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "server/config_reader.h"
#include "server/proxy_config.h"
#include "session/options.h"

#include <functional>
#include <string>
#include <vector>

namespace trunkline::server {

struct ServerConfig;

// Reads what is said of proxies in all the sections where it stands. Namespaces name proxies that
// may be defined behind them, so names are looked up at the end.
class ProxyReader {
 public:
  explicit ProxyReader(ServerConfig& config) : config_(config) {}

  // client.proxy
  void read_client(ConfigSection& client);
  // channel.proxy
  void read_channel(ConfigSection& channel);
  // Of channel.without_namespace or a namespace, whose name is empty for the first.
  void read_namespace(ConfigSection& options, const std::string& name);
  // rpc
  void read_rpc(ConfigSection& rpc);
  // trunkline.jobs.methods: jobs of backends
  void read_jobs(ConfigSection& jobs);
  // proxies
  void read_named(ConfigSection& root);
  // trunkline.proxy
  void read_limits(ConfigSection& trunkline);

  // After all sections: puts the places of proxies where their names were.
  void resolve(ConfigSection& root);

 private:
  // Somebody names a proxy.
  struct Wish {
    std::string key;   // of the name, for messages
    std::string name;  // empty or "default": `fallback`
    const ProxyPlace* fallback = nullptr;
    std::string fallback_key;
    std::function<void(ProxyPlace)> put;
  };

  // Reads a proxy object; 0 when it has no endpoint.
  [[nodiscard]] ProxyPlace read_proxy(ConfigSection& section);
  [[nodiscard]] ProxyPlace read_switched(ConfigSection& section);
  void wish(ConfigSection& section, const std::string& kind, const ProxyPlace& fallback,
            const std::string& fallback_key, std::function<void(ProxyPlace)> put);
  void read_rpc_namespace(ConfigSection& section, const std::string& name);

  ServerConfig& config_;
  ProxyPlace subscribe_ = 0;
  ProxyPlace publish_ = 0;
  ProxyPlace sub_refresh_ = 0;
  ProxyPlace rpc_ = 0;
  std::map<std::string, ProxyPlace, std::less<>> named_;
  std::vector<Wish> wishes_;
};

}  // namespace trunkline::server
