// SPDX-License-Identifier: Apache-2.0
//
// Backends that are asked over HTTP, as the configuration has them. docs/proxy.md says it in words.
#pragma once

#include <trunkline/client.h>

#include "core/time.h"
#include "peers/breaker.h"
#include "session/application.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::server {

// What a backend is asked about.
enum class ProxyKind : std::uint8_t {
  kConnect,
  kRefresh,
  kSubscribe,
  kPublish,
  kSubRefresh,
  kRpc,
  kJob,
};
inline constexpr std::size_t kProxyKinds = 7;

// As configuration, logs and metrics call it.
[[nodiscard]] std::string_view name(ProxyKind kind);

// http.status_to_code_transforms: what the client gets for a status that is not 200.
struct StatusTransform {
  unsigned status = 0;
  session::Refusal refusal;
};

// One proxy object.
struct ProxyConfig {
  std::string endpoint;  // a URL with http:// or https://
  Duration timeout = std::chrono::seconds(1);
  std::vector<std::string> http_headers;      // of the client's handshake, to pass on
  std::vector<std::string> emulated_headers;  // of its connect command, likewise
  session::Fields static_headers;             // http.static_headers
  std::vector<StatusTransform> transforms;    // http.status_to_code_transforms
  bool include_connection_meta = false;
  bool binary_encoding = false;
  ClientTlsOptions tls;  // http.tls
};

// A place in ProxyRules::proxies, from 1; 0: none.
using ProxyPlace = std::uint16_t;

struct RpcNamespace {
  ProxyPlace proxy = 0;
};

struct ProxyRules {
  std::vector<ProxyConfig> proxies;
  ProxyPlace connect = 0;
  ProxyPlace refresh = 0;
  // Those of channels stand with their namespaces' options.
  RpcNamespace rpc_without_namespace;
  std::map<std::string, RpcNamespace, std::less<>> rpc_namespaces;
  std::string rpc_namespace_boundary = ":";

  // The section trunkline.proxy: the same for each proxy object.
  std::size_t requests_max = 256;         // on their way at once, of the server
  std::size_t waiting_max = 1024;         // of the server
  std::size_t idle_connections_max = 64;  // of the server
  Duration idle_timeout = std::chrono::seconds(60);
  std::size_t reply_bytes_max = 1024UL * 1024;
  peers::BreakerSettings breaker{
      .failures = 5, .open = std::chrono::seconds(1), .open_max = std::chrono::seconds(30)};

  [[nodiscard]] bool empty() const { return proxies.empty(); }

  [[nodiscard]] const ProxyConfig& at(ProxyPlace place) const { return proxies[place - 1U]; }
};

}  // namespace trunkline::server
