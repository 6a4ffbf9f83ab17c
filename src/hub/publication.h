// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::hub {

// Who a client is to others. The two infos are raw JSON, empty for none.
struct ClientInfo {
  std::string client;  // unique a connection
  std::string user;    // empty: anonymous
  std::string conn_info;
  std::string chan_info;
};

// A publication on its way into a channel. `data` is raw JSON without raw line feeds, checked by
// whoever lets it in.
struct NewPublication {
  std::string data;
  std::optional<ClientInfo> info;  // of the publisher, when it is a client
  std::vector<std::pair<std::string, std::string>> tags;
};

}  // namespace trunkline::hub
