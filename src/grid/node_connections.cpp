// SPDX-License-Identifier: Apache-2.0
//
// How connections come, which of them count, and how they go.
#include "core/assert.h"
#include "core/probe.h"
#include "grid/node_core.h"

#include <fmt/format.h>

#include <utility>

namespace trunkline::grid {

NodeCore::Connection* NodeCore::find(ConnectionId id) const {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second.get();
}

ConnectionId NodeCore::connected(Side side, std::string peer, const Nonce& nonce) {
  auto made = std::make_unique<Connection>(*this);
  Connection& connection = *made;
  connection.id = ++last_id_;
  connection.link.side = side;
  connection.dialled = peer;
  connection.handshake =
      std::make_unique<Handshake>(options_.identity, side, std::move(peer), nonce);
  connections_.emplace(connection.id, std::move(made));
  wheel_.arm(connection, now_.monotonic + options_.handshake_deadline);
  if (side == Side::kDialler) {
    connection.to_send = connection.handshake->start(now_);
    events_.on_write(connection.id);
  }
  return connection.id;
}

void NodeCore::heard(ConnectionId id) {
  if (const Connection* connection = find(id);
      connection != nullptr && connection->mux != nullptr) {
    connection->mux->heard(now_.monotonic);
  }
}

void NodeCore::received(ConnectionId id, std::string_view message) {
  Connection* connection = find(id);
  if (connection == nullptr) {
    return;
  }
  if (connection->phase != Phase::kOpen) {
    on_handshake(*connection, message);
    return;
  }
  const Result<void> taken = connection->mux->on_frame(message, now_.monotonic);
  connection = find(id);
  if (connection == nullptr) {
    return;  // an event has ended it
  }
  if (!taken.has_value()) {
    close(*connection, {}, taken.error().context);
    return;
  }
  if (connection->peer->held > 0) {
    refuse_held(*connection);
  }
  settle(id);
  if (wants_write(id)) {
    events_.on_write(id);
  }
}

void NodeCore::gather(ConnectionId id, std::string& out, std::size_t bytes_max) {
  Connection* connection = find(id);
  if (connection == nullptr) {
    return;
  }
  if (!connection->to_send.empty()) {
    out += std::exchange(connection->to_send, {});
    return;
  }
  if (connection->phase == Phase::kOpen) {
    connection->mux->gather(out, bytes_max, now_.monotonic);
    settle(id);
  }
}

bool NodeCore::wants_write(ConnectionId id) const {
  const Connection* connection = find(id);
  return connection != nullptr &&
         (!connection->to_send.empty() ||
          (connection->phase == Phase::kOpen && connection->mux->wants_write()));
}

void NodeCore::socket_blocked(ConnectionId id) {
  if (const Connection* connection = find(id); connection != nullptr && connection->mux) {
    connection->mux->socket_blocked(now_.monotonic);
  }
}

void NodeCore::socket_progressed(ConnectionId id) {
  if (const Connection* connection = find(id); connection != nullptr && connection->mux) {
    connection->mux->socket_progressed(now_.monotonic);
  }
}

void NodeCore::socket_idle(ConnectionId id) {
  if (const Connection* connection = find(id); connection != nullptr && connection->mux) {
    connection->mux->socket_idle();
  }
}

void NodeCore::disconnected(ConnectionId id, std::string_view why) {
  Connection* connection = find(id);
  if (connection == nullptr) {
    return;
  }
  const std::string dialled = connection->dialled;
  if (connection->phase == Phase::kHandshake) {
    events_.on_refused(connection->handshake->agreement().peer,
                       {RefusalCode::kMalformed, "in the handshake: " + std::string(why)}, true);
  }
  if (Connection* still = find(id); still != nullptr) {
    const bool was_open = still->phase == Phase::kOpen;
    detach(*still, why);
    if (!was_open) {
      attempt_failed(dialled, fmt::format("lost in the handshake: {}", why));
    }
  }
}

// --- handshake ---

void NodeCore::on_handshake(Connection& connection, std::string_view message) {
  Handshake& handshake = *connection.handshake;
  const ConnectionId id = connection.id;
  if (message.size() > kHandshakeBytesMax) {
    refuse(connection, {RefusalCode::kMalformed,
                        fmt::format("a message of {} bytes in the handshake", message.size())});
    return;
  }
  std::string answer = handshake.on_message(message, now_);
  switch (handshake.state()) {
    case Handshake::State::kWaiting:
      connection.to_send = std::move(answer);
      events_.on_write(id);
      return;
    case Handshake::State::kProven:
      on_proven(connection);
      return;
    case Handshake::State::kDone:
      on_welcomed(connection);
      return;
    case Handshake::State::kRefused:
      break;
  }
  const Refusal refusal = handshake.refusal();
  const std::string who = handshake.agreement().peer;
  const bool by_peer = handshake.refused_by_peer();
  const std::string dialled = connection.dialled;
  close(connection, answer, refusal.text);
  events_.on_refused(who, refusal, by_peer);
  attempt_failed(dialled.empty() ? who : dialled,
                 fmt::format("refused{} ({}): {}", by_peer ? " by the peer" : "",
                             name(refusal.code), refusal.text));
}

void NodeCore::refuse(Connection& connection, Refusal refusal) {
  const std::string who = connection.handshake->agreement().peer;
  const std::string dialled = connection.dialled;
  const std::string last = connection.handshake->refuse(refusal);
  close(connection, last, refusal.text);
  events_.on_refused(who, refusal, false);
  attempt_failed(dialled.empty() ? who : dialled,
                 fmt::format("refused ({}): {}", name(refusal.code), refusal.text));
}

void NodeCore::dial_failed(std::string_view peer, std::string_view why) {
  attempt_failed(peer, why);
}

// It will be tried again. A guest has somebody before it who waits, and wants to know why.
void NodeCore::attempt_failed(std::string_view name, std::string_view why) {
  Peer* peer = find_peer(name);
  if (peer == nullptr || peer->active != nullptr) {
    return;
  }
  peer->last_error = why;
  if (options_.identity.is_guest) {
    end_waiters(*peer, Failure{.code = FailureCode::kNotConnected,
                               .not_run = true,
                               .text = fmt::format("'{}' is not connected: {}", name, why)});
  }
}

// Whoever knows the secret may come as a guest, but not in a member's place.
std::optional<Refusal> NodeCore::why_no_guest(const Agreement& agreement) const {
  const Peer* peer = find_peer(agreement.peer);
  if (!agreement.is_guest) {
    return Refusal{RefusalCode::kName,
                   fmt::format("'{}' is no peer of '{}'", agreement.peer, options_.identity.name)};
  }
  if (peer != nullptr && peer->is_member) {
    return Refusal{RefusalCode::kName,
                   fmt::format("'{}' is a member's name, not a guest's", agreement.peer)};
  }
  if (options_.identity.secret.empty() && !options_.are_peers_certified) {
    return Refusal{RefusalCode::kSecret, "guests need a secret, and this node has none"};
  }
  if (peer == nullptr && guests_ >= options_.guests_max) {
    return Refusal{RefusalCode::kLimits,
                   fmt::format("{} guests are here, as many as there may be", guests_)};
  }
  return std::nullopt;
}

// Acceptor: the peer is who it says. May it come in?
void NodeCore::on_proven(Connection& connection) {
  const Agreement& agreement = connection.handshake->agreement();
  Peer* peer = find_peer(agreement.peer);
  if (is_draining_) {
    refuse(connection, {RefusalCode::kDraining, "the node is ending"});
    return;
  }
  if (peer == nullptr || !peer->is_member || agreement.is_guest) {
    if (std::optional<Refusal> refusal = why_no_guest(agreement); refusal.has_value()) {
      refuse(connection, std::move(*refusal));
      return;
    }
  } else if (std::optional<Refusal> refusal = events_.why_not(connection.id, agreement.peer);
             refusal.has_value()) {
    refuse(connection, std::move(*refusal));
    return;
  }
  if (peer == nullptr) {
    peer = &make_peer(agreement.peer);
    peer->is_guest = true;
    peer->is_designated = false;
    ++guests_;
  }
  connection.peer = peer;
  connection.link.instance = agreement.instance;
  take_in(connection);
}

// Dialler: the acceptor has taken this side in.
void NodeCore::on_welcomed(Connection& connection) {
  const Agreement& agreement = connection.handshake->agreement();
  Peer* peer = find_peer(agreement.peer);
  if (peer == nullptr || is_draining_) {
    close(connection, {}, is_draining_ ? "the node is ending" : "the peer was removed");
    return;
  }
  connection.peer = peer;
  connection.link.instance = agreement.instance;
  take_in(connection);
}

// Takes it in as `judge` says; without another connection there is nothing to judge.
void NodeCore::take_in(Connection& connection) {
  Peer& peer = *connection.peer;
  if (peer.active == nullptr) {
    open(connection);
    make_active(peer, connection);
    return;
  }
  Connection& old = *peer.active;
  switch (judge(old.link, connection.link, peer.is_designated)) {
    case LinkVerdict::kReplace: {
      TRUNKLINE_SOMETIMES("a connection is replaced");
      const ConnectionId id = connection.id;
      const bool is_restart = old.link.instance != connection.link.instance;
      open(connection);
      close(old, {}, is_restart ? "the peer has restarted" : "replaced by a newer connection");
      if (Connection* still = find(id); still != nullptr && peer.active == nullptr) {
        make_active(peer, *still);
      }
      return;
    }
    case LinkVerdict::kMoveOld:
      TRUNKLINE_SOMETIMES("both connect at once, and the newer one stays");
      open(connection);
      if (TRUNKLINE_MUTANT("duplicate-cut")) {
        close(old, {}, "a duplicate");
      } else {
        old.mux->drain(Drain::kMoved);
        events_.on_write(old.id);
      }
      make_active(peer, connection);
      return;
    case LinkVerdict::kMoveNew:
      TRUNKLINE_SOMETIMES("both connect at once, and the older one stays");
      open(connection);
      connection.mux->drain(Drain::kMoved);
      events_.on_write(connection.id);
      return;
    case LinkVerdict::kProbeOld:
      hold(connection);
      return;
  }
}

// The active connection is asked whether it is there; until then the new one waits.
void NodeCore::hold(Connection& connection) {
  Connection& old = *connection.peer->active;
  TRUNKLINE_SOMETIMES("a newcomer waits for the old connection's answer");
  connection.phase = Phase::kHeld;
  connection.probed = old.id;
  connection.probe = old.mux->probe();
  ++connection.peer->held;
  wheel_.arm(connection, now_.monotonic + options_.probe_timeout);
  events_.on_write(old.id);
}

void NodeCore::refuse_held(const Connection& active) {
  std::vector<ConnectionId> answered;
  for (const auto& [id, connection] : connections_) {
    if (connection->phase == Phase::kHeld && connection->probed == active.id &&
        active.mux->pongs() >= connection->probe) {
      answered.push_back(id);
    }
  }
  const Instance instance = active.link.instance;
  for (const ConnectionId id : answered) {
    if (Connection* connection = find(id); connection != nullptr) {
      const bool is_same = connection->link.instance == instance;
      refuse(*connection,
             is_same ? Refusal{RefusalCode::kDuplicate, "there is a connection that stays"}
                     : Refusal{RefusalCode::kInUse,
                               fmt::format("another instance of '{}' is connected and alive",
                                           connection->peer->name)});
    }
  }
}

// No answer: the old connection is dead.
void NodeCore::end_hold(Connection& connection) {
  Peer& peer = *connection.peer;
  const ConnectionId id = connection.id;
  connection.phase = Phase::kHandshake;
  --peer.held;
  if (peer.active != nullptr && peer.active->id == connection.probed) {
    TRUNKLINE_SOMETIMES("the old connection does not answer");
    close(*peer.active, {}, "it does not answer any more, and the peer has come anew");
  }
  if (Connection* still = find(id); still != nullptr) {
    take_in(*still);
  }
}

void NodeCore::on_connection_timer(Connection& connection) {
  if (connection.phase == Phase::kHeld) {
    // This node itself stood still: the answer may be here and unread.
    const bool is_late = now_.monotonic - connection.due() > options_.probe_timeout / 4;
    if (is_late && !std::exchange(connection.had_grace, true)) {
      wheel_.arm(connection, now_.monotonic + options_.probe_timeout / 4);
      return;
    }
    end_hold(connection);
    return;
  }
  TRUNKLINE_SOMETIMES("a handshake takes too long");
  refuse(connection, {RefusalCode::kTimeout,
                      fmt::format("the handshake took longer than {} ms",
                                  options_.handshake_deadline / std::chrono::milliseconds(1))});
}

// --- open and closed ---

void NodeCore::open(Connection& connection) {
  const Agreement agreement = connection.handshake->agreement();
  if (connection.link.side == Side::kAcceptor) {
    connection.to_send = connection.handshake->accept();
  }
  wheel_.disarm(connection);
  connection.phase = Phase::kOpen;
  connection.mux = std::make_unique<Mux>(options_.mux, agreement, connection.link.side, pool_,
                                         wheel_, events_, static_cast<MuxOwner&>(*this),
                                         now_.monotonic, connection.peer->handlers);
  connection.mux->set_tag(connection.id);
  connection.mux->probe();
  connection.peer->skew = agreement.skew;
  connection.handshake.reset();
  events_.on_write(connection.id);
}

void NodeCore::make_active(Peer& peer, Connection& connection) {
  peer.active = &connection;
  ++peer.connects;
  peer.last_error.clear();
  wheel_.disarm(peer);
  if (!peer.is_designated && connection.link.side == Side::kAcceptor) {
    set_dialled(peer, false);
  }
  const std::string name = peer.name;
  events_.on_peer(name, true, {});
  if (Peer* still = find_peer(name); still != nullptr && !TRUNKLINE_MUTANT("waiters-forgotten")) {
    end_waiters(*still, std::nullopt);
  }
}

// What may follow from anything that was said on an open connection.
void NodeCore::settle(ConnectionId id) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->phase != Phase::kOpen) {
    return;
  }
  Mux& mux = *connection->mux;
  if (mux.peer_drains() && !mux.is_draining()) {
    mux.drain(Drain::kMoved);  // nothing can be begun here any more
    events_.on_write(id);
  }
  if (mux.is_drained() && !mux.wants_write() && connection->to_send.empty()) {
    close(*connection, {}, "drained");
  }
}

