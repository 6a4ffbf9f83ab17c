// SPDX-License-Identifier: Apache-2.0
#include "net/client_connection.h"

#include "ws/frame.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>

namespace trunkline::net {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr std::size_t kHandshakeBytesMax = 16UL * 1024;
constexpr auto kClosingTime = std::chrono::seconds(1);

// Receives before the others get their turn.
constexpr int kReceivesPerTurn = 4;

constexpr std::size_t kUnsentPongBytesMax = 64UL * 1024;

// An idle connection keeps no larger write buffer than this.
constexpr std::size_t kIdleWriteBytes = 4096;

ws::ReaderLimits limits_of(const ClientTarget& target) {
  return {.message_bytes_max = target.message_bytes_max};
}

std::string_view field(const http::response<http::empty_body>& response, http::field name) {
  const auto value = response[name];
  return {value.data(), value.size()};
}

}  // namespace

ClientConnection::ClientConnection(ClientLoopCore& loop, const ClientTarget& target,
                                   ClientConnectionOwner& owner)
    : loop_(loop),
      owner_(&owner),
      socket_(loop.io()),
      opening_(std::make_unique<Opening>(loop, target)),
      reader_(ws::Role::kClient, limits_of(target)) {}

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

void ClientConnection::begin_handshake() {
  state_ = State::kHandshake;
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
  if (const Result<void> checked = check_handshake({received.data(), head_bytes});
      !checked.has_value()) {
    lost(ws::kCloseAbnormal, checked.error().context);
    return;
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

Result<void> ClientConnection::check_handshake(std::string_view head) const {
  http::response_parser<http::empty_body> parser;
  parser.skip(true);  // a refusal's body does not interest
  parser.header_limit(static_cast<std::uint32_t>(kHandshakeBytesMax) + 1024);
  error_code error;
  parser.put(asio::buffer(head.data(), head.size()), error);
  if (error || !parser.is_header_done()) {
    return fail(ErrorCode::kHandshakeRefused, "not an HTTP response: " + error.message());
  }
  const http::response<http::empty_body>& response = parser.get();
  const Result<std::string> subprotocol = ws::check_reply(
      opening_->target.handshake, opening_->nonce,
      {.status = static_cast<int>(response.result_int()),
       .upgrade = field(response, http::field::upgrade),
       .connection = field(response, http::field::connection),
       .sec_websocket_accept = field(response, http::field::sec_websocket_accept),
       .sec_websocket_protocol = field(response, http::field::sec_websocket_protocol),
       .sec_websocket_extensions = field(response, http::field::sec_websocket_extensions)});
  if (!subprotocol.has_value()) {
    return std::unexpected(subprotocol.error());
  }
  return {};
}

// No buffer is held while there is nothing to read.
void ClientConnection::wait_readable() {
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code& error) {
    if (!error && self->state_ != State::kEnded) {
      self->on_readable();
    }
  });
}

void ClientConnection::on_readable() {
  const std::span<char> buffer = loop_.read_buffer();
  for (int receives = 0; receives < kReceivesPerTurn; ++receives) {
    const ssize_t got = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      break;
    }
    if (got <= 0) {
      lost(ws::kCloseAbnormal, got == 0 ? "the server closed the connection"
                                        : fmt::format("read: {}", std::strerror(errno)));
      return;
    }
    const auto bytes = static_cast<std::size_t>(got);
    if (state_ == State::kHandshake) {
      read_handshake({buffer.data(), bytes});
    } else if (state_ == State::kOpen) {
      take(buffer.first(bytes));
    }
    if (state_ == State::kEnded) {
      return;
    }
    if (bytes < buffer.size()) {
      break;
    }
  }
  wait_readable();
}

void ClientConnection::take(std::span<char> bytes) {
  const Result<void> read = reader_.read(bytes, *this);
  if (!read.has_value() && state_ == State::kOpen) {
    append_frame(ws::Opcode::kClose,
                 ws::close_payload(ws::close_code(read.error().code), read.error().context));
    write();
    lost(ws::kCloseAbnormal, read.error().context);
  }
}

