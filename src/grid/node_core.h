// SPDX-License-Identifier: Apache-2.0
//
// A node: its peers, its connections, and which of them counts. It is told what sockets say and
// what time it is, and says what to dial, to write and to close; net/'s GridDriver does that, and
// the simulation does it from a seed.
//
// A peer is a name that was added. Its connection is dialled from here when this node is designated
// to, or when the other one has not come for a while. Calls go over the peer's active connection.
#pragma once

#include <trunkline/error.h>

#include "core/intrusive_list.h"
#include "core/string_map.h"
#include "core/time.h"
#include "core/timer_wheel.h"
#include "grid/handshake.h"
#include "grid/limits.h"
#include "grid/links.h"
#include "grid/memory_pool.h"
#include "grid/mux.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::grid {

struct NodeOptions {
  Identity identity{};
  MuxOptions mux{};
  std::size_t memory_bytes_max = 512UL * 1024 * 1024;
  Duration handshake_deadline = std::chrono::seconds(5);
  Duration probe_timeout = std::chrono::seconds(1);
  // How long the designated dialler is waited for before this node dials, too.
  Duration reverse_dial_after = std::chrono::seconds(10);
  // Callers that wait for a connection, in all.
  std::size_t waiters_max = 65'536;
  // Guests that may be connected at once: whoever knows the secret and says that it is one. They
  // are peers as long as they are connected. Without a secret there are none, unless who connects
  // has shown a certificate.
  std::size_t guests_max = 64;
  bool are_peers_certified = false;
};

// Names a connection; never used again. 0: none.
using ConnectionId = std::uint64_t;

// Of one peer, at the moment of asking.
struct PeerStatus {
  std::string name{};
  bool is_member = false;  // otherwise a guest
  bool is_connected = false;
  bool is_dialled = false;  // wanted to be, from here
  std::optional<Side> side{};
  std::uint64_t connects = 0;
  std::string last_error{};
  std::chrono::milliseconds skew{0};
  MuxStats mux{};
};

// What the world has to do, and what the program is told. It may call the core back.
class NodeEvents : public MuxEvents {
 public:
  // There may be something to gather() for the connection.
  virtual void on_write(ConnectionId id) = 0;
  // Send `last` (a binary message; empty: none), then close; the id means nothing any more.
  virtual void on_close(ConnectionId id, const std::string& last, std::string_view reason) = 0;
  // Whether connections to the peer are to be dialled, one at a time and with back-off.
  virtual void on_dial(const std::string& peer, bool wanted) = 0;
  // The peer has a connection now, another one, or none any more.
  virtual void on_peer(const std::string& peer, bool is_connected, std::string_view why) = 0;
  // A wait() is over: the peer is there, or the failure says why not.
  virtual void on_ready(std::uint64_t token, const std::optional<Failure>& failure) = 0;

  // Acceptor: who says to be `peer` has proven what the handshake asks for. Why it may not be that
  // one all the same.
  [[nodiscard]] virtual std::optional<Refusal> why_not(ConnectionId /*id*/,
                                                       std::string_view /*peer*/) {
    return std::nullopt;
  }

  // A handshake failed. `peer`: who it was, as far as it is known.
  virtual void on_refused(std::string_view peer, const Refusal& refusal, bool by_peer) = 0;
};

// Thread: owning shard.
class NodeCore final : private MuxOwner {
 public:
  // The options must have passed check_options() and outlive it, as must `events`.
  NodeCore(const NodeOptions& options, NodeEvents& events, TimePoint now);
  NodeCore(const NodeCore&) = delete;
  NodeCore& operator=(const NodeCore&) = delete;
  ~NodeCore() override;

  // --- peers ---

  // Errors: kInvalidArgument for a name that cannot be one, kAlreadyExists.
  [[nodiscard]] Result<void> add_peer(std::string name);
  // Its connections are closed, and what was open has failed. Errors: kNotFound.
  [[nodiscard]] Result<void> remove_peer(std::string_view name);

