// SPDX-License-Identifier: Apache-2.0
#include "sim/client.h"

#include "core/probe.h"
#include "session/permissions.h"
#include "session/protocol.h"
#include "sim/world.h"
#include "ws/frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::sim {

using Phase = ClientChannel::Phase;

Client::Client(World& world, std::size_t number, Behaviour behaviour)
    : world_(world),
      name_(fmt::format("client {}", number)),
      behaviour_(behaviour),
      reader_(ws::Role::kClient, {}) {
  for (const std::string& name : world.channels()) {
    ClientChannel channel;
    channel.name = name;
    channel.settings =
        session::channel_settings(world.rules(), *session::find_options(world.rules(), name));
    channel.snapshot = World::has_snapshots(name);
    const session::OnLost on_lost = session::find_options(world.rules(), name)->on_lost;
    channel.skips = on_lost == session::OnLost::kSkip || on_lost == session::OnLost::kLatest;
    channel.newest = on_lost == session::OnLost::kLatest;
    channel.wanted = world.schedule().random.one_in(2);
    channel.from_server = behaviour.has_token && world.schedule().random.one_in(2);
    if (channel.from_server) {
      channel.wanted = false;
    }
    // Nobody asks for joins there, and no namespace forces them.
    channel.join_leave = channel.settings.join_leave && !channel.from_server;
    channels_.push_back(std::move(channel));
  }
}

Client::~Client() = default;

void Client::violated(std::string_view check, std::string_view detail) {
  world_.checker().violated(check, fmt::format("{}: {}", name_, detail));
}

ClientChannel* Client::find(std::string_view channel) {
  const auto found = std::ranges::find(channels_, channel, &ClientChannel::name);
  return found == channels_.end() ? nullptr : &*found;
}

Position Client::top_of(const std::string& channel) const {
  const EpochLog* log = world_.checker().current(channel);
  return log == nullptr ? Position{} : Position{log->epoch, log->head()};
}

// — the connection —

void Client::connect() {
  reader_ = ws::FrameReader(ws::Role::kClient, {.message_bytes_max = 64UL << 20U});
  closing_ = muted_ = false;
  outgoing_.clear();
  handshake_.clear();
  world_.log(name_, "connects");
  wire_ = &world_.open_wire(*this);
  wire_->up.write_all(kHandshakeRequest);
}

bool Client::shake_hands(std::string_view& bytes) {
  const std::size_t missing = kHandshakeAnswer.size() - handshake_.size();
  if (missing == 0) {
    return true;
  }
  handshake_ += bytes.substr(0, missing);
  bytes.remove_prefix(std::min(missing, bytes.size()));
  if (!kHandshakeAnswer.starts_with(handshake_)) {
    violated("frames", fmt::format("the handshake is answered {}", handshake_));
  }
  if (handshake_.size() < kHandshakeAnswer.size()) {
    return false;
  }
  command({.kind = "connect"}, connect_body());
  flush();
  return true;
}

void Client::closed() {
  wire_ = nullptr;
  connected_ = false;
  waiting_.clear();
  for (ClientChannel& channel : channels_) {
    channel.phase = Phase::kNone;
    channel.positioned = channel.lost = false;
  }
  Schedule& schedule = world_.schedule();
  reconnect_at_ = std::max(schedule.now(), away_until_) +
                  schedule.between(10ms, settled_ ? 200ms : world_.paced(3s, 100ms));
}

void Client::stay_away(TimePoint until) {
  away_until_ = until;
  reconnect_at_ = std::max(reconnect_at_, until);
  cut();
}

void Client::cut() {
  if (wire_ == nullptr) {
    return;
  }
  Schedule& schedule = world_.schedule();
  Wire& wire = *wire_;
  // The server may take long to see it, or see it before what was on its way.
  wire.up.cut(schedule.random.one_in(4) ? schedule.between(1s, world_.paced(20s, 3s))
                                        : schedule.between(0ms, 20ms));
  wire.down.cut(0ms);
}

