// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sim/schedule.h"

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <string_view>

namespace trunkline::sim {

// How one direction of a connection behaves.
struct PipeShape {
  std::size_t window = 64UL * 1024;  // bytes on their way that the writing socket holds
  Duration delay_max{10ms};
  bool ragged = false;  // a write takes some of the bytes, a read gives some of them
};

// One direction of a connection: bytes come out in order, late, in other pieces, or not at all.
class Pipe {
 public:
  // The schedule must outlive the pipe, and the pipe its events: pipes end with the world.
  Pipe(Schedule& schedule, PipeShape shape) : schedule_(schedule), shape_(shape) {}

  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() = default;

  // No bytes: the end of the stream. While not set, what comes out is lost.
  std::function<void(std::string_view)> on_bytes;
  std::function<void()> on_writable;

  // How many of the bytes the socket takes now; when it is not all, on_writable follows.
  std::size_t write(std::string_view bytes);
  // Takes all of them, whatever the window.
  void write_all(std::string_view bytes);

  // The end follows what was written.
  void finish();

  // Nothing comes out before then.
  void stall_until(TimePoint time) { stalled_until_ = std::max(stalled_until_, time); }

  // A part of what is on its way comes out now, then nothing any more; writes still succeed. The
  // reader sees the end after `notice`.
  void cut(Duration notice);
  // The end of all faults.
  void relax();

  [[nodiscard]] bool is_cut() const { return cut_; }

 private:
  struct Chunk {
    TimePoint arrival;
    std::string bytes;
  };

  void send(std::string_view bytes);
  void pump();
  void deliver(std::string_view bytes);

  Schedule& schedule_;
  PipeShape shape_;
  std::deque<Chunk> chunks_;
  std::size_t in_flight_ = 0;
  TimePoint stalled_until_;
  TimePoint last_arrival_;
  bool cut_ = false;
  bool wants_writable_ = false;
};

}  // namespace trunkline::sim
