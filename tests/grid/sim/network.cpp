// SPDX-License-Identifier: Apache-2.0
#include "grid/sim/network.h"

#include <algorithm>
#include <utility>

namespace trunkline::grid::sim {

using namespace std::chrono_literals;

std::shared_ptr<Wire> Network::connect(std::size_t from, std::uint64_t from_life, std::size_t to,
                                       std::uint64_t to_life) {
  forget_dead();
  auto wire = std::make_shared<Wire>();
  wire->number = ++last_;
  wire->ends = {LinkEnd{from, from_life, 0, true}, LinkEnd{to, to_life, 0, true}};
  wire->delay = schedule_.between(10us, schedule_.random.one_in(4) ? 20ms : 1ms);
  wires_[wire->number] = wire;
  return wire;
}

void Network::forget_dead() {
  std::erase_if(wires_, [](const auto& each) {
    return !each.second->ends[0].is_open && !each.second->ends[1].is_open;
  });
}

std::shared_ptr<Wire> Network::find(std::size_t node, std::uint64_t life, ConnectionId id) const {
  for (const auto& [number, wire] : wires_) {
    for (const LinkEnd& end : wire->ends) {
      if (end.node == node && end.life == life && end.id == id && end.is_open) {
        return wire;
      }
    }
  }
  return nullptr;
}

std::size_t Network::room(const Wire& wire, int from) {
  const Wire::Way& way = wire.ways[static_cast<std::size_t>(from)];
  return way.held < Wire::kBufferBytes ? Wire::kBufferBytes - way.held : 0;
}

void Network::send(const std::shared_ptr<Wire>& wire, int from, std::string message) {
  Wire::Way& way = wire->ways[static_cast<std::size_t>(from)];
  way.held += message.size();
  way.messages.push_back(std::move(message));
  keep_moving(wire, from);
}

void Network::keep_moving(const std::shared_ptr<Wire>& wire, int from) {
  Wire::Way& way = wire->ways[static_cast<std::size_t>(from)];
  if (!std::exchange(way.is_moving, true)) {
    const TimePoint next = std::max(schedule_.now(), wire->stalled_until) +
                           schedule_.between(wire->delay / 4, wire->delay);
    schedule_.at(next, [this, wire, from] {
      wire->ways[static_cast<std::size_t>(from)].is_moving = false;
      move(wire, from);
    });
  }
}

// Some of the bytes arrive; a message does with its last byte.
void Network::move(const std::shared_ptr<Wire>& wire, int from) {
  if (schedule_.now() < wire->stalled_until) {
    keep_moving(wire, from);
    return;
  }
  Wire::Way& way = wire->ways[static_cast<std::size_t>(from)];
  LinkEnd& sender = wire->ends[static_cast<std::size_t>(from)];
  LinkEnd& receiver = wire->ends[static_cast<std::size_t>(1 - from)];
  std::size_t bytes = 1 + schedule_.random.below(Wire::kBufferBytes);
  while (bytes > 0 && !way.messages.empty()) {
    const std::size_t step = std::min(bytes, way.messages.front().size() - way.moved);
    bytes -= step;
    way.moved += step;
    way.held -= step;
    if (way.moved < way.messages.front().size()) {
      break;
    }
    const std::string message = std::move(way.messages.front());
    way.messages.pop_front();
    way.moved = 0;
    if (receiver.is_open && !wire->is_silent) {
      events_.on_arrived(receiver, message);
    }
  }
  if (sender.is_open && !wire->is_silent) {
    events_.on_progress(sender, way.messages.empty());
  }
  if (!way.messages.empty()) {
    keep_moving(wire, from);
  } else if (way.ends && !wire->is_silent) {
    lose(wire, 1 - from);
  }
}

void Network::close(const std::shared_ptr<Wire>& wire, int from) {
  wire->ends[static_cast<std::size_t>(from)].is_open = false;
  wire->ways[static_cast<std::size_t>(from)].ends = true;
  keep_moving(wire, from);
}

void Network::lose(const std::shared_ptr<Wire>& wire, int end) {
  LinkEnd& lost = wire->ends[static_cast<std::size_t>(end)];
  if (std::exchange(lost.is_open, false)) {
    events_.on_lost(lost);
  }
}

void Network::cut(const std::shared_ptr<Wire>& wire) {
  wire->is_silent = true;
  for (const int end : {0, 1}) {
    schedule_.after(schedule_.between(0ms, 50ms), [this, wire, end] { lose(wire, end); });
  }
}

void Network::crash(std::size_t node) {
  const bool is_heard = !schedule_.random.one_in(3);
  for (const auto& wire : all()) {
    for (const int end : {0, 1}) {
      if (wire->ends[static_cast<std::size_t>(end)].node == node &&
          wire->ends[static_cast<std::size_t>(end)].is_open) {
        wire->ends[static_cast<std::size_t>(end)].is_open = false;
        wire->is_silent = true;
        if (is_heard) {
          schedule_.after(schedule_.between(0ms, 20ms), [this, wire, end] { lose(wire, 1 - end); });
        }
      }
    }
  }
}

std::vector<std::shared_ptr<Wire>> Network::all() const {
  std::vector<std::shared_ptr<Wire>> wires;
  for (const auto& [number, wire] : wires_) {
    wires.push_back(wire);
  }
  return wires;
}

void Network::heal() {
  for (const auto& wire : all()) {
    wire->stalled_until = schedule_.now();
  }
}

}  // namespace trunkline::grid::sim