void Client::received(const Wire& wire, std::string_view bytes) {
  if (wire.close_read && !bytes.empty()) {
    violated("after the close", fmt::format("{} bytes", bytes.size()));
  }
  if (&wire != wire_) {
    return;
  }
  if (bytes.empty()) {
    world_.log(name_, "connection lost");
    if (wire.close_written && !wire.down.is_cut()) {
      violated("not told", "the connection ended before the Close that was written");
    }
    closed();
    return;
  }
  if (!shake_hands(bytes) || bytes.empty()) {
    return;
  }
  std::string padded(bytes);
  padded.append(ws::kMessagePadding, '\0');
  const Result<void> result = reader_.read(std::span(padded.data(), bytes.size()), *this);
  if (!result.has_value()) {
    violated("frames", result.error().context);
  }
  if (closing_ && wire_ != nullptr) {
    const std::size_t tail = std::min(bytes.size(), close_frame_.size());
    if (!close_frame_.ends_with(bytes.substr(bytes.size() - tail))) {
      violated("after the close", "something follows the Close frame");
    }
    wire_->close_read = true;
    wire_->up.finish();
    closed();
  }
  flush();
}

void Client::settle_down() {
  settled_ = true;
  settled_at_ = away_until_ = world_.schedule().now();
  reconnect_at_ = std::min(reconnect_at_, world_.schedule().now() + 200ms);
  for (ClientChannel& channel : channels_) {
    channel.retry_at = world_.schedule().now();
  }
  if (muted_) {
    cut();
  }
}

bool Client::on_text(std::span<char> message) {
  std::string_view lines(message.data(), message.size());
  for (bool more = true; more;) {
    const std::size_t end = lines.find('\n');
    more = end != std::string_view::npos;
    Reply reply;
    world_.log(name_, lines.substr(0, end));
    if (!replies_.read(lines.substr(0, end), reply)) {
      violated("json", lines.substr(0, end));
      return false;
    }
    if (reply.push) {
      handle_push(reply);
    } else if (reply.kind.empty() && reply.id == 0) {
      handle_ping();
    } else {
      handle_reply(reply);
    }
    lines.remove_prefix(more ? end + 1 : lines.size());
  }
  return true;
}

bool Client::on_binary(std::span<char> /*message*/) {
  violated("frames", "a binary message");
  return false;
}

bool Client::on_ping(std::string_view /*payload*/) {
  return true;
}

bool Client::on_pong(std::string_view /*payload*/) {
  return true;
}

bool Client::on_close(ws::CloseCode code, std::string_view reason) {
  world_.log(name_, fmt::format("closed: {} {}", code, reason));
  static constexpr std::uint16_t kNoPong = 3012;
  static constexpr std::uint16_t kStale = 3502;
  if ((code >= 3500 && code != kStale) || code < 3000 ||
      (code == kNoPong && settled_ && world_.schedule().now() > settled_at_ + 15s)) {
    violated("disconnect", fmt::format("closed with {} {}", code, reason));
  }
  if (code == session::kDisconnectShutdown.code && !wire_->shard->is_draining()) {
    violated("disconnect", "told of a shutdown that is none");
  }
  close_frame_ = ws::make_frame(ws::Opcode::kClose, ws::close_payload(code, reason));
  if (wire_ != nullptr) {
    wire_->up.write_all(
        ws::make_masked_frame(ws::Opcode::kClose, ws::close_payload(code, {}), {1, 2, 3, 4}));
  }
  closing_ = true;
  return false;
}

// — commands —

void Client::send_line(std::string_view line) {
  world_.log(name_, fmt::format("> {}", line));
  if (!outgoing_.empty()) {
    outgoing_ += '\n';
  }
  outgoing_ += line;
  if (!behaviour_.batches) {
    flush();
  }
}

void Client::flush() {
  if (outgoing_.empty() || wire_ == nullptr || closing_) {
    return;
  }
  const std::string message = std::exchange(outgoing_, {});
  const std::uint64_t key = world_.schedule().random.next();
  wire_->up.write_all(ws::make_masked_frame(
      ws::Opcode::kText, message,
      {static_cast<std::uint8_t>(key), static_cast<std::uint8_t>(key >> 8U),
       static_cast<std::uint8_t>(key >> 16U), static_cast<std::uint8_t>(key >> 24U)}));
}

std::uint32_t Client::command(Command command, std::string_view body) {
  const std::uint32_t id = ++last_id_;
  send_line(fmt::format(R"({{"id":{},"{}":{}}})", id, command.kind, body));
  waiting_.emplace(id, std::move(command));
  return id;
}