  // --- connections, as the world has them ---

  // A WebSocket stands. Dialler: `peer` is who was dialled. `nonce` must be new and random.
  [[nodiscard]] ConnectionId connected(Side side, std::string peer, const Nonce& nonce);
  void received(ConnectionId id, std::string_view message);
  // A part of a message came: the peer is not silent.
  void heard(ConnectionId id);
  // Appends the payload of one binary message; nothing when there is nothing to send.
  void gather(ConnectionId id, std::string& out, std::size_t bytes_max);
  [[nodiscard]] bool wants_write(ConnectionId id) const;
  void socket_blocked(ConnectionId id);
  void socket_progressed(ConnectionId id);
  void socket_idle(ConnectionId id);
  // A dial of the peer's has failed before there was a WebSocket; it will be tried again.
  void dial_failed(std::string_view peer, std::string_view why);
  // It has ended by itself.
  void disconnected(ConnectionId id, std::string_view why);

  // --- time ---

  // Before everything else of a turn: what time it is. Fires what is due.
  void advance(Now now);

  [[nodiscard]] std::optional<TimePoint> next_wakeup() const { return wheel_.next_wakeup(); }

  // --- calls: the peer's connection does them ---

  // The mux for new calls to the peer; nothing and why when there is none.
  [[nodiscard]] std::expected<Mux*, Failure> mux_of(std::string_view peer);
  [[nodiscard]] std::expected<CallRef, Failure> begin(Mux& mux, CallOptions options);

  // After anything was asked of a Mux of this node: what it has to say is written.
  void touch(Mux& mux) { events_.on_write(mux.tag()); }

  // Who is at the other end. Empty when the connection is gone.
  [[nodiscard]] const std::string& peer_of(const Mux& mux) const;
  // Calls on_ready() when the peer takes calls, at once if it does, or at the deadline.
  void wait(std::string_view peer, TimePoint deadline, std::uint64_t token);
  void cancel_wait(std::uint64_t token);

  // --- the node's end ---

  // Tells all peers; nothing new is begun or taken. What is open has until `deadline`.
  void drain(TimePoint deadline);

  // Nothing is connected any more, and was told to end.
  [[nodiscard]] bool is_drained() const { return is_draining_ && connections_.empty(); }

  // Closes everything now.
  void stop(std::string_view why);

  // --- queries ---

  void for_each_peer(const std::function<void(const PeerStatus&)>& visit) const;

  [[nodiscard]] const MemoryPool& pool() const { return pool_; }

  [[nodiscard]] std::size_t connection_count() const { return connections_.size(); }

  // Handlers that still run for connections that are gone.
  [[nodiscard]] std::size_t orphan_count() const { return orphans_.size(); }

  [[nodiscard]] std::size_t waiter_count() const { return waiters_.size(); }

  [[nodiscard]] const Now& now() const { return now_; }

  // As Mux::check, of all of them.
  [[nodiscard]] std::string check() const;

 private:
  enum class Phase : std::uint8_t { kHandshake, kHeld, kOpen };

  struct Peer;

  struct Connection final : Timer {
    explicit Connection(NodeCore& of) : node(of) {}

    void on_timer(TimePoint) override { node.on_connection_timer(*this); }

    NodeCore& node;
    ConnectionId id = 0;
    Phase phase = Phase::kHandshake;
    std::string dialled;  // by this side: whom
    std::unique_ptr<Handshake> handshake;
    std::unique_ptr<Mux> mux;
    std::string to_send;   // of the handshake
    Peer* peer = nullptr;  // when it is open or held
    Link link;
    std::uint64_t probe = 0;  // kHeld: of the active one
    bool had_grace = false;   // kHeld
    ConnectionId probed = 0;
  };

  struct Waiter final : Timer, ListHook<Waiter> {
    explicit Waiter(NodeCore& of) : node(of) {}

