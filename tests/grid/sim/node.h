// SPDX-License-Identifier: Apache-2.0
//
// One node: the grid's core and a program that calls, serves and streams as its plans say. It may
// be restarted; then it has another life, and nothing of the last one counts any more.
#pragma once

#include "grid/node_core.h"
#include "grid/sim/ledger.h"
#include "grid/sim/network.h"
#include "sim/schedule.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::grid::sim {

// What all nodes share.
struct Rules {
  bool has_faults = true;
  bool has_changes = true;  // of peers, and nodes that are drained
  NodeOptions options{};
};

class SimNode;

// What a node asks of the world.
class NodeWorld {
 public:
  NodeWorld() = default;
  NodeWorld(const NodeWorld&) = delete;
  NodeWorld& operator=(const NodeWorld&) = delete;
  virtual ~NodeWorld() = default;

  virtual void dial_soon(std::size_t node, const std::string& peer) = 0;
  virtual void note(const std::string& line) = 0;
};

class SimNode final : public NodeEvents {
 public:
  SimNode(std::size_t index, const Rules& rules, trunkline::sim::Schedule& schedule,
          Network& network, Ledger& ledger, NodeWorld& world);

  void start(const std::vector<std::string>& names);
  void crash();
  void drain(TimePoint until);

  [[nodiscard]] bool is_up() const { return core_ != nullptr; }

  [[nodiscard]] bool is_draining() const { return is_draining_; }

  [[nodiscard]] std::uint64_t life() const { return life_; }

  [[nodiscard]] const std::string& name() const { return name_; }

  [[nodiscard]] NodeCore& core() { return *core_; }

  // One turn of its loop: what time it is, `run`, and then everything that there is to send.
  void turn(const std::function<void()>& run);
  // A turn after `delay`, in this life.
  void later(Duration delay, std::function<void()> run);

  // Calls somebody, in a turn.
  void call(const Asked& asked, std::size_t callee, const std::string& peer, Duration timeout,
            std::size_t padding, bool waits);
  // Cancels one that is open, if there is one.
  void cancel_some();
  // Cancels what never ends by itself.
  void cancel_sleepers();

  [[nodiscard]] bool wants(const std::string& peer) const { return wanted_.contains(peer); }

  // What is broken inside, or nothing.
  [[nodiscard]] std::string check() const;
  // Calls that are somehow still there, although all have ended.
  [[nodiscard]] std::string still_running() const;
  // The same and memory, while others may still knock.
  [[nodiscard]] std::string left_behind() const;
  [[nodiscard]] std::string left_over() const;

  void on_call(Mux& mux, CallRef call, const PeerCall& what, Arrived payload) override;
  void on_result(Mux& mux, std::uint64_t token, Arrived payload) override;
  void on_failure(Mux& mux, std::uint64_t token, const Failure& failure) override;
  void on_message(Mux& mux, CallRef call, std::uint64_t token, Arrived payload) override;
  void on_end(Mux& mux, CallRef call, std::uint64_t token) override;
  void on_stop(Mux& mux, CallRef call, std::uint64_t token, const Failure& why) override;
  void on_room(Mux& mux, CallRef call, std::uint64_t token) override;

  void on_write(ConnectionId id) override { dirty_.insert(id); }

  // The socket takes more; only who was told that it does not is waiting for that.
  void has_room(ConnectionId id) {
    if (blocked_.erase(id) > 0) {
      dirty_.insert(id);
    }
  }

  void on_close(ConnectionId id, const std::string& last, std::string_view reason) override;
  void on_dial(const std::string& peer, bool wanted) override;
  void on_peer(const std::string& peer, bool is_connected, std::string_view why) override;
  void on_ready(std::uint64_t token, const std::optional<Failure>& failure) override;
  void on_refused(std::string_view peer, const Refusal& refusal, bool by_peer) override;

 private:
  // One side of a call. A caller's key and a callee's are told apart by the token's lowest bit.
  struct Flow {
    Mux* mux = nullptr;
    CallRef ref;
    Asked asked;
    std::string caller;  // the peer, of a handler's
    bool is_caller = false;
    bool is_ready = true;  // to send
    bool reads = true;
    bool input_ended = false;
    bool is_stopped = false;
    TimePoint deadline = TimePoint::max();  // the callee's
    unsigned to_send = 0;
    unsigned next = 0;
    std::deque<std::size_t> unread;
    std::size_t unread_bytes = 0;
  };

  struct Waiting {
    Asked asked;
    std::size_t callee = 0;
    std::string peer;
    TimePoint deadline;
    std::size_t padding = 0;
  };

  static std::uint64_t token_of(std::uint64_t key, bool is_caller) {
    return key * 2 + (is_caller ? 1 : 0);
  }

  void begin(const Waiting& what);
  void serve(Flow& flow);
  void go_on(std::uint64_t token);
  void read(std::uint64_t token);
  void end_handler(std::uint64_t token, bool well);
  void drop(std::uint64_t token);
  Flow* flow_of(std::uint64_t token);
  void flush();
  void flush(ConnectionId id);
  void arm_wakeup();
  [[nodiscard]] Now now() const;

  const std::size_t index_;
  const std::string name_;
  const Rules& rules_;
  NodeOptions options_;
  trunkline::sim::Schedule& schedule_;
  Network& network_;
  Ledger& ledger_;
  NodeWorld& world_;
  std::unique_ptr<NodeCore> core_;
  std::uint64_t life_ = 0;
  std::uint64_t wakeups_ = 0;
  Duration skew_{0};
  std::set<ConnectionId> dirty_;
  std::set<ConnectionId> blocked_;
  std::set<std::string> wanted_;
  std::map<std::uint64_t, Flow> flows_;
  std::map<std::uint64_t, Waiting> waiting_;
  bool is_in_turn_ = false;
  bool is_draining_ = false;
};

}  // namespace trunkline::grid::sim