bool ClientConnection::on_text(std::span<char> message) {
  if (state_ == State::kOpen) {
    owner_->on_connection_message({message.data(), message.size()});
  }
  return state_ == State::kOpen;
}

bool ClientConnection::on_binary(std::span<char>) {
  lost(ws::kCloseAbnormal, "a binary message where only text is spoken");
  return false;
}

bool ClientConnection::on_ping(std::string_view payload) {
  // A server that pings and does not read gets no pongs beyond this.
  if (unsent_bytes() < kUnsentPongBytesMax) {
    append_frame(ws::Opcode::kPong, payload);
    write();
  }
  return state_ == State::kOpen;
}

bool ClientConnection::on_pong(std::string_view) {
  return true;
}

bool ClientConnection::on_close(ws::CloseCode code, std::string_view reason) {
  append_frame(ws::Opcode::kClose, ws::close_payload(code, {}));
  // Let go first: should the answer find no socket any more, the peer's code counts all the same.
  ClientConnectionOwner* owner = std::exchange(owner_, nullptr);
  const std::string kept(reason);
  write();
  finish();
  if (owner != nullptr) {
    owner->on_connection_closed(code, kept);
  }
  return false;
}

void ClientConnection::append_frame(ws::Opcode opcode, std::string_view payload) {
  // The key keeps a page's script from choosing the bytes on the wire (RFC 6455, section 10.3); no
  // page runs here, so it need not be unpredictable.
  const std::uint64_t bits = loop_.random().next();
  ws::MaskingKey key{};
  std::memcpy(key.data(), &bits, key.size());
  out_ += ws::make_masked_frame(opcode, payload, key);
}

void ClientConnection::send_text(std::string_view text) {
  if (state_ == State::kOpen) {
    append_frame(ws::Opcode::kText, text);
  }
}

void ClientConnection::flush() {
  if (state_ == State::kOpen) {
    write();
  }
}

void ClientConnection::write() {
  while (!is_blocked_ && out_sent_ < out_.size()) {
    const ssize_t sent = ::send(socket_.native_handle(), out_.data() + out_sent_,
                                out_.size() - out_sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      out_sent_ += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      is_blocked_ = true;
      socket_.async_wait(tcp::socket::wait_write,
                         [self = shared_from_this()](const error_code& error) {
                           self->is_blocked_ = false;
                           if (!error && self->state_ != State::kEnded) {
                             self->write();
                           }
                         });
    } else if (errno != EINTR) {
      lost(ws::kCloseAbnormal, fmt::format("write: {}", std::strerror(errno)));
      return;
    }
  }
  if (out_sent_ == out_.size()) {
    out_sent_ = 0;
    out_.clear();
    if (out_.capacity() > kIdleWriteBytes) {
      out_.shrink_to_fit();
    }
  } else if (out_sent_ > out_.size() / 2) {
    out_.erase(0, out_sent_);
    out_sent_ = 0;
  }
}

void ClientConnection::close(ws::CloseCode code, std::string_view reason) {
  owner_ = nullptr;
  if (state_ != State::kOpen) {
    finish();
    return;
  }
  state_ = State::kClosing;
  append_frame(ws::Opcode::kClose, ws::close_payload(code, reason));
  if (loop_.is_stopping()) {
    write();
    finish();
    return;
  }
  closing_timer_ = std::make_unique<asio::steady_timer>(loop_.io(), kClosingTime);
  closing_timer_->async_wait([self = shared_from_this()](const error_code&) { self->finish(); });
  write();
}

// Ends without another word; the owner is told.
void ClientConnection::lost(ws::CloseCode code, std::string_view reason) {
  ClientConnectionOwner* owner = owner_;
  owner_ = nullptr;
  const std::string kept(reason);
  finish();
  if (owner != nullptr) {
    owner->on_connection_closed(code, kept);
  }
}

void ClientConnection::finish() {
  state_ = State::kEnded;
  if (opening_) {
    opening_->resolver.cancel();
  }
  if (closing_timer_) {
    closing_timer_->cancel();
  }
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace trunkline::net
