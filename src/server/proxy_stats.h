// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/peer_types.h>

#include "net/http_client.h"
#include "server/proxy_config.h"
#include "session/stats.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::server {

// How a question to a backend ended.
enum class ProxyOutcome : std::uint8_t {
  kGranted,
  kError,        // the backend answered with one
  kDisconnect,   // the backend wants the client's connection ended
  kStatus,       // not 200
  kBadAnswer,    // not HTTP, too large, or a body that can not be
  kTimeout,      // no answer in time
  kUnreachable,  // no connection, or one that was lost
  kBusy,         // too many questions waited already
  kBreakerOpen,  // not asked: the backend has failed too often
  kCancelled,    // the client went away
};
inline constexpr std::array<std::string_view, 10> kProxyOutcomeNames = {
    "granted", "error",       "disconnect", "status",       "bad_answer",
    "timeout", "unreachable", "busy",       "breaker_open", "cancelled"};

struct ProxyKindStats {
  std::array<std::uint64_t, kProxyOutcomeNames.size()> outcomes{};
  session::LatencyHistogram latency;  // of those that were answered
};

struct ProxyBackendStats {
  std::string endpoint;  // without a query
  BreakerState breaker = BreakerState::kClosed;
  net::HttpClientStats http;
};

// Of one shard.
struct ProxyStats {
  std::array<ProxyKindStats, kProxyKinds> kinds;
  std::vector<ProxyBackendStats> backends;  // the same ones on each shard, in the same order
};

}  // namespace trunkline::server
