// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "net/connection.h"
#include "net/shard.h"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <optional>
#include <string>

namespace trunkline::net {

// What a connection needs while it speaks HTTP; gone when it is a WebSocket.
struct Connection::Http {
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  explicit Http(const ShardOptions& shard_options) : options(shard_options) { begin(); }

  // Ready for a request.
  void begin() {
    parser.emplace();
    parser->header_limit(16U * 1024);
    parser->body_limit(options.request_body_bytes_max);
    parser->eager(true);
  }

  const ShardOptions& options;
  std::optional<Parser> parser;
  std::string unread;       // bytes of the next request, or that the parser could not use yet
  bool responding = false;  // a request is being handled
  bool asking = false;      // … which is a handshake that the door has not answered
  bool keep_alive = true;
};

}  // namespace trunkline::net
