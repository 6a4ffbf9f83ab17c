// SPDX-License-Identifier: Apache-2.0
//
// One call of the HTTP API, once its transport is taken away: a method, its parameters as JSON
// text, and an answer as JSON text.
#pragma once

#include "net/shard.h"
#include "server/json_view.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace trunkline::server {

class Core;

struct ApiError {
  std::uint32_t code = 0;
  std::string message;
};

// The API's own codes; some numbers mean something else than to clients.
inline const ApiError kApiInternal{100, "internal server error"};
inline const ApiError kApiOutOfMemory{100, "the server is short of memory"};
inline const ApiError kApiNamespaceNotFound{102, "namespace not found"};
inline const ApiError kApiNotFound{104, "method not found"};
inline const ApiError kApiNotAvailable{108, "not available"};
inline const ApiError kApiUnrecoverablePosition{112, "unrecoverable position"};

[[nodiscard]] inline ApiError api_bad_request(std::string what) {
  return {107, "bad request: " + std::move(what)};
}

// A result's JSON, or an error. Called once, on the shard of the call.
using ApiDone = std::move_only_function<void(std::expected<std::string, ApiError>)>;

struct ApiContext {
  Core& core;
  net::Shard& shard;
};

// Runs a method. `params` is a JSON object's text.
void api_call(const ApiContext& context, std::string_view method, std::string_view params,
              ApiDone done);

// `{"result":…}` or `{"error":…}`.
[[nodiscard]] std::string api_reply(const std::expected<std::string, ApiError>& result);

// Several calls, answered together in their order (batch, broadcast).
class ApiReplies : public std::enable_shared_from_this<ApiReplies> {
 public:
  ApiReplies(std::size_t count, std::move_only_function<void(std::vector<std::string>)> done)
      : replies_(count), left_(count), done_(std::move(done)) {}

  void set(std::size_t index, std::string reply) {
    replies_[index] = std::move(reply);
    if (--left_ == 0) {
      done_(std::move(replies_));
    }
  }

 private:
  std::vector<std::string> replies_;
  std::size_t left_;
  std::move_only_function<void(std::vector<std::string>)> done_;
};

}  // namespace trunkline::server
