// SPDX-License-Identifier: Apache-2.0
#include "peers/dial_plan.h"

#include <algorithm>

namespace trunkline::peers {

std::vector<PeerEndpoint> interleaved(std::span<const PeerEndpoint> endpoints, std::size_t max) {
  std::vector<PeerEndpoint> order;
  if (endpoints.empty()) {
    return order;
  }
  const bool first_is_v6 = endpoints.front().is_v6;
  std::vector<PeerEndpoint> first;
  std::vector<PeerEndpoint> second;
  for (const PeerEndpoint& endpoint : endpoints) {
    std::vector<PeerEndpoint>& family = endpoint.is_v6 == first_is_v6 ? first : second;
    if (std::ranges::find(family, endpoint) == family.end()) {
      family.push_back(endpoint);
    }
  }
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) {
      order.push_back(first[i]);
    }
    if (i < second.size()) {
      order.push_back(second[i]);
    }
  }
  order.resize(std::min(order.size(), max));
  return order;
}

}  // namespace trunkline::peers
