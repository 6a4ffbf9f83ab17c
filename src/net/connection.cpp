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

struct Connection::Tls {
  explicit Tls(std::shared_ptr<const TlsContext> context) : stream(std::move(context)) {}

  // Encrypted for one connection alone, it is memory that a stalled client costs.
  static constexpr std::size_t kGatherBytesMax = 16UL * 1024;

  TlsStream stream;
  std::string_view pending;              // what the socket is being given
  std::optional<TimePoint> stuck_since;  // the socket has not taken what was pending then
};

Connection::Connection(Shard& shard, ConnectionId id, int descriptor, Ticket ticket,
                       std::shared_ptr<const TlsContext> tls)
    : shard_(shard),
      tls_(tls ? std::make_unique<Tls>(std::move(tls)) : nullptr),
      outbox_(shard.options_.outbox),
      ticket_(std::move(ticket)),
      socket_(shard.io(), asio::ip::tcp::v4(), descriptor),
      id_(id) {}

Connection::~Connection() = default;

void Connection::start() {
  http_ = std::make_unique<Http>(shard_.options_.request_body_bytes_max);
  deadline_ = shard_.environment_.now.monotonic + shard_.options_.request_timeout;
  arm_deadline();
  wait_readable();
}

void Connection::shut_down() {
  if (session_) {
    session_->disconnect(session::kDisconnectShutdown);
  } else if (http_ && (!http_->responding || http_->asking) && is_all_written()) {
    drop(Ending::kShutdown);
  } else {
    close_after_flush_ = true;
  }
}

void Connection::drop(Ending how) {
  if (dropped_) {
    return;
  }
  dropped_ = true;
  if (reader_) {
    ++shard_.stats_.endings[static_cast<std::size_t>(how)];
  }
  shard_.stats_.outbox += outbox_.take_stats();
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
    drop(closing_ && outbox_.close_written() ? Ending::kClosed : Ending::kLost);
    return;
  }
  shard_.touch();
  if (tls_) {
    received_tls({buffer.data(), static_cast<std::size_t>(count)});
  } else {
    received({buffer.data(), static_cast<std::size_t>(count)});
  }
  const bool paused = session_ ? session_->is_paused() : http_ && http_->responding;
  if (!paused) {
    wait_readable();
  }
}

void Connection::received_tls(std::span<char> bytes) {
  std::vector<char>& buffer = shard_.tls_buffer_;
  const std::span<char> room(buffer.data(), buffer.size() - ws::kMessagePadding);
  const bool goes_on = tls_->stream.receive(bytes, room, [this](std::span<char> said) {
    received(said);
    return !dropped_;
  });
  if (dropped_) {
    return;
  }
  if (!tls_->stream.pending().empty()) {
    want_flush();
  }
  if (!goes_on) {
    // What is pending says why; there is nobody to wait for.
    close_after_flush_ = true;
    peer_closed_ = true;
    want_flush();
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

std::string Connection::text_frame(std::string_view message) {
  return deflate_ ? deflate_->frame(ws::Opcode::kText, message) : session::text_frame(message);
}

std::span<const std::string_view> Connection::gather(outbox::Plan& plan) {
  if (!tls_) {
    outbox_.gather(plan);
    return plan.spans();
  }
  TlsStream& stream = tls_->stream;
  if (stream.pending().empty() && stream.is_open()) {
    outbox_.gather(plan, Tls::kGatherBytesMax);
    if (!stream.encrypt(plan.spans())) {
      drop(Ending::kLost);
      return {};
    }
    outbox_.written(plan, plan.bytes(), shard_.environment_.now.monotonic);
  }
  tls_->pending = stream.pending();
  return {&tls_->pending, tls_->pending.empty() ? 0U : 1U};
}

void Connection::wrote(const outbox::Plan& plan, std::size_t bytes) {
  bool all = true;
  if (!tls_) {
    outbox_.written(plan, bytes, shard_.environment_.now.monotonic);
    all = bytes == plan.bytes();
  } else {
    tls_->stream.sent(bytes);
    all = tls_->stream.pending().empty();
    if (all) {
      tls_->stuck_since.reset();
    } else if (!tls_->stuck_since.has_value()) {
      tls_->stuck_since = shard_.environment_.now.monotonic;
    }
  }
  if (!all) {
    wait_writable();
  } else if (!is_all_written() && (!tls_ || tls_->stream.is_open())) {
    shard_.behind_.push_back(*this);
  }
}

bool Connection::is_all_written() const {
  return outbox_.idle() && (!tls_ || tls_->stream.pending().empty());
}

std::optional<TimePoint> Connection::write_deadline() const {
  if (tls_ && tls_->stuck_since.has_value()) {
    return *tls_->stuck_since + shard_.options_.outbox.write_deadline;
  }
  return outbox_.write_deadline();
}

void Connection::wait_writable() {
  if (waiting_to_write_ || dropped_) {
    return;
  }
  waiting_to_write_ = true;
  ++shard_.stats_.stalls;
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
  const bool is_close_written = closing_ && outbox_.close_written() && is_all_written();
  if (is_close_written || (close_after_flush_ && is_all_written())) {
    end_writing(is_close_written);
    return;
  }
  // While it reads, no command waits; then the session's memory is left alone, which is not in the
  // cache when thousands are flushed.
  if (!waiting_to_read_ && session_) {
    session_->resume();
    if (!session_->is_paused()) {
      wait_readable();
    }
  }
}

void Connection::end_writing(bool is_close_written) {
  if (tls_ && tls_->stream.is_open() && !peer_closed_) {
    tls_->stream.close();
    want_flush();
    return;
  }
  if (!is_close_written || peer_closed_) {
    drop(Ending::kClosed);
    return;
  }
  // Nothing more comes from us; the peer's Close or the deadline ends it.
  boost::system::error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  wait_readable();
}

// — time —

void Connection::arm_deadline() {
  TimePoint due = deadline_;
  if (waiting_to_write_) {
    if (const auto limit = write_deadline()) {
      due = std::min(due, *limit);
    }
  }
  if (due == TimePoint::max()) {
    shard_.timers_.disarm(*this);
  } else {
    shard_.timers_.arm(*this, due);
  }
}

void Connection::on_timer(TimePoint now) {
  const auto limit = write_deadline();
  if (waiting_to_write_ && limit.has_value() && *limit <= now) {
    drop(Ending::kWriteTimeout);
    return;
  }
  if (deadline_ <= now) {
    drop(Ending::kCloseTimeout);
    return;
  }
  arm_deadline();
}

}  // namespace trunkline::net
