// SPDX-License-Identifier: Apache-2.0
//
// Peers, calls, and the node's end; node_connections.cpp has how connections come and go.
#include "grid/node_core.h"

#include "core/assert.h"
#include "core/probe.h"

#include <fmt/format.h>

#include <utility>

namespace trunkline::grid {

namespace {

constexpr std::size_t kSecretBytesMin = 16;
constexpr std::size_t kChunkBytesMin = 512;

std::unexpected<Error> wrong(std::string context) {
  return fail(ErrorCode::kConfig, std::move(context));
}

}  // namespace

Result<void> check_options(const NodeOptions& options) {
  const Identity& identity = options.identity;
  const PeerLimits& limits = options.mux.limits;
  if (identity.name.empty() || identity.name.size() > kNameBytesMax) {
    return wrong(fmt::format("a node's name has 1 to {} bytes, not {}", kNameBytesMax,
                             identity.name.size()));
  }
  if (identity.instance == Instance{}) {
    return wrong("a node's instance must not be all zeros");
  }
  if (!identity.secret.empty() && identity.secret.size() < kSecretBytesMin) {
    return wrong(fmt::format("a secret of {} bytes can be guessed; at least {}",
                             identity.secret.size(), kSecretBytesMin));
  }
  if (identity.limits != limits) {
    return wrong("what is told to peers is not what is held to");
  }
  if (limits.frame_bytes_max < kFrameBytesMin || limits.frame_bytes_max > kFrameBytesBound) {
    return wrong(fmt::format("frame_bytes_max {} is not in {} to {}", limits.frame_bytes_max,
                             kFrameBytesMin, kFrameBytesBound));
  }
  if (limits.stream_window < kStreamWindowMin || limits.connection_window < kConnectionWindowMin ||
      limits.calls_max == 0) {
    return wrong(fmt::format("stream_window {}, connection_window {} or calls_max {} is too small",
                             limits.stream_window, limits.connection_window, limits.calls_max));
  }
  if (options.mux.chunk_bytes < kChunkBytesMin ||
      options.mux.stream_window_max < limits.stream_window) {
    return wrong(fmt::format("chunk_bytes {} or stream_window_max {} is too small",
                             options.mux.chunk_bytes, options.mux.stream_window_max));
  }
  if (options.mux.stream_window_max > kStreamBytesBound ||
      options.mux.stream_rescue_max > kStreamBytesBound) {
    return wrong(fmt::format("stream_window_max {} or stream_rescue_max {} is more than {}",
                             options.mux.stream_window_max, options.mux.stream_rescue_max,
                             kStreamBytesBound));
  }
  if (options.mux.ping_interval <= Duration::zero() ||
      options.mux.write_deadline <= Duration::zero() ||
      options.handshake_deadline <= options.probe_timeout) {
    return wrong("ping_interval, write_deadline or handshake_deadline is too short");
  }
  return {};
}

bool may_retry(const Failure& failure, bool is_idempotent) {
  switch (failure.code) {
    case FailureCode::kBusy:
    case FailureCode::kMemory:
    case FailureCode::kDraining:
    case FailureCode::kNotConnected:
    case FailureCode::kDisconnected:
      return failure.not_run || is_idempotent;
    default:
      return false;
  }
}

NodeCore::NodeCore(const NodeOptions& options, NodeEvents& events, TimePoint now)
    : options_(options),
      events_(events),
      now_{now, {}},
      wheel_(now),
      pool_(options.memory_bytes_max) {}

NodeCore::~NodeCore() = default;

void NodeCore::advance(Now now) {
  now_ = now;
  dead_.clear();
  sweep_orphans();
  wheel_.advance(now.monotonic);
}

void NodeCore::sweep_orphans() {
  std::erase_if(orphans_, [](const std::unique_ptr<Mux>& mux) { return mux->is_idle(); });
}

// --- peers ---

NodeCore::Peer* NodeCore::find_peer(std::string_view name) const {
  const auto found = peers_.find(name);
  return found == peers_.end() ? nullptr : found->second.get();
}

NodeCore::Peer& NodeCore::make_peer(std::string name) {
  auto peer = std::make_unique<Peer>(*this);
  peer->name = name;
  // Nobody dials a guest.
  peer->is_designated = options_.identity.is_guest || is_designated(options_.identity.name, name);
  return *peers_.emplace(std::move(name), std::move(peer)).first->second;
}

Result<void> NodeCore::add_peer(std::string name) {
  if (name.empty() || name.size() > kNameBytesMax || name == options_.identity.name) {
    return trunkline::fail(ErrorCode::kInvalidArgument,
                           fmt::format("'{}' cannot be a peer of '{}'",
                                       name.substr(0, kNameBytesMax), options_.identity.name));
  }
  Peer* peer = find_peer(name);
  if (peer != nullptr && peer->is_member) {
    return trunkline::fail(ErrorCode::kAlreadyExists, fmt::format("'{}' is a peer already", name));
  }
  if (peer != nullptr) {
    // A guest of this name has not shown what a member has to.
    close_all(*peer, "the name is a member's now");
    peer = find_peer(name);
  }
  if (peer == nullptr) {
    peer = &make_peer(std::move(name));
  }
  if (peer->is_member) {  // whoever was told of the end has done it
    return {};
  }
  peer->is_member = true;
  want_connection(*peer);
  return {};
}

Result<void> NodeCore::remove_peer(std::string_view name) {
  Peer* peer = find_peer(name);
  if (peer == nullptr || !peer->is_member) {
    return trunkline::fail(ErrorCode::kNotFound, fmt::format("'{}' is no peer", name));
  }
  peer->is_member = false;
  set_dialled(*peer, false);
  wheel_.disarm(*peer);
  close_all(*peer, "the peer was removed");
  // Whoever is told may add it again: that is another one.
  if (const auto found = peers_.find(name); found != peers_.end() && !found->second->is_member) {
    const std::unique_ptr<Peer> removed = std::move(found->second);
    peers_.erase(found);
    end_waiters(*removed, Failure{.code = FailureCode::kNotConnected,
                                  .not_run = true,
                                  .text = "the peer was removed"});
  }
  return {};
}

void NodeCore::close_all(const Peer& peer, std::string_view why) {
  std::vector<ConnectionId> ids;
  for (const auto& [id, connection] : connections_) {
    if (connection->peer == &peer) {
      ids.push_back(id);
    }
  }
  for (const ConnectionId id : ids) {
    if (Connection* connection = find(id); connection != nullptr) {
      close(*connection, {}, why);
    }
  }
}

void NodeCore::set_dialled(Peer& peer, bool wanted) {
  if (peer.is_dialled != wanted) {
    peer.is_dialled = wanted;
    events_.on_dial(peer.name, wanted);
  }
}

// There is no connection: it is dialled here, or there, and after a while here all the same.
void NodeCore::want_connection(Peer& peer) {
  if (is_draining_ || !peer.is_member || peer.active != nullptr) {
    return;
  }
  if (peer.is_designated) {
    set_dialled(peer, true);
  } else if (!peer.is_dialled && !TRUNKLINE_MUTANT("never-the-other-way")) {
    wheel_.arm(peer, now_.monotonic + options_.reverse_dial_after);
  }
}

// --- calls ---

std::expected<Mux*, Failure> NodeCore::mux_of(std::string_view name) {
  const auto because = [](FailureCode code, std::string text) {
    return std::unexpected(Failure{.code = code, .not_run = true, .text = std::move(text)});
  };
  Peer* peer = find_peer(name);
  if (peer == nullptr) {
    return because(FailureCode::kInvalid, fmt::format("'{}' is no peer", name));
  }
  if (peer->active == nullptr) {
    return because(FailureCode::kNotConnected,
                   fmt::format("'{}' is not connected{}{}", name,
                               peer->last_error.empty() ? "" : ": ", peer->last_error));
  }
  return peer->active->mux.get();
}

std::expected<CallRef, Failure> NodeCore::begin(Mux& mux, CallOptions options) {
  std::expected<CallRef, Failure> call = mux.begin(std::move(options), now_.monotonic);
  if (call.has_value()) {
    touch(mux);
  }
  return call;
}

const std::string& NodeCore::peer_of(const Mux& mux) const {
  static const std::string kNobody;
  const Connection* connection = find(mux.tag());
  return connection != nullptr && connection->peer != nullptr ? connection->peer->name : kNobody;
}

void NodeCore::wait(std::string_view name, TimePoint deadline, std::uint64_t token) {
  Peer* peer = find_peer(name);
  const auto because = [](FailureCode code, std::string text) {
    return Failure{.code = code, .not_run = true, .text = std::move(text)};
  };
  if (peer == nullptr) {
    events_.on_ready(token, because(FailureCode::kInvalid, fmt::format("'{}' is no peer", name)));
  } else if (peer->active != nullptr && peer->active->mux->takes_calls()) {
    events_.on_ready(token, std::nullopt);
  } else if (is_draining_) {
    events_.on_ready(token, because(FailureCode::kDraining, "this node is ending"));
  } else if (deadline <= now_.monotonic) {
    events_.on_ready(token, because(FailureCode::kDeadline, "no time is left"));
  } else if (waiters_.size() >= options_.waiters_max) {
    events_.on_ready(token, because(FailureCode::kFull,
                                    fmt::format("{} calls wait for peers", waiters_.size())));
  } else {
    auto waiter = std::make_unique<Waiter>(*this);
    waiter->token = token;
    waiter->peer = name;
    peer->waiters.push_back(*waiter);
    if (deadline != TimePoint::max()) {
      wheel_.arm(*waiter, deadline);
    }
    waiters_[token] = std::move(waiter);
  }
}

void NodeCore::cancel_wait(std::uint64_t token) {
  waiters_.erase(token);
}

void NodeCore::on_waiter_timer(Waiter& waiter) {
  const Peer* peer = find_peer(waiter.peer);
  end_waiter(waiter, Failure{.code = FailureCode::kDeadline,
                             .not_run = true,
                             .text = fmt::format("'{}' did not come: {}", waiter.peer,
                                                 peer == nullptr ? "" : peer->last_error)});
}

void NodeCore::end_waiter(Waiter& waiter, const std::optional<Failure>& failure) {
  const std::uint64_t token = waiter.token;
  waiters_.erase(token);
  events_.on_ready(token, failure);
}

void NodeCore::end_waiters(Peer& peer, const std::optional<Failure>& failure) {
  // Those who are there now; one who is told may wait again.
  std::vector<std::uint64_t> tokens;
  for (Waiter* waiter = peer.waiters.front(); waiter != nullptr;
       waiter = peer.waiters.after(*waiter)) {
    tokens.push_back(waiter->token);
  }
  for (const std::uint64_t token : tokens) {
    if (waiters_.erase(token) > 0) {
      events_.on_ready(token, failure);
    }
  }
}

// --- the node's end ---

void NodeCore::drain(TimePoint deadline) {
  if (is_draining_) {
    return;
  }
  is_draining_ = true;
  wheel_.arm(drain_timer_, deadline);
  // Whoever is told may add and remove peers.
  std::vector<std::string> names;
  names.reserve(peers_.size());
  for (const auto& [name, peer] : peers_) {
    names.push_back(name);
  }
  for (const std::string& name : names) {
    if (Peer* peer = find_peer(name); peer != nullptr) {
      wheel_.disarm(*peer);
      set_dialled(*peer, false);
      end_waiters(
          *peer,
          Failure{.code = FailureCode::kDraining, .not_run = true, .text = "this node is ending"});
    }
  }
  std::vector<ConnectionId> ids;
  ids.reserve(connections_.size());
  for (const auto& [id, connection] : connections_) {
    ids.push_back(id);
  }
  for (const ConnectionId id : ids) {
    Connection* connection = find(id);
    if (connection == nullptr) {
      continue;
    }
    if (connection->phase == Phase::kOpen) {
      connection->mux->drain(Drain::kEnding);
      events_.on_write(id);
    } else {
      refuse(*connection, {RefusalCode::kDraining, "the node is ending"});
    }
  }
}

void NodeCore::stop(std::string_view why) {
  const std::string kept(why);
  drain(now_.monotonic);
  wheel_.disarm(drain_timer_);
  while (!connections_.empty()) {
    close(*connections_.begin()->second, {}, kept);
  }
}

// --- queries ---

void NodeCore::for_each_peer(const std::function<void(const PeerStatus&)>& visit) const {
  for (const auto& [name, peer] : peers_) {
    PeerStatus status;
    status.name = name;
    status.is_member = peer->is_member;
    status.is_dialled = peer->is_dialled;
    status.connects = peer->connects;
    status.last_error = peer->last_error;
    status.skew = peer->skew;
    if (peer->active != nullptr) {
      status.is_connected = true;
      status.side = peer->active->link.side;
      status.mux = peer->active->mux->stats();
    }
    for (const auto& [id, connection] : connections_) {
      if (connection->peer == peer.get() && connection.get() != peer->active &&
          connection->mux != nullptr) {
        const MuxStats also = connection->mux->stats();
        status.mux.own_calls += also.own_calls;
        status.mux.unsent_bytes += also.unsent_bytes;
      }
    }
    status.mux.handlers = *peer->handlers;
    visit(status);
  }
}

std::string NodeCore::check() const {
  std::size_t reserved = 0;
  for (const auto& [id, connection] : connections_) {
    if (connection->mux != nullptr) {
      reserved += connection->mux->reserved_bytes();
      if (std::string wrong_there = connection->mux->check(); !wrong_there.empty()) {
        return wrong_there;
      }
    }
    if (connection->phase == Phase::kOpen && connection->mux->is_lost()) {
      return fmt::format("connection {} is lost and open", id);
    }
  }
  for (const std::unique_ptr<Mux>& orphan : orphans_) {
    reserved += orphan->reserved_bytes();
    if (std::string wrong_there = orphan->check(); !wrong_there.empty()) {
      return "of a lost connection: " + wrong_there;
    }
  }
  if (reserved != pool_.used()) {
    return fmt::format("calls have reserved {} bytes, the pool has given {}", reserved,
                       pool_.used());
  }
  for (const auto& [name, peer] : peers_) {
    if (peer->active != nullptr && find(peer->active->id) != peer->active) {
      return fmt::format("the connection of '{}' is none any more", name);
    }
    if (peer->is_member && !is_draining_ && peer->active == nullptr && !peer->is_dialled &&
        !peer->is_armed()) {
      return fmt::format("nobody dials '{}'", name);
    }
  }
  return {};
}

}  // namespace trunkline::grid
