// SPDX-License-Identifier: Apache-2.0
#include "net/client_connection.h"

#include "net/system_error_text.h"
#include "ws/frame.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr auto kClosingTime = std::chrono::seconds(1);

// Receives before the others get their turn.
constexpr int kReceivesPerTurn = 4;

constexpr std::size_t kUnsentPongBytesMax = 64UL * 1024;

// Encrypted at a time, which is memory besides the frames themselves: a record of TLS.
constexpr std::size_t kEncryptBytes = 16UL * 1024;

// An idle connection keeps no larger write buffer than this.
constexpr std::size_t kIdleWriteBytes = 4096;

ws::ReaderLimits limits_of(const ClientTarget& target) {
  return {.message_bytes_max = target.message_bytes_max};
}

}  // namespace

ClientConnection::ClientConnection(ClientLoopCore& loop, const ClientTarget& target,
                                   ClientConnectionOwner& owner)
    : loop_(loop),
      owner_(&owner),
      socket_(loop.io()),
      opening_(std::make_unique<Opening>(loop, target)),
      reader_(ws::Role::kClient, limits_of(target)) {}

ClientConnection::~ClientConnection() {
  if (state_ == State::kClosing) {
    end_tls();  // the loop has ended before the server did
  }
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
                                        : fmt::format("read: {}", system_error_text(errno)));
      return;
    }
    const auto bytes = static_cast<std::size_t>(got);
    if (tls_) {
      received_tls(buffer.first(bytes));
    } else {
      received(buffer.first(bytes));
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

void ClientConnection::received_tls(std::span<const char> bytes) {
  const bool goes_on = tls_->receive(bytes, loop_.tls_buffer(), [this](std::span<char> said) {
    received(said);
    return state_ != State::kEnded;
  });
  if (state_ == State::kEnded) {
    return;
  }
  write();  // what the handshake answers, an alert, or what had to wait for the handshake
  if (!goes_on && state_ != State::kEnded) {
    lost(ws::kCloseAbnormal,
         tls_->failure().empty() ? "the server closed the connection" : tls_->failure());
  }
}

void ClientConnection::received(std::span<char> bytes) {
  if (state_ == State::kHandshake) {
    read_handshake({bytes.data(), bytes.size()});
  } else if (state_ == State::kOpen) {
    take(bytes);
  }
}

void ClientConnection::take(std::span<char> bytes) {
  const Result<void> read = reader_.read(bytes, *this);
  if (!read.has_value() && state_ == State::kOpen) {
    append_frame(ws::Opcode::kClose,
                 ws::close_payload(ws::close_code(read.error().code), read.error().context));
    ClientConnectionOwner* owner = std::exchange(owner_, nullptr);
    leave();
    if (owner != nullptr) {
      owner->on_connection_closed(ws::kCloseAbnormal, read.error().context);
    }
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
  if (tls_) {
    leave();  // the server's close_notify is still to come
  } else {
    write();
    finish();
  }
  if (owner != nullptr) {
    owner->on_connection_closed(code, kept);
  }
  return false;
}

ws::MaskingKey ClientConnection::masking_key() {
  // The key keeps a page's script from choosing the bytes on the wire (RFC 6455, section 10.3); no
  // page runs here, so it need not be unpredictable.
  const std::uint64_t bits = loop_.random().next();
  ws::MaskingKey key{};
  std::memcpy(key.data(), &bits, key.size());
  return key;
}

void ClientConnection::append_frame(ws::Opcode opcode, std::string_view payload) {
  out_ += ws::make_masked_frame(opcode, payload, masking_key());
}

void ClientConnection::send_text(std::string_view text) {
  if (state_ != State::kOpen) {
    return;
  }
  if (deflate_) {
    out_ += deflate_->masked_frame(ws::Opcode::kText, text, masking_key());
  } else {
    append_frame(ws::Opcode::kText, text);
  }
}

void ClientConnection::flush() {
  if (state_ == State::kOpen) {
    write();
  }
}

void ClientConnection::write() {
  while (!is_blocked_) {
    if (tls_ && !encrypt_next()) {
      lost(ws::kCloseAbnormal, "TLS: nothing can be sent any more");
      return;
    }
    const std::string_view bytes =
        tls_ ? tls_->pending() : std::string_view(out_).substr(out_sent_);
    if (bytes.empty()) {
      break;
    }
    const ssize_t sent =
        ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      const auto count = static_cast<std::size_t>(sent);
      if (tls_) {
        tls_->sent(count);
      } else {
        out_sent_ += count;
      }
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
      lost(ws::kCloseAbnormal, why_write_failed(errno));
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

// The next frames go through TLS when the socket has taken those before. False: TLS has failed.
bool ClientConnection::encrypt_next() {
  if (!tls_->pending().empty() || !tls_->is_open() || out_sent_ == out_.size()) {
    return true;
  }
  const std::string_view piece = std::string_view(out_).substr(out_sent_, kEncryptBytes);
  out_sent_ += piece.size();
  return tls_->encrypt({&piece, 1});
}

// A server that refuses a client's certificate closes its socket after the alert, and the client,
// whose side of the handshake is over, may write before it has read that.
std::string ClientConnection::why_write_failed(int error) {
  if (tls_ && state_ == State::kHandshake) {
    const std::span<char> buffer = loop_.read_buffer();
    const ssize_t got = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    const bool goes_on = got <= 0 || tls_->receive(buffer.first(static_cast<std::size_t>(got)),
                                                   loop_.tls_buffer(), [](auto) { return true; });
    if (!goes_on && !tls_->failure().empty()) {
      return tls_->failure();
    }
  }
  return fmt::format("write: {}", system_error_text(error));
}

void ClientConnection::close(ws::CloseCode code, std::string_view reason) {
  owner_ = nullptr;
  if (state_ != State::kOpen) {
    finish();
    return;
  }
  append_frame(ws::Opcode::kClose, ws::close_payload(code, reason));
  leave();
}

// The last frame, a Close, is queued: sends it and waits in the background until the server ends
// the connection, but not for long. A socket that was closed with bytes unread would take the Close
// back.
void ClientConnection::leave() {
  state_ = State::kClosing;
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

// Says close_notify, if that is the truth: not behind half a frame, and not before the handshake.
void ClientConnection::end_tls() {
  if (!tls_ || is_blocked_ || out_sent_ < out_.size() || !tls_->is_open()) {
    return;
  }
  tls_->close();
  // Whether the socket takes it or not, nobody waits for it.
  [[maybe_unused]] const ssize_t sent = ::send(socket_.native_handle(), tls_->pending().data(),
                                               tls_->pending().size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void ClientConnection::finish() {
  if (state_ == State::kOpen || state_ == State::kClosing) {
    end_tls();
  }
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
