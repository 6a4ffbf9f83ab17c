// SPDX-License-Identifier: Apache-2.0
#include "net/connection.h"

#include "core/assert.h"
#include "net/connection_http.h"
#include "net/shard.h"
#include "ws/frame.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;

Connection::Connection(Shard& shard, ConnectionId id, int descriptor)
    : shard_(shard),
      id_(id),
      socket_(shard.io(), asio::ip::tcp::v4(), descriptor),
      outbox_(shard.options_.outbox) {}

Connection::~Connection() = default;

void Connection::start() {
  http_ = std::make_unique<Http>(shard_.options_);
  deadline_ = shard_.environment_.now.monotonic + shard_.options_.request_timeout;
  arm_deadline();
  wait_readable();
}

void Connection::shut_down() {
  if (session_) {
    session_->disconnect(session::kDisconnectShutdown);
  } else if (http_ && !http_->responding) {
    drop();
  } else {
    close_after_flush_ = true;
  }
}

void Connection::drop() {
  if (dropped_) {
    return;
  }
  dropped_ = true;
  shard_.timers_.disarm(*this);
  static_cast<ListHook<FlushHook>&>(*this).unlink();
  boost::system::error_code ignored;
  socket_.close(ignored);
  shard_.dead_.push_back(*this);
}

void Connection::want_flush() {
  if (!dropped_ && !static_cast<ListHook<FlushHook>&>(*this).is_linked()) {
    shard_.to_flush_.push_back(*this);
  }
}

void Connection::catch_up() {
  static_cast<ListHook<FlushHook>&>(*this).unlink();
  shard_.behind_.push_back(*this);
}

// — reading —

void Connection::wait_readable() {
  if (waiting_to_read_ || dropped_) {
    return;
  }
  waiting_to_read_ = true;
  ++operations_;
  socket_.async_wait(asio::ip::tcp::socket::wait_read,
                     [this](const boost::system::error_code& error) {
                       --operations_;
                       waiting_to_read_ = false;
                       if (!dropped_ && !error) {
                         readable();
                       }
                     });
}

void Connection::readable() {
  std::vector<char>& buffer = shard_.read_buffer_;
  const std::size_t room = buffer.size() - ws::kMessagePadding;
  const ssize_t count = ::recv(socket_.native_handle(), buffer.data(), room, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    wait_readable();
    return;
  }
  if (count <= 0) {
    drop();
    return;
  }
  shard_.touch();
  received({buffer.data(), static_cast<std::size_t>(count)});
  const bool paused = session_ ? session_->is_paused() : http_ && http_->responding;
  if (!paused) {
    wait_readable();
  }
}

void Connection::received(std::span<char> bytes) {
  if (reader_) {
    received_frames(bytes);
  } else {
    received_http(bytes);
  }
}

void Connection::received_frames(std::span<char> bytes) {
  if (peer_closed_) {
    return;
  }
  const Result<void> result = reader_->read(bytes, *this);
  if (!result.has_value()) {
    shard_.options_.log(result.error().context);
    session_->disconnect(ws::close_code(result.error().code), result.error().context);
  }
}

bool Connection::on_text(std::span<char> message) {
  session_->on_message(message);
  return !dropped_ && !closing_;
}

bool Connection::on_binary(std::span<char> /*message*/) {
  session_->disconnect(session::kDisconnectInappropriateProtocol);
  return false;
}

bool Connection::on_ping(std::string_view payload) {
  if (outbox_.push_control(ws::make_frame(ws::Opcode::kPong, payload)) ==
      outbox::Verdict::kAccepted) {
    want_flush();
  }
  return true;
}

bool Connection::on_pong(std::string_view /*payload*/) {
  session_->on_native_pong();
  return true;
}

bool Connection::on_close(ws::CloseCode code, std::string_view /*reason*/) {
  peer_closed_ = true;
  if (closing_) {
    want_flush();
    return false;
  }
  // The peer's code comes back to it (RFC 6455, section 5.5.1); the session ends without counting
  // as a disconnect of ours.
  closing_ = true;
  session_.reset();
  outbox_.close(ws::make_frame(ws::Opcode::kClose, ws::close_payload(code, {})));
  deadline_ = shard_.environment_.now.monotonic + shard_.options_.close_timeout;
  arm_deadline();
  want_flush();
  return false;
}

void Connection::close(std::uint16_t code, std::string_view reason) {
  if (closing_ || dropped_) {
    return;
  }
  closing_ = true;
  outbox_.close(ws::make_frame(ws::Opcode::kClose, ws::close_payload(code, reason)));
  deadline_ = shard_.environment_.now.monotonic + shard_.options_.close_timeout;
  arm_deadline();
  want_flush();
}

// — writing —

void Connection::wait_writable() {
  if (waiting_to_write_ || dropped_) {
    return;
  }
  waiting_to_write_ = true;
  ++operations_;
  arm_deadline();
  socket_.async_wait(asio::ip::tcp::socket::wait_write,
                     [this](const boost::system::error_code& error) {
                       --operations_;
                       waiting_to_write_ = false;
                       if (!dropped_ && !error) {
                         catch_up();
                       }
                     });
}

void Connection::flushed() {
  if (dropped_) {
    return;
  }
  if (closing_ && outbox_.close_written()) {
    if (peer_closed_) {
      drop();
      return;
    }
    // Nothing more comes from us; the peer's Close or the deadline ends it.
    boost::system::error_code ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    wait_readable();
    return;
  }
  if (http_ && close_after_flush_ && outbox_.idle()) {
    drop();
    return;
  }
  if (session_) {
    session_->resume();
    if (!session_->is_paused()) {
      wait_readable();
    }
  }
}

// — time —

void Connection::arm_deadline() {
  TimePoint due = deadline_;
  if (waiting_to_write_) {
    if (const auto write_deadline = outbox_.write_deadline()) {
      due = std::min(due, *write_deadline);
    }
  }
  if (due == TimePoint::max()) {
    shard_.timers_.disarm(*this);
  } else {
    shard_.timers_.arm(*this, due);
  }
}

void Connection::on_timer(TimePoint now) {
  const auto write_deadline = outbox_.write_deadline();
  if (waiting_to_write_ && write_deadline.has_value() && *write_deadline <= now) {
    ++shard_.stats_.write_timeouts;
    drop();
    return;
  }
  if (deadline_ <= now) {
    drop();
    return;
  }
  arm_deadline();
}

}  // namespace trunkline::net