void NodeCore::on_dead(Mux& mux, const Error& why) {
  if (Connection* connection = find(mux.tag()); connection != nullptr) {
    close(*connection, {}, why.context);
  }
}

void NodeCore::close(Connection& connection, const std::string& last, std::string_view reason) {
  const ConnectionId id = connection.id;
  const std::string kept(reason);
  detach(connection, kept);
  events_.on_close(id, last, kept);
}

// Takes it out of everything first, so that whoever is told finds the node as it is now. The
// objects stay until the next turn: the call that ends them may be theirs.
void NodeCore::detach(Connection& connection, std::string_view why) {
  const std::string reason(why);
  const auto found = connections_.find(connection.id);
  TRUNKLINE_ASSERT(found != connections_.end());
  dead_.push_back(std::move(found->second));
  connections_.erase(found);
  wheel_.disarm(connection);
  Peer* peer = connection.peer;
  const bool was_active = peer != nullptr && peer->active == &connection;
  if (peer != nullptr) {
    peer->held -= connection.phase == Phase::kHeld ? 1U : 0U;
    peer->last_error = reason;
    if (was_active) {
      peer->active = nullptr;
    }
  }
  const std::string name = peer != nullptr ? peer->name : std::string();
  if (connection.mux != nullptr) {
    orphans_.push_back(std::move(connection.mux));
    orphans_.back()->lose(reason, now_.monotonic);
  }
  if (peer = find_peer(name); peer != nullptr && peer->active == nullptr) {
    want_connection(*peer);
    if (was_active) {
      events_.on_peer(name, false, reason);
    }
  }
  if (peer = find_peer(name); peer != nullptr) {
    drop_if_guest(*peer);
  }
}

void NodeCore::drop_if_guest(Peer& peer) {
  if (!peer.is_guest || peer.active != nullptr || peer.held > 0) {
    return;
  }
  for (const auto& [id, connection] : connections_) {
    if (connection->peer == &peer) {
      return;
    }
  }
  end_waiters(
      peer,
      Failure{.code = FailureCode::kNotConnected, .not_run = true, .text = "the peer has gone"});
  --guests_;
  peers_.erase(peers_.find(peer.name));
}

}  // namespace trunkline::grid
