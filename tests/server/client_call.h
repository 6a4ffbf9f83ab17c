// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/client.h>

#include <future>
#include <string>
#include <utility>

namespace trunkline {

// Waits for the answer: the result's data, or the error's code and text.
inline std::string call(Client& client, std::string method, std::string data = "null") {
  std::promise<std::string> told;
  client.rpc(std::move(method), std::move(data), [&told](const ClientResult<RpcResult>& result) {
    told.set_value(result.has_value() ? std::string(result->data)
                                      : std::to_string(result.error().protocol_code) + " " +
                                            result.error().context);
  });
  return told.get_future().get();
}

}  // namespace trunkline