void Client::subscribe(ClientChannel& channel) {
  Random& random = world_.schedule().random;
  channel.phase = Phase::kSubscribing;
  channel.ended = false;
  channel.asked_recovery = channel.resumable && behaviour_.recovers && !random.one_in(5);
  channel.refuse_unrecovered = channel.asked_recovery && random.one_in(4);
  channel.asked = channel.seen;
  channel.top_at_send = top_of(channel.name);
  if (channel.asked_recovery && random.one_in(40)) {
    // A position that there has never been.
    channel.asked.offset.value += 1'000'000;
  } else if (channel.asked_recovery && random.one_in(40)) {
    channel.asked.epoch = "elsewhere";
  }
  std::string more;
  if (channel.asked_recovery) {
    more = fmt::format(R"(,"recover":true,"epoch":"{}","offset":{})", channel.asked.epoch,
                       channel.asked.offset.value);
  }
  if (channel.refuse_unrecovered) {
    more += R"(,"flag":2)";
  }
  if (channel.join_leave) {
    more += R"(,"join_leave":true)";
  }
  command({.kind = "subscribe", .channel = channel.name},
          fmt::format(R"({{"channel":"{}","recoverable":true,"positioned":true{}}})", channel.name,
                      more));
}

void Client::unsubscribe(ClientChannel& channel) {
  if (channel.phase == Phase::kLive) {
    channel.phase = Phase::kUnsubscribing;
  }
  channel.wanted = false;
  world_.revoke(name_, channel.name);
  command({.kind = "unsubscribe", .channel = channel.name},
          fmt::format(R"({{"channel":"{}"}})", channel.name));
}

void Client::publish(const ClientChannel& channel) {
  const std::string data = world_.next_data();
  command({.kind = "publish", .channel = channel.name, .serial = world_.last_serial()},
          fmt::format(R"({{"channel":"{}","data":{}}})", channel.name, data));
}

void Client::history(const ClientChannel& channel) {
  Random& random = world_.schedule().random;
  Command asked{.kind = "history", .channel = channel.name, .since = channel.seen};
  asked.top_at_send = top_of(channel.name);
  asked.has_since = channel.seen.offset.value > 0 && random.one_in(2);
  asked.reverse = random.one_in(3);
  asked.limit = 1 + random.below(20);
  const std::string since = asked.has_since
                                ? fmt::format(R"(,"since":{{"epoch":"{}","offset":{}}})",
                                              asked.since.epoch, asked.since.offset.value)
                                : std::string{};
  const std::string body = fmt::format(R"({{"channel":"{}","limit":{},"reverse":{}{}}})",
                                       channel.name, asked.limit, asked.reverse, since);
  command(std::move(asked), body);
}

void Client::act() {
  Schedule& schedule = world_.schedule();
  Random& random = schedule.random;
  if (!connected_) {
    return;
  }
  ClientChannel& channel = channels_[random.below(channels_.size())];
  const bool subscribed = channel.phase == Phase::kLive || channel.phase == Phase::kSubscribing;
  switch (random.below(8)) {
    case 0:
      channel.wanted = !channel.from_server;
      break;
    case 1:
      if (subscribed && (channel.wanted || channel.from_server) && random.one_in(2)) {
        unsubscribe(channel);
      }
      break;
    case 2:
      if (channel.settings.has_history()) {
        history(channel);
      }
      break;
    case 3:
      if (channel.settings.presence) {
        command({.kind = random.one_in(2) ? "presence" : "presence_stats", .channel = channel.name},
                fmt::format(R"({{"channel":"{}"}})", channel.name));
      }
      break;
    case 4:
      if (channel.phase == Phase::kNone && !channel.from_server && random.one_in(4)) {
        // Subscribes and changes its mind before the answer.
        subscribe(channel);
        unsubscribe(channel);
      }
      break;
    default:
      publish(channel);
      break;
  }
  flush();
}

void Client::keep_up() {
  const TimePoint now = world_.schedule().now();
  if (wire_ == nullptr && now >= reconnect_at_) {
    connect();
    return;
  }
  if (!connected_) {
    return;
  }
  for (ClientChannel& channel : channels_) {
    if (channel.wanted && channel.phase == Phase::kNone && now >= channel.retry_at) {
      subscribe(channel);
    }
  }
  flush();
}

void Client::handle_ping() {
  last_ping_ = world_.schedule().now();
  if (!muted_ && behaviour_.mute && !settled_ && world_.schedule().random.one_in(2)) {
    stop_answering();
  }
  if (!muted_) {
    send_line("{}");
  }
}

// From now on the server must find out by itself.
void Client::stop_answering() {
  muted_ = true;
  Shard& shard = *wire_->shard;
  world_.schedule().after(
      world_.client_options().pong_timeout + 100ms, [this, &shard, id = wire_->connection] {
        Connection* connection = shard.find(id);
        if (connection != nullptr && !connection->is_dropped() && !connection->is_closing()) {
          violated("no pong", "a connection without pongs is still open");
        }
      });
}

}  // namespace trunkline::sim
