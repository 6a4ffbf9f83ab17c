// SPDX-License-Identifier: Apache-2.0
#include "net/grid_upgrade.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <fmt/format.h>

#include <utility>

namespace trunkline::net {

namespace http = boost::beast::http;

namespace {

constexpr std::string_view kPath = "/grid";
constexpr std::string_view kSubprotocol = "trunkline-grid";
constexpr std::size_t kHeadBytesMax = 16UL * 1024;

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

GridUpgrade::GridUpgrade(grid::Side side, std::string host, std::string nonce)
    : side_(side),
      handshake_{.host = std::move(host),
                 .target = std::string(kPath),
                 .subprotocols = {std::string(kSubprotocol)},
                 .origin = {},
                 .extensions = {}},
      nonce_(std::move(nonce)) {}

Result<std::string> GridUpgrade::request() const {
  return ws::make_request(handshake_, nonce_);
}

Result<bool> GridUpgrade::take(std::string_view bytes) {
  return side_ == grid::Side::kAcceptor ? take_request(bytes) : take_response(bytes);
}

Result<bool> GridUpgrade::take_request(std::string_view bytes) {
  reader_.add(bytes);
  const auto refused = [this](int status, std::string reason) {
    answer_ = fmt::format(
        "HTTP/1.1 {} Refused\r\nConnection: close\r\nContent-Type: text/plain\r\n"
        "Content-Length: {}\r\n\r\n{}",
        status, reason.size(), reason);
    return fail(ErrorCode::kHandshakeRefused, std::move(reason));
  };
  if (const auto error = reader_.read(); error) {
    return refused(400, "not a request: " + error.message());
  }
  if (!reader_.is_done()) {
    return false;
  }
  const RequestReader::Message& message = reader_.message();
  const auto field = [&message](http::field name) { return view(message[name]); };
  if (view(message.target()) != kPath) {
    return refused(404, "the grid is at /grid");
  }
  const auto response =
      ws::accept_handshake({.method = view(message.method_string()),
                            .http_version = message.version(),
                            .host = field(http::field::host),
                            .upgrade = field(http::field::upgrade),
                            .connection = field(http::field::connection),
                            .sec_websocket_key = field(http::field::sec_websocket_key),
                            .sec_websocket_version = field(http::field::sec_websocket_version),
                            .sec_websocket_protocol = field(http::field::sec_websocket_protocol)},
                           {kSubprotocol});
  if (!response.has_value()) {
    return refused(response.error().status, response.error().reason);
  }
  if (response->subprotocol.empty()) {
    return refused(400, fmt::format("the subprotocol {} is not offered", kSubprotocol));
  }
  answer_ = fmt::format(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
      response->accept, response->subprotocol);
  rest_ = reader_.take_unread();
  return true;
}

Result<bool> GridUpgrade::take_response(std::string_view bytes) {
  static constexpr std::string_view kEnd = "\r\n\r\n";
  received_ += bytes;
  const std::size_t end = received_.find(kEnd);
  if (end == std::string::npos) {
    if (received_.size() > kHeadBytesMax) {
      return fail(ErrorCode::kHandshakeRefused, "the answer's head does not end");
    }
    return false;
  }
  const std::size_t head_bytes = end + kEnd.size();
  http::response_parser<http::empty_body> parser;
  parser.skip(true);
  parser.header_limit(static_cast<std::uint32_t>(kHeadBytesMax) + 1024);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(received_.data(), head_bytes), error);
  if (error || !parser.is_header_done()) {
    return fail(ErrorCode::kHandshakeRefused, "not an HTTP response: " + error.message());
  }
  const auto& response = parser.get();
  const auto field = [&response](http::field name) { return view(response[name]); };
  const Result<std::string> checked =
      ws::check_reply(handshake_, nonce_,
                      {.status = static_cast<int>(response.result_int()),
                       .upgrade = field(http::field::upgrade),
                       .connection = field(http::field::connection),
                       .sec_websocket_accept = field(http::field::sec_websocket_accept),
                       .sec_websocket_protocol = field(http::field::sec_websocket_protocol),
                       .sec_websocket_extensions = field(http::field::sec_websocket_extensions)});
  if (!checked.has_value()) {
    return std::unexpected(checked.error());
  }
  if (*checked != kSubprotocol) {
    return fail(ErrorCode::kHandshakeRefused, "the other side does not speak the grid's protocol");
  }
  rest_ = received_.substr(head_bytes);
  return true;
}

}  // namespace trunkline::net
