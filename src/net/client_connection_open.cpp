// SPDX-License-Identifier: Apache-2.0
//
// From a name to an open WebSocket.
#include "net/client_connection.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr std::size_t kHandshakeBytesMax = 16UL * 1024;

std::string_view field(const http::response<http::empty_body>& response, http::field name) {
  const auto value = response[name];
  return {value.data(), value.size()};
}

// A field that is a list may come in several lines, which read as one (RFC 9110, section 5.3).
std::string list_field(const http::response<http::empty_body>& response, http::field name) {
  std::string joined;
  const auto [first, last] = response.equal_range(name);
  for (auto line = first; line != last; ++line) {
    joined += joined.empty() ? "" : ", ";
    joined.append(line->value().data(), line->value().size());
  }
  return joined;
}

}  // namespace

void ClientConnection::start() {
  error_code error;
  const auto address = asio::ip::make_address(opening_->target.host, error);
  if (error) {
    resolve();
    return;
  }
  // An address needs no resolver, and ten thousand connections no thread of its own.
  opening_->endpoints.emplace_back(address,
                                   static_cast<std::uint16_t>(std::stoul(opening_->target.port)));
  asio::post(loop_.io(), [self = shared_from_this()] { self->try_next_endpoint(); });
}

void ClientConnection::resolve() {
  opening_->resolver.async_resolve(
      opening_->target.host, opening_->target.port,
      [self = shared_from_this()](const error_code& error, const tcp::resolver::results_type& all) {
        if (self->state_ != State::kConnecting) {
          return;
        }
        if (error) {
          self->opening_->failure = "resolve: " + error.message();
        }
        for (const auto& entry : all) {
          self->opening_->endpoints.push_back(entry.endpoint());
        }
        self->try_next_endpoint();
      });
}

void ClientConnection::try_next_endpoint() {
  if (state_ != State::kConnecting) {
    return;
  }
  Opening& opening = *opening_;
  while (opening.next_endpoint < opening.endpoints.size()) {
    const tcp::endpoint& endpoint = opening.endpoints[opening.next_endpoint++];
    if (std::string failure = prepare_socket(endpoint); !failure.empty()) {
      opening.failure = std::move(failure);
      continue;
    }
    socket_.async_connect(endpoint, [self = shared_from_this()](const error_code& error) {
      if (self->state_ != State::kConnecting) {
        return;
      }
      if (error) {
        self->opening_->failure = "connect: " + error.message();
        self->try_next_endpoint();
      } else {
        self->begin_handshake();
      }
    });
    return;
  }
  lost(ws::kCloseAbnormal, opening.failure);
}

// A fresh socket for the endpoint; returns what failed.
std::string ClientConnection::prepare_socket(const tcp::endpoint& endpoint) {
  error_code error;
  socket_.close(error);
  if (socket_.open(endpoint.protocol(), error)) {
    return "socket: " + error.message();
  }
  socket_.non_blocking(true, error);
  socket_.set_option(tcp::no_delay(true), error);
  if (const auto& local = opening_->target.local_address; local.has_value()) {
    // The port is chosen at connect, so that one address has 28,000 of them for each destination.
    const int on = 1;
    ::setsockopt(socket_.native_handle(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (socket_.bind(tcp::endpoint(*local, 0), error)) {
      return fmt::format("bind {}: {}", local->to_string(), error.message());
    }
  }
  return {};
}

// The request waits behind TLS's own handshake, when there is one.
void ClientConnection::begin_handshake() {
  state_ = State::kHandshake;
  if (opening_->target.is_secure) {
    Result<std::unique_ptr<TlsStream>> dialled =
        TlsStream::dial(opening_->target.tls, opening_->target.host);
    if (!dialled.has_value()) {
      lost(ws::kCloseAbnormal, dialled.error().context);
      return;
    }
    tls_ = std::move(*dialled);
  }
  for (int half = 0; half < 2; ++half) {
    const std::uint64_t bits = loop_.random().next();
    opening_->nonce.append(reinterpret_cast<const char*>(&bits), sizeof bits);
  }
  Result<std::string> request = ws::make_request(opening_->target.handshake, opening_->nonce);
  if (!request.has_value()) {
    lost(ws::kCloseAbnormal, request.error().context);
    return;
  }
  out_ = std::move(*request);
  write();
  if (state_ == State::kHandshake) {
    wait_readable();
  }
}

void ClientConnection::read_handshake(std::string_view bytes) {
  static constexpr std::string_view kEnd = "\r\n\r\n";
  std::string& received = opening_->received;
  const std::size_t searched = received.size() < kEnd.size() ? 0 : received.size() - kEnd.size();
  received += bytes;
  const std::size_t end = received.find(kEnd, searched);
  if (end == std::string::npos) {
    if (received.size() > kHandshakeBytesMax) {
      lost(ws::kCloseAbnormal, "the server's handshake does not end");
    }
    return;
  }
  const std::size_t head_bytes = end + kEnd.size();
  const Result<std::optional<ws::DeflateParameters>> agreed =
      check_handshake({received.data(), head_bytes});
  if (!agreed.has_value()) {
    lost(ws::kCloseAbnormal, agreed.error().context);
    return;
  }
  if (const std::optional<ws::DeflateParameters>& deflate = *agreed; deflate.has_value()) {
    reader_.use_deflate(*deflate, loop_.deflate_scratch());
    deflate_ =
        std::make_unique<ws::DeflateSender>(ws::Role::kClient, *deflate, loop_.deflate_scratch());
  }
  std::string rest = received.substr(head_bytes);
  opening_.reset();
  state_ = State::kOpen;
  owner_->on_connection_open();
  if (state_ == State::kOpen && !rest.empty()) {
    const std::size_t rest_bytes = rest.size();
    rest.append(ws::kMessagePadding, '\0');
    take({rest.data(), rest_bytes});
  }
}

Result<std::optional<ws::DeflateParameters>> ClientConnection::check_handshake(
    std::string_view head) const {
  http::response_parser<http::empty_body> parser;
  parser.skip(true);  // a refusal's body does not interest
  parser.header_limit(static_cast<std::uint32_t>(kHandshakeBytesMax) + 1024);
  error_code error;
  parser.put(asio::buffer(head.data(), head.size()), error);
  if (error || !parser.is_header_done()) {
    return fail(ErrorCode::kHandshakeRefused, "not an HTTP response: " + error.message());
  }
  const http::response<http::empty_body>& response = parser.get();
  const std::string extensions = list_field(response, http::field::sec_websocket_extensions);
  const Result<std::string> subprotocol = ws::check_reply(
      opening_->target.handshake, opening_->nonce,
      {.status = static_cast<int>(response.result_int()),
       .upgrade = field(response, http::field::upgrade),
       .connection = field(response, http::field::connection),
       .sec_websocket_accept = field(response, http::field::sec_websocket_accept),
       .sec_websocket_protocol = field(response, http::field::sec_websocket_protocol),
       .sec_websocket_extensions = extensions});
  if (!subprotocol.has_value()) {
    return std::unexpected(subprotocol.error());
  }
  if (!opening_->target.deflate.has_value()) {
    return std::nullopt;
  }
  return ws::check_deflate_answer(extensions, *opening_->target.deflate);
}

}  // namespace trunkline::net
