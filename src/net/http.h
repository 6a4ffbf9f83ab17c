// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::net {

class Shard;

// A request that is not a WebSocket's. Names of header fields are as the client wrote them.
struct HttpRequest {
  std::string method;
  std::string path;   // without the query
  std::string query;  // after '?', not decoded
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;

  // A header field's value, compared without case; empty when absent.
  [[nodiscard]] std::string_view field(std::string_view name) const;
};

struct HttpResponse {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> fields;
};

struct HttpWriting {
  bool keep_alive = true;
  bool with_body = true;  // false: the answer to HEAD, with the length all the same
};

// The response's bytes. Thread: any.
[[nodiscard]] std::string serialize(const HttpResponse& response, HttpWriting writing);

// Answers a request, once, from the shard that gave it, at once or later. The connection may be
// gone by then; calling it is safe all the same.
using HttpRespond = std::move_only_function<void(HttpResponse)>;

// Called on the shard whose connection received the request.
using HttpHandler = std::function<void(Shard&, HttpRequest, HttpRespond)>;

}  // namespace trunkline::net
