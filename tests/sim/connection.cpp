// SPDX-License-Identifier: Apache-2.0
#include "sim/connection.h"

#include "core/probe.h"
#include "sim/shard.h"
#include "ws/frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::sim {

namespace {

constexpr Duration kRequestTimeout = 10s;
constexpr Duration kCloseTimeout = 5s;
constexpr std::size_t kMessageBytesMax = 64UL * 1024;

}  // namespace

Connection::Connection(Shard& shard, std::uint64_t id, Wire& wire)
    : shard_(shard),
      id_(id),
      wire_(wire),
      outbox_(shard.options_.outbox),
      reader_(ws::Role::kServer, {.message_bytes_max = kMessageBytesMax}),
      deadline_(shard.schedule_.now() + kRequestTimeout) {
  arm_deadline();
}

Connection::~Connection() = default;

// — reading —

void Connection::received(std::string_view bytes) {
  if (dropped_) {
    return;
  }
  if (bytes.empty()) {
    drop();
    return;
  }
  input_ += bytes;
  if (session_ || closing_) {
    read();
  } else {
    handshake();
  }
}

void Connection::handshake() {
  if (asking_ || !input_.starts_with(kHandshakeRequest)) {
    return;
  }
  input_.erase(0, kHandshakeRequest.size());
  if (shard_.options_.asks_door) {
    asking_ = true;
    shard_.ask_door(id_);
  } else {
    admitted();
  }
}

void Connection::admitted() {
  asking_ = false;
  deadline_ = TimePoint::max();
  arm_deadline();
  session_ = std::make_unique<session::Session>(shard_.rooms_->environment, *this);
  outbox_.push_reply(std::string(kHandshakeAnswer));
  want_flush();
  read();
}

void Connection::read() {
  if (input_.empty() || dropped_ || (session_ && session_->is_paused() && !closing_)) {
    return;
  }
  std::string bytes = std::exchange(input_, {});
  const std::size_t size = bytes.size();
  bytes.append(ws::kMessagePadding, '\0');
  const Result<void> result = reader_.read(std::span(bytes.data(), size), *this);
  if (!result.has_value()) {
    shard_.checker_.violated("client frames", result.error().context);
  }
}

bool Connection::on_text(std::span<char> message) {
  session_->on_message(message);
  return !dropped_ && !closing_;
}

bool Connection::on_binary(std::span<char> /*message*/) {
  return false;
}

bool Connection::on_ping(std::string_view /*payload*/) {
  return true;
}

bool Connection::on_pong(std::string_view /*payload*/) {
  return true;
}

bool Connection::on_close(ws::CloseCode code, std::string_view /*reason*/) {
  peer_closed_ = true;
  if (closing_) {
    want_flush();
    return false;
  }
  session_.reset();
  begin_close(code, {});
  return false;
}

// — the end —

void Connection::drop() {
  if (dropped_) {
    return;
  }
  dropped_ = true;
  shard_.rooms_->timers.disarm(*this);
  static_cast<ListHook<FlushHook>&>(*this).unlink();
  wire_.down.finish();
  shard_.dead_.push_back(*this);
}

// Whoever was not told by now had a socket that took no more.
void Connection::give_up() {
  const bool stalled = waiting_to_write_ && (closing_ || !shard_.is_draining());
  if (!dropped_ && session_ && !outbox_.close_written() && !stalled) {
    shard_.checker_.violated(
        "not told",
        fmt::format("connection {}: dropped without a Close, and its socket had room", id_));
  }
  if (shard_.is_draining() && !dropped_ && stalled) {
    TRUNKLINE_SOMETIMES("stop drops a stalled reader");
  } else if (shard_.is_draining() && !dropped_ && outbox_.close_written()) {
    TRUNKLINE_SOMETIMES("stop drops one that does not answer");
  }
  drop();
}

void Connection::shut_down() {
  if (session_) {
    session_->disconnect(session::kDisconnectShutdown);
  } else if (!closing_) {
    drop();
  }
}

void Connection::close(std::uint16_t code, std::string_view reason) {
  if (!closing_ && !dropped_) {
    begin_close(code, reason);
  }
}

void Connection::begin_close(std::uint16_t code, std::string_view reason) {
  closing_ = true;
  wire_.close_code = code;
  shard_.schedule_.trace(fmt::format("close {} {}", id_, code));
  due_at_close_ = outbox_.pending_bytes();
  outbox_.close(ws::make_frame(ws::Opcode::kClose, ws::close_payload(code, reason)));
  deadline_ = shard_.schedule_.now() + kCloseTimeout;
  arm_deadline();
  want_flush();
}

void Connection::note_situation() {
  if (dropped_ || closing_) {
    TRUNKLINE_SOMETIMES("stop during a Close");
  } else if (!session_) {
    TRUNKLINE_SOMETIMES("stop during a handshake");
    if (asking_) {
      TRUNKLINE_SOMETIMES("stop while the door is asked");
    }
  } else if (!session_->is_connected()) {
    TRUNKLINE_SOMETIMES("stop before connect");
  } else if (waiting_to_write_) {
    TRUNKLINE_SOMETIMES("stop of a blocked reader");
    if (outbox_.source_count() > 0) {
      TRUNKLINE_SOMETIMES("stop during a catch-up");
    }
  } else if (session_->is_paused()) {
    TRUNKLINE_SOMETIMES("stop while commands wait");
  }
}

// — writing —

void Connection::want_flush() {
  if (!dropped_ && !static_cast<ListHook<FlushHook>&>(*this).is_linked()) {
    shard_.to_flush_.push_back(*this);
  }
}

void Connection::writable() {
  if (!dropped_) {
    waiting_to_write_ = false;
    shard_.catch_up(*this);
  }
}

void Connection::write(const outbox::Plan& plan) {
  if (plan.empty()) {
    return;
  }
  std::string bytes;
  for (const std::string_view span : plan.spans()) {
    bytes += span;
  }
  if (wire_.close_written) {
    shard_.checker_.violated(
        "after the close", fmt::format("connection {}: {} bytes are written behind the Close frame",
                                       id_, bytes.size()));
  }
  const std::size_t count = wire_.down.write(bytes);
  shard_.schedule_.trace(std::string_view(bytes).substr(0, count));
  written_since_close_ += closing_ ? count : 0;
  outbox_.written(plan, count, shard_.schedule_.now());
  if (count < bytes.size()) {
    waiting_to_write_ = true;
    arm_deadline();
  } else if (!outbox_.idle()) {
    shard_.catch_up(*this);
  }
}

void Connection::flushed() {
  if (dropped_) {
    return;
  }
  if (closing_ && outbox_.close_written()) {
    if (written_since_close_ < due_at_close_) {
      shard_.checker_.violated(
          "replies before the close",
          fmt::format("connection {}: {} bytes were queued before the Close frame, {} were written",
                      id_, due_at_close_, written_since_close_));
    }
    wire_.close_written = !wire_.down.is_cut();
    if (peer_closed_) {
      drop();
    }
    return;
  }
  if (session_) {
    session_->resume();
    read();
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
    shard_.rooms_->timers.disarm(*this);
  } else {
    shard_.rooms_->timers.arm(*this, due);
  }
}

void Connection::on_timer(TimePoint now) {
  const auto write_deadline = outbox_.write_deadline();
  if (deadline_ <= now ||
      (waiting_to_write_ && write_deadline.has_value() && *write_deadline <= now)) {
    give_up();
    return;
  }
  arm_deadline();
}

}  // namespace trunkline::sim