    void on_timer(TimePoint) override { node.on_waiter_timer(*this); }

    NodeCore& node;
    std::uint64_t token = 0;
    std::string peer;
  };

  struct Peer final : Timer {
    explicit Peer(NodeCore& of) : node(of) {}

    // The designated dialler has not come.
    void on_timer(TimePoint) override { node.set_dialled(*this, true); }

    NodeCore& node;
    std::string name;
    bool is_member = false;
    bool is_guest = false;       // a peer as long as it is connected
    bool is_designated = false;  // this node
    bool is_dialled = false;
    Connection* active = nullptr;
    std::size_t held = 0;  // connections that wait for what the active one answers
    std::uint64_t connects = 0;
    std::string last_error;
    std::chrono::milliseconds skew{0};
    // That run for it, over all its connections, lost ones included.
    std::shared_ptr<std::size_t> handlers = std::make_shared<std::size_t>(0);
    IntrusiveList<Waiter, Waiter> waiters;
  };

  class DrainTimer final : public Timer {
   public:
    explicit DrainTimer(NodeCore& node) : node_(node) {}

    void on_timer(TimePoint) override { node_.stop("the time to drain is up"); }

   private:
    NodeCore& node_;
  };

  void on_dead(Mux& mux, const Error& why) override;

  void on_output(Mux& mux) override { events_.on_write(mux.tag()); }

  [[nodiscard]] Connection* find(ConnectionId id) const;
  [[nodiscard]] Peer* find_peer(std::string_view name) const;
  Peer& make_peer(std::string name);
  void set_dialled(Peer& peer, bool wanted);
  void close_all(const Peer& peer, std::string_view why);
  void want_connection(Peer& peer);
  void on_connection_timer(Connection& connection);
  void on_waiter_timer(Waiter& waiter);
  void on_handshake(Connection& connection, std::string_view message);
  void on_proven(Connection& connection);
  [[nodiscard]] std::optional<Refusal> why_no_guest(const Agreement& agreement) const;
  void on_welcomed(Connection& connection);
  void hold(Connection& connection);
  void end_hold(Connection& connection);
  void take_in(Connection& connection);
  void open(Connection& connection);
  void make_active(Peer& peer, Connection& connection);
  // The active connection has answered: those who wait for that are refused.
  void refuse_held(const Connection& active);
  void refuse(Connection& connection, Refusal refusal);
  void attempt_failed(std::string_view name, std::string_view why);
  void settle(ConnectionId id);
  void close(Connection& connection, const std::string& last, std::string_view reason);
  void detach(Connection& connection, std::string_view why);
  void end_waiters(Peer& peer, const std::optional<Failure>& failure);
  void end_waiter(Waiter& waiter, const std::optional<Failure>& failure);
  void drop_if_guest(Peer& peer);
  void sweep_orphans();

  const NodeOptions& options_;
  NodeEvents& events_;
  Now now_;
  TimerWheel wheel_;
  MemoryPool pool_;
  ConnectionId last_id_ = 0;
  bool is_draining_ = false;
  std::size_t guests_ = 0;
  std::map<ConnectionId, std::unique_ptr<Connection>> connections_;
  StringMap<std::unique_ptr<Peer>> peers_;
  std::map<std::uint64_t, std::unique_ptr<Waiter>> waiters_;
  // Muxes of lost connections whose handlers still run, or whose streams are still held.
  std::vector<std::unique_ptr<Mux>> orphans_;
  std::vector<std::unique_ptr<Connection>> dead_;  // until the call that ended them has returned
  DrainTimer drain_timer_{*this};
};

// Errors: kConfig with the option and its value.
[[nodiscard]] Result<void> check_options(const NodeOptions& options);

// Whether a call that has failed may be made again: nobody has seen it, or it does no harm twice
// and was lost on the way.
[[nodiscard]] bool may_retry(const Failure& failure, bool is_idempotent);

}  // namespace trunkline::grid
