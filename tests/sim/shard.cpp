// SPDX-License-Identifier: Apache-2.0
#include "sim/shard.h"

#include "ws/frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::sim {

namespace {

constexpr Duration kCloseTimeout = 5s;
constexpr std::size_t kMessageBytesMax = 64UL * 1024;

}  // namespace

// — connection —

Connection::Connection(Shard& shard, std::uint64_t id, Wire& wire)
    : shard_(shard),
      id_(id),
      wire_(wire),
      outbox_(shard.options_.outbox),
      reader_(ws::Role::kServer, {.message_bytes_max = kMessageBytesMax}),
      session_(std::make_unique<session::Session>(shard.environment_, *this)) {}

Connection::~Connection() = default;

void Connection::received(std::string_view bytes) {
  if (dropped_) {
    return;
  }
  if (bytes.empty()) {
    drop();
    return;
  }
  input_ += bytes;
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

void Connection::drop() {
  if (dropped_) {
    return;
  }
  dropped_ = true;
  shard_.timers_.disarm(*this);
  static_cast<ListHook<FlushHook>&>(*this).unlink();
  wire_.down.finish();
  shard_.dead_.push_back(*this);
}

void Connection::shut_down() {
  if (session_) {
    session_->disconnect(session::kDisconnectShutdown);
  }
}

void Connection::want_flush() {
  if (!dropped_ && !static_cast<ListHook<FlushHook>&>(*this).is_linked()) {
    shard_.to_flush_.push_back(*this);
  }
}

void Connection::close(std::uint16_t code, std::string_view reason) {
  if (closing_ || dropped_) {
    return;
  }
  closing_ = true;
  shard_.schedule_.trace(fmt::format("close {} {}", id_, code));
  due_at_close_ = outbox_.pending_bytes();
  outbox_.close(ws::make_frame(ws::Opcode::kClose, ws::close_payload(code, reason)));
  deadline_ = shard_.schedule_.now() + kCloseTimeout;
  arm_deadline();
  want_flush();
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
  closing_ = true;
  session_.reset();
  due_at_close_ = outbox_.pending_bytes();
  outbox_.close(ws::make_frame(ws::Opcode::kClose, ws::close_payload(code, {})));
  deadline_ = shard_.schedule_.now() + kCloseTimeout;
  arm_deadline();
  want_flush();
  return false;
}

void Connection::flush() {
  if (dropped_ || waiting_to_write_) {
    return;
  }
  while (true) {
    outbox_.gather(shard_.plan_);
    if (shard_.plan_.empty()) {
      break;
    }
    std::string bytes;
    for (const std::string_view span : shard_.plan_.spans()) {
      bytes += span;
    }
    const std::size_t count = wire_.down.write(bytes);
    shard_.schedule_.trace(std::string_view(bytes).substr(0, count));
    written_since_close_ += closing_ ? count : 0;
    outbox_.written(shard_.plan_, count, shard_.schedule_.now());
    if (count < bytes.size()) {
      waiting_to_write_ = true;
      arm_deadline();
      break;
    }
  }
  flushed();
}

void Connection::flushed() {
  if (closing_ && outbox_.close_written()) {
    if (written_since_close_ < due_at_close_) {
      shard_.checker_.violated(
          "replies before the close",
          fmt::format("connection {}: {} bytes were queued before the Close frame, {} were written",
                      id_, due_at_close_, written_since_close_));
    }
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
  if (deadline_ <= now ||
      (waiting_to_write_ && write_deadline.has_value() && *write_deadline <= now)) {
    drop();
    return;
  }
  arm_deadline();
}

// — shard —

Shard::Shard(Schedule& schedule, Checker& checker, hub::ShardId self, hub::ShardId shards,
             const ShardOptions& options, const session::Authenticator& authenticator, Post post)
    : schedule_(schedule),
      checker_(checker),
      self_(self),
      options_(options),
      post_(std::move(post)),
      random_(schedule.random.next()),
      timers_(schedule.now()),
      memory_(options.engine, timers_, random_),
      engine_(memory_, checker),
      hub_(self, shards, engine_, codec_, *this, timers_),
      environment_{.options = options.session,
                   .authenticator = authenticator,
                   .hub = hub_,
                   .timers = timers_,
                   .random = random_} {
  hub_.set_compressor(compressor_);
  hub_.set_pacing(options.pacing);
}

Shard::~Shard() = default;

void Shard::receive(hub::Message message) {
  run([message = std::move(message)](Shard& shard) mutable {
    shard.hub_.handle(std::move(message), shard.schedule_.now());
  });
}

void Shard::run(std::move_only_function<void(Shard&)> task) {
  tasks_.push_back(std::move(task));
  // Now and then several things come together.
  want_turn(schedule_.random.one_in(4) ? schedule_.between(0ms, 5ms) : 0ms);
}

void Shard::adopt(Wire& wire) {
  const std::uint64_t id = ++last_connection_;
  wire.shard = this;
  wire.connection = id;
  wire.up.on_bytes = [this, id](std::string_view bytes) {
    run([id, input = std::string(bytes)](Shard& shard) {
      if (Connection* connection = shard.find(id)) {
        connection->received(input);
      }
    });
  };
  wire.down.on_writable = [this, id] {
    run([id](Shard& shard) {
      if (Connection* connection = shard.find(id)) {
        connection->waiting_to_write_ = false;
        connection->want_flush();
      }
    });
  };
  run([id, &wire](Shard& shard) {
    shard.environment_.now.monotonic = shard.schedule_.now();
    shard.connections_.emplace(id, std::make_unique<Connection>(shard, id, wire));
  });
}

Connection* Shard::find(std::uint64_t connection) {
  const auto found = connections_.find(connection);
  return found == connections_.end() ? nullptr : found->second.get();
}

void Shard::shut_down() {
  for (const auto& [id, connection] : connections_) {
    connection->shut_down();
  }
}

void Shard::post(hub::ShardId to, hub::Message message) {
  outgoing_.emplace_back(to, std::move(message));
}

void Shard::want_turn(Duration delay) {
  const TimePoint at = schedule_.now() + delay;
  if (at >= turn_at_) {
    return;
  }
  turn_at_ = at;
  schedule_.at(at, [this, at] {
    if (turn_at_ == at) {
      turn();
    }
  });
}

void Shard::turn() {
  turn_at_ = TimePoint::max();
  const TimePoint now = schedule_.now();
  // The wall clock stands a fixed distance ahead.
  environment_.now = {now, WallTime(std::chrono::floor<std::chrono::milliseconds>(
                               now.time_since_epoch() + std::chrono::hours(400'000)))};
  for (auto& task : std::exchange(tasks_, {})) {
    task(*this);
  }
  timers_.advance(now);
  hub_.announce();
  flush_connections();
  hub_.settle(now);
  flush_connections();
  while (Connection* connection = dead_.pop_front()) {
    connections_.erase(connection->id());
  }
  for (auto& [to, message] : std::exchange(outgoing_, {})) {
    post_(self_, to, std::move(message));
  }
  if (!tasks_.empty() || hub_.has_work()) {
    want_turn(0ms);
  }
  arm_wakeup();
}

void Shard::flush_connections() {
  while (Connection* connection = to_flush_.pop_front()) {
    connection->flush();
  }
}

void Shard::arm_wakeup() {
  if (const auto next = timers_.next_wakeup()) {
    want_turn(std::max<Duration>(*next - schedule_.now(), 1ms));
  }
}

}  // namespace trunkline::sim
