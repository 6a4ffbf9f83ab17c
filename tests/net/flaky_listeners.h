// SPDX-License-Identifier: Apache-2.0
//
// Listeners on loopback that behave badly: some keep what they accept, some reset it, some refuse,
// some let a connect hang. And a watch over a program's connections, which says when one has ended.
#pragma once

#include <trunkline/peers.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace trunkline::net {

enum class Manner : std::uint8_t { kKeeps, kResets, kRefuses, kHangs };

// Each with a port of its own. One thread accepts. Thread of the methods: any one at a time.
class FlakyListeners {
 public:
  // Of four in a row one for each manner.
  explicit FlakyListeners(std::size_t count);
  FlakyListeners(const FlakyListeners&) = delete;
  FlakyListeners& operator=(const FlakyListeners&) = delete;
  ~FlakyListeners();

  // "127.0.0.1:port", by turns.
  [[nodiscard]] std::string next_address();
  // Everything that was accepted is reset, and each listener takes on the next manner.
  void change();

 private:
  struct Listener {
    std::uint16_t port = 0;
    int descriptor = -1;  // −1: it refuses
    Manner manner = Manner::kKeeps;
    std::vector<int> fillers;  // of the queue of one that hangs
  };

  void open(Listener& listener);
  void close(Listener& listener);
  void run();
  void accept_from(std::uint32_t index);

  std::mutex mutex_;
  std::vector<Listener> listeners_;
  std::vector<int> accepted_;
  std::size_t next_ = 0;
  int poll_ = -1;
  int end_ = -1;
  std::thread thread_;
};

// Closes connections whose other end has gone, as a program does that reads. One thread.
class ConnectionWatch {
 public:
  ConnectionWatch();
  ConnectionWatch(const ConnectionWatch&) = delete;
  ConnectionWatch& operator=(const ConnectionWatch&) = delete;
  ~ConnectionWatch();

  // Thread: any.
  void add(PeerId id, std::shared_ptr<PeerConnection> connection);
  void drop(PeerId id);

 private:
  void run();

  std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<PeerConnection>> connections_;
  int poll_ = -1;
  int end_ = -1;
  std::thread thread_;
};

}  // namespace trunkline::net
