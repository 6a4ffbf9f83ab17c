// SPDX-License-Identifier: Apache-2.0
#include "server/proxy_config.h"

#include <array>

namespace trunkline::server {

std::string_view name(ProxyKind kind) {
  static constexpr std::array<std::string_view, kProxyKinds> kNames = {
      "connect", "refresh", "subscribe", "publish", "sub_refresh", "rpc", "job"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace trunkline::server
