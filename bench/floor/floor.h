// SPDX-License-Identifier: Apache-2.0
//
// A floor: the least that a program must do to be measured by bench_fanout. It accepts WebSocket
// connections and answers the three commands of the JSON protocol that the load sends, by a naive
// scan. Every publication is framed once into one contiguous log, and at the end of each turn of
// the loop every subscriber is sent one slice of it, from its cursor to the head. There is no
// validation, no history, no channel table, no timer: what the server costs above this is the price
// of being a server.
//
// The programs differ only in their SliceSender.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>

namespace trunkline::bench {

// A slice that one connection is owed, and what became of it.
struct Slice {
  int fd = -1;
  const char* bytes = nullptr;
  std::size_t size = 0;
  ssize_t result = 0;  // bytes taken by the socket, or a negative errno
};

// Sends slices without waiting. A slice is neither kept nor read after the call returns.
class SliceSender {
 public:
  SliceSender() = default;
  SliceSender(const SliceSender&) = delete;
  SliceSender& operator=(const SliceSender&) = delete;
  virtual ~SliceSender() = default;

  // The most slices that send() takes at once; more subscribers mean more calls in a turn.
  [[nodiscard]] virtual std::size_t slices_max() const = 0;
  // Fills in each slice's result.
  virtual void send(std::span<Slice> slices) = 0;
};

// Serves until SIGTERM or SIGINT. Arguments: `--port N`, 0 (the default) for an ephemeral one. Says
// `listening on http://127.0.0.1:PORT` on standard output. Returns the exit status.
int run_floor(int argc, char** argv, SliceSender& sender);

}  // namespace trunkline::bench
