// SPDX-License-Identifier: Apache-2.0
//
// What lies between two nodes: messages move a part at a time, with delays, through a socket buffer
// that gets full. A link may stall, be cut in the midst of a message, or go silent.
#pragma once

#include "core/time.h"
#include "grid/node_core.h"
#include "sim/schedule.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::grid::sim {

// One end of a link: which node, which of its lives, and what it calls the connection.
struct LinkEnd {
  std::size_t node = 0;
  std::uint64_t life = 0;
  ConnectionId id = 0;
  bool is_open = false;
};

class Network;

struct Wire {
  static constexpr std::size_t kBufferBytes = 40'000;

  struct Way {
    std::deque<std::string> messages;
    std::size_t held = 0;   // bytes
    std::size_t moved = 0;  // of the first message
    bool is_moving = false;
    bool ends = false;  // the sender has closed: the receiver is told after the last message
  };

  std::uint64_t number = 0;
  std::array<LinkEnd, 2> ends;
  std::array<Way, 2> ways;  // ways[i] begins at ends[i]
  Duration delay{0};
  TimePoint stalled_until;
  bool is_silent = false;  // nothing arrives any more, and nobody is told
};

// What the network tells.
class NetworkEvents {
 public:
  NetworkEvents() = default;
  NetworkEvents(const NetworkEvents&) = delete;
  NetworkEvents& operator=(const NetworkEvents&) = delete;
  virtual ~NetworkEvents() = default;

  virtual void on_arrived(const LinkEnd& end, const std::string& message) = 0;
  virtual void on_progress(const LinkEnd& end, bool is_idle) = 0;
  virtual void on_lost(const LinkEnd& end) = 0;
};

class Network {
 public:
  Network(trunkline::sim::Schedule& schedule, NetworkEvents& events)
      : schedule_(schedule), events_(events) {}

  std::shared_ptr<Wire> connect(std::size_t from, std::uint64_t from_life, std::size_t to,
                                std::uint64_t to_life);
  // The wire whose end this is; null when it is gone.
  [[nodiscard]] std::shared_ptr<Wire> find(std::size_t node, std::uint64_t life,
                                           ConnectionId id) const;
  // How much the sender's socket takes now.
  [[nodiscard]] static std::size_t room(const Wire& wire, int from);
  void send(const std::shared_ptr<Wire>& wire, int from, std::string message);
  // This end closes, after what it has sent.
  void close(const std::shared_ptr<Wire>& wire, int from);
  // Both ends lose it, each in its own time.
  void cut(const std::shared_ptr<Wire>& wire);
  // A node is gone: the other ends of its wires hear of it, or never do.
  void crash(std::size_t node);
  [[nodiscard]] std::vector<std::shared_ptr<Wire>> all() const;
  // No faults from now on; what is silent is cut.
  void heal();

 private:
  void keep_moving(const std::shared_ptr<Wire>& wire, int from);
  void move(const std::shared_ptr<Wire>& wire, int from);
  void lose(const std::shared_ptr<Wire>& wire, int end);
  void forget_dead();

  trunkline::sim::Schedule& schedule_;
  NetworkEvents& events_;
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Wire>> wires_;
};

}  // namespace trunkline::grid::sim
