// SPDX-License-Identifier: Apache-2.0
//
// The world of a grid node: one thread with one event loop gives grid::NodeCore the time and what
// sockets say, and does what it answers. A PeerManager dials and listens. Whatever other threads
// ask for comes as mail.
#pragma once

#include <trunkline/grid.h>
#include <trunkline/peers.h>

#include "core/random.h"
#include "core/string_map.h"
#include "grid/node_core.h"
#include "net/blocking_threads.h"
#include "net/busy_poll.h"
#include "net/grid_connection.h"
#include "net/grid_program.h"
#include "net/grid_wire.h"

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
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace trunkline::net {

using GridTask = std::move_only_function<void()>;

// Shared by the GridNode, its GridPeers and streams, and the thread.
class GridDriver final : public std::enable_shared_from_this<GridDriver>,
                         private GridProgramWorld,
                         private grid::NodeEvents {
 public:
  GridDriver(GridOptions options, grid::NodeOptions node_options, GridCertificates certificates);
  ~GridDriver() override;

  // --- any thread ---

  [[nodiscard]] Result<void> start();
  // Ends everything; the thread ends by itself.
  void stop();
  void wait();
  void drain(std::chrono::milliseconds timeout);

  [[nodiscard]] std::uint16_t port() const { return port_.load(std::memory_order_relaxed); }

  // Runs the task on the node's thread; now, when this is it. False when the node has stopped: the
  // task was dropped.
  bool dispatch(GridTask task);
  // The same, and waits for it. False: dropped.
  bool dispatch_and_wait(GridTask task);
  [[nodiscard]] bool is_on_loop() const;
  // Whose thread this is; null when it is no node's. Whoever finds it there needs no reference.
  [[nodiscard]] static GridDriver* here();
  // Runs the task on the node's thread, later also when this is it. False when it has stopped.
  bool post(GridTask task);
  // So many tasks wait that no more calls should be added.
  [[nodiscard]] bool is_swamped();
  // Once a stream: the others are copies of it.
  [[nodiscard]] static GridStream make_stream(GridStreamState& state);

  [[nodiscard]] bool has_stopped();

  // For what may block.
  [[nodiscard]] BlockingThreads& blocking() { return blocking_; }

  // --- the node's thread ---

  [[nodiscard]] grid::NodeCore& core() override { return core_; }

  [[nodiscard]] GridProgram& program() { return program_; }

  [[nodiscard]] const GridOptions& options() const { return options_; }

  [[nodiscard]] const GridCertificates& certificates() const { return certificates_; }

  [[nodiscard]] boost::asio::io_context& io() { return io_; }

  [[nodiscard]] std::span<char> read_buffer();

  // Connections lend each other the memory that they write from: it is empty, and there is one.
  void swap_write_buffer(std::string& buffer) { write_buffer_.swap(buffer); }

  [[nodiscard]] std::size_t write_buffer_bytes() const { return write_buffer_.capacity(); }

  [[nodiscard]] std::size_t frame_bytes_max() const;
  [[nodiscard]] ws::MaskingKey masking_key();
  // From the operating system.
  [[nodiscard]] static std::string random_bytes(std::size_t count);
  void log(std::string_view line) const;
  // What time it is, before the node is told anything in a turn or by an event.
  void begin_turn();

  // For connections: a WebSocket stands; one is lost; one is no more, or never was a WebSocket, and
  // why.
  [[nodiscard]] grid::ConnectionId opened(std::shared_ptr<GridConnection> connection);
  void lost(grid::ConnectionId id, std::string_view why);
  void forget(GridConnection& connection, std::string_view never_stood);

 private:
  enum class Life : std::uint8_t { kNew, kRunning, kStopped, kJoined };

  // A peer that is dialled, by the manager's request.
  struct Dial {
    std::string peer;
    bool is_wanted = true;
    bool is_connected = false;
  };

  void run();
  void turn();
  bool poll_for_a_moment();
  void take_mail();
  void end_turn();
  void arm_timer();
  void end_all();
  [[nodiscard]] Result<void> make_manager();
  void adopt(PeerId id, std::shared_ptr<PeerConnection> connection, grid::Side side);
  void dial_ended(PeerId id);
  void dial_failed(PeerId id, std::string_view why);
  void drop_dial(std::map<std::uint64_t, Dial>::iterator dial);
  void call_later(std::chrono::milliseconds delay, GridTask task) override;

  // grid::NodeEvents; what is about calls goes to the program.
  void on_call(grid::Mux& mux, grid::CallRef call, const grid::PeerCall& what,
               grid::Arrived payload) override;
  void on_result(grid::Mux& mux, std::uint64_t token, grid::Arrived payload) override;
  void on_failure(grid::Mux& mux, std::uint64_t token, const grid::Failure& failure) override;
  void on_message(grid::Mux& mux, grid::CallRef call, std::uint64_t token,
                  grid::Arrived payload) override;
  void on_end(grid::Mux& mux, grid::CallRef call, std::uint64_t token) override;
  void on_stop(grid::Mux& mux, grid::CallRef call, std::uint64_t token,
               const grid::Failure& why) override;
  void on_room(grid::Mux& mux, grid::CallRef call, std::uint64_t token) override;
  void on_ready(std::uint64_t token, const std::optional<grid::Failure>& failure) override;
  void on_will_fill(char* memory, std::size_t bytes) override;
  void on_spent(char* message, std::size_t from, std::size_t to) override;
  void on_write(grid::ConnectionId id) override;
  void on_close(grid::ConnectionId id, const std::string& last, std::string_view reason) override;
  void on_dial(const std::string& peer, bool wanted) override;
  void on_peer(const std::string& peer, bool is_connected, std::string_view why) override;
  std::optional<grid::Refusal> why_not(grid::ConnectionId id, std::string_view peer) override;
  void on_refused(std::string_view peer, const grid::Refusal& refusal, bool by_peer) override;

  // Constant after construction
  const GridOptions options_;
  const grid::NodeOptions node_options_;
  const GridCertificates certificates_;
  boost::asio::io_context io_;

  // Shared
  BlockingThreads blocking_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Life life_ = Life::kNew;
  bool is_drained_ = false;
  std::vector<GridTask> mail_;
  std::thread thread_;
  std::atomic<std::thread::id> thread_id_;
  std::atomic<std::uint16_t> port_ = 0;
  std::unique_ptr<PeerManager> manager_;  // set by start(), before the thread

  // Owned by the node's thread
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> guard_;
  boost::asio::steady_timer timer_;
  TimePoint armed_for_ = TimePoint::max();
  bool is_in_turn_ = false;
  bool is_event_begun_ = false;
  bool is_stopping_ = false;
  BusyPoll busy_poll_;
  Random random_;
  std::vector<char> read_buffer_;
  std::string write_buffer_;
  std::map<std::uint64_t, Dial> dials_;  // by the manager's id
  std::unordered_map<grid::ConnectionId, std::shared_ptr<GridConnection>> connections_;
  std::set<std::shared_ptr<GridConnection>> sockets_;  // all, also those that are ending
  std::unordered_map<const GridConnection*, PeerId> dialled_;
  std::vector<grid::ConnectionId> to_write_;
  GridProgram program_;
  grid::NodeCore core_;
};

}  // namespace trunkline::net
