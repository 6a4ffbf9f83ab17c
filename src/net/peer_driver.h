// SPDX-License-Identifier: Apache-2.0
//
// The world of the connection manager: gives peers::Machine the time and what sockets say, and does
// what it answers. One thread with one event loop does all work and calls all hooks; any thread may
// take a step of the machine, whose effects then wait for that thread.
#pragma once

#include <trunkline/error.h>
#include <trunkline/peers.h>

#include "net/listener.h"
#include "peers/events.h"
#include "peers/machine.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace trunkline::net {

// Shared by the PeerManager, the thread, and whoever still owes an answer.
class PeerDriver : public std::enable_shared_from_this<PeerDriver> {
 public:
  PeerDriver(const PeerOptions& options, PeerHooks hooks);
  PeerDriver(const PeerDriver&) = delete;
  PeerDriver& operator=(const PeerDriver&) = delete;
  ~PeerDriver();

  // Thread: any, for everything up to `private`.
  [[nodiscard]] Result<std::uint16_t> listen(const std::string& address, std::uint16_t port);
  [[nodiscard]] Result<void> start();
  void stop();
  void wait();
  // stop(), and wait() or, on the loop's thread, a promise that nobody will wait.
  void leave();

  Result<PeerId> step(peers::Event event);

  // Reads the machine under the lock.
  template <class Read>
  auto read(Read read_it) const {
    const std::lock_guard lock(mutex_);
    return read_it(machine_);
  }

  [[nodiscard]] Result<void> restore(std::string_view text);

 private:
  class Ticket;

  // One attempt that runs: how to give it up.
  using AttemptKey = std::pair<peers::DialId, std::size_t>;

  void run();
  // Loop's thread, all of these.
  void work();
  void arm_timer();
  void perform(peers::NeedAddress&);
  void perform(peers::Resolve&);
  void perform(peers::StartAttempt&);
  void perform(peers::AbortDial&);
  void perform(peers::Surface&);
  void perform(peers::CloseConnection&);
  void perform(peers::PauseListeners&);
  void perform(peers::ResumeListeners&);
  void perform(peers::Tell&);
  void perform(peers::Stopped&);
  void attempt_done(AttemptKey key, Result<std::shared_ptr<PeerConnection>> result);
  void resolve_done(peers::DialId dial, Result<std::vector<PeerEndpoint>> result);
  void accepted(int descriptor);
  void adopt(PeerId id, peers::DialId dial, std::shared_ptr<PeerConnection> connection);
  void answered();
  void end_if_done();
  [[nodiscard]] bool is_on_loop() const;

  // Constant after construction
  const PeerHooks hooks_;
  boost::asio::io_context io_;

  // Shared
  mutable std::mutex mutex_;
  peers::Machine machine_;
  peers::Effects effects_;
  bool is_work_posted_ = false;
  std::mutex life_mutex_;
  std::condition_variable changed_;  // life_
  enum class Life : std::uint8_t { kNew, kRunning, kJoining, kEnded } life_ = Life::kNew;
  std::thread thread_;
  std::atomic<std::thread::id> thread_id_;

  // Owned by the loop's thread
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> guard_;
  boost::asio::steady_timer timer_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::map<AttemptKey, std::move_only_function<void()>> attempts_;
  std::unordered_map<std::uint64_t, std::shared_ptr<PeerConnection>> connections_;
  std::size_t unanswered_ = 0;  // dials and questions whose answers have not come
  bool has_stopped_ = false;
};

}  // namespace trunkline::net
