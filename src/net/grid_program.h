// SPDX-License-Identifier: Apache-2.0
//
// What the program behind a node waits for and serves: its calls, its handlers, its streams. It
// turns the grid's events into answers, coroutines that go on, and stop tokens.
#pragma once

#include <trunkline/grid.h>

#include "core/intrusive_list.h"
#include "core/string_map.h"
#include "grid/node_core.h"
#include "net/grid_stream.h"

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace trunkline::net {

[[nodiscard]] GridError to_error(const grid::Failure& failure);
[[nodiscard]] GridError cancelled_error();

// What it needs of the driver. Thread: the node's.
class GridProgramWorld {
 public:
  GridProgramWorld() = default;
  GridProgramWorld(const GridProgramWorld&) = delete;
  GridProgramWorld& operator=(const GridProgramWorld&) = delete;
  virtual ~GridProgramWorld() = default;

  [[nodiscard]] virtual grid::NodeCore& core() = 0;
  virtual void call_later(std::chrono::milliseconds delay,
                          std::move_only_function<void()> task) = 0;
};

// A call that somebody waits for.
struct GridPending {
  std::string peer;
  std::string handler;
  Bytes payload;  // kept while it may be asked again
  GridCallOptions options;
  TimePoint deadline = TimePoint::max();
  TimePoint began;
  std::uint64_t serial = 0;  // tells it from an earlier one at the same place
  std::uint32_t retries = 0;
  grid::CallKind kind = grid::CallKind::kRequest;
  bool is_waiting = false;  // for the peer
  grid::Mux* mux = nullptr;
  grid::CallRef ref;
  GridDone done;         // of a request
  GridStreamPtr stream;  // of a stream, until it is open
  std::move_only_function<void(GridResult<void>)> opened;
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
};

// A handler that runs for a peer's request, not a stream's. Shared by the program and what answers
// for it.
struct GridServed {
  grid::Mux* mux = nullptr;
  grid::CallRef ref;
  std::stop_source stop;
  std::shared_ptr<const void> handler;  // keeps the function whose coroutine runs
};

struct GridReplyState {
  GridHomePtr home;
  grid::Mux* mux = nullptr;
  grid::CallRef ref;
};

// Thread: the node's.
class GridProgram {
 public:
  GridProgram(GridProgramWorld& world, const GridOptions& options)
      : world_(world), options_(options) {}

  GridProgram(const GridProgram&) = delete;
  GridProgram& operator=(const GridProgram&) = delete;
  ~GridProgram();

  // Once, before anything else.
  void set_driver(const std::shared_ptr<GridDriver>& driver) { home_ = new GridHome(driver); }

  // Thread: any.
  [[nodiscard]] const GridHomePtr& home() const { return home_; }

  void handle(std::string name, GridHandler handler);
  void handle_inline(std::string name, GridInlineHandler handler);
  void handle_inline(std::string name, GridInlineContextHandler handler);
  void handle_stream(std::string name, GridStreamHandler handler, GridStreamLimits limits);

  // Begins a call, or its wait for the peer. `done` or `opened` is called once, maybe at once.
  GridPending* begin(std::unique_ptr<GridPending> pending);
  // Null when it has ended.
  [[nodiscard]] GridPending* find_pending(GridPending* pending, std::uint64_t serial) const;
  // Ends one that is still pending (null: none); it is told that it was cancelled.
  void cancel(GridPending* pending);
  void cancel(GridStreamState& stream);
  void let_go(GridStreamState& stream);
  void answered(const std::shared_ptr<GridServed>& served, GridResult<Bytes> answer);
  // A stream's handler has ended.
  void returned(GridStreamState& stream, GridResult<void> how);
  // Whoever still waits is told that the node has stopped.
  void stop();

  void on_call(grid::Mux& mux, grid::CallRef call, const grid::PeerCall& what,
               grid::Arrived payload);
  void on_result(std::uint64_t token, grid::Arrived payload);
  void on_failure(std::uint64_t token, const grid::Failure& failure);
  void on_message(std::uint64_t token, grid::Arrived payload);
  void on_end(std::uint64_t token);
  void on_stop(std::uint64_t token, const grid::Failure& why);
  void on_room(std::uint64_t token);
  void on_ready(std::uint64_t token, const std::optional<grid::Failure>& failure);
  // After a frame: those who wait for a message of a stream go on, and find all that have come.
  void wake_receivers();

 private:
  struct StreamServing {
    GridStreamHandler serve;
    GridStreamLimits limits;
    mutable std::size_t running = 0;
  };

  using Handler =
      std::variant<GridHandler, GridInlineHandler, GridInlineContextHandler, StreamServing>;

  [[nodiscard]] std::shared_ptr<const Handler> find(std::string_view name) const;
  void keep(GridStreamState& stream);
  void drop(GridStreamState& stream);
  void attempt(GridPending& pending);
  void ended_by(GridPending& pending, const grid::Failure& failure);
  void wait_for_peer(GridPending& pending);
  void finish(GridPending& pending, GridResult<std::string_view> result);
  void watch_stop(GridPending& pending);
  void watch_stop_of(GridStreamState& stream, const std::stop_token& stop);
  // A stream of ours has ended, for the trace.
  void trace_end(GridStreamState& stream, const GridError* error);
  void serve_inline(const Handler& handler, grid::Mux& mux, grid::CallRef call,
                    const grid::PeerCall& what, std::string_view payload);
  void serve(std::shared_ptr<const Handler> keeper, const GridHandler& handler, grid::Mux& mux,
             grid::CallRef call, GridRequest request);
  void serve_stream(std::shared_ptr<const Handler> keeper, grid::Mux& mux, grid::CallRef call,
                    GridRequest request);
  GridRequest request_of(grid::Mux& mux, const grid::PeerCall& what, const grid::Arrived& payload);

  GridProgramWorld& world_;
  std::uint64_t last_serial_ = 0;
  bool is_stopping_ = false;
  GridHomePtr home_;
  const GridOptions& options_;
  StringMap<std::shared_ptr<const Handler>> handlers_;
  std::unordered_map<GridPending*, std::unique_ptr<GridPending>> pending_;
  std::unordered_map<GridServed*, std::shared_ptr<GridServed>> served_;
  IntrusiveList<GridStreamState, GridStreamTable> streams_;  // holds a reference of each
  std::vector<GridStreamPtr> to_wake_;
  std::vector<GridStreamPtr> waking_;  // kept for its memory
};

}  // namespace trunkline::net
