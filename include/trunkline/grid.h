// SPDX-License-Identifier: Apache-2.0
//
// The grid: nodes that call each other and stream to each other over one WebSocket a pair.
//
//   auto node = GridNode::create({.name = "10.0.0.1:7000", .listen = "0.0.0.0", .port = 7000,
//                                 .secret = secret});
//   (*node)->handle("sum", [](GridRequest request) -> Task<GridResult<Bytes>> {
//     co_return sum_of(request.payload);
//   });
//   (*node)->start();
//   GridPeer peer = *(*node)->peer("10.0.0.2:7000");
//   GridResult<Bytes> answer = co_await peer.call("sum", "1 2 3", {.timeout = 1s});
//
// For small and large messages alike: large ones go in pieces between which everything else is
// sent. Not for data that must survive a lost connection: what was open on it has failed, at once,
// and says so. The wire is docs/grid-protocol.md.
//
// A node's *name* is the address under which the others reach it. Of each pair one dials, which
// follows from the names; when it cannot, the other one does.
//
// Threads: a node has one thread of its own. Every method may be called from any thread. Handlers
// begin, callbacks run and awaiting coroutines go on on the node's thread: what blocks there blocks
// every peer of the node. A coroutine may go on elsewhere after awaiting something else.
#pragma once

#include <trunkline/error.h>
#include <trunkline/grid_options.h>
#include <trunkline/grid_stream.h>
#include <trunkline/grid_types.h>
#include <trunkline/task.h>

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace trunkline {

namespace net {
class GridDriver;
struct GridReplyState;
}  // namespace net

// What an inline handler answers with, once, from any thread. Dropping it unanswered tells the
// caller kAbandoned.
class GridReply {
 public:
  explicit GridReply(std::unique_ptr<net::GridReplyState> state);
  GridReply(GridReply&&) noexcept;
  GridReply& operator=(GridReply&&) noexcept;
  GridReply(const GridReply&) = delete;
  GridReply& operator=(const GridReply&) = delete;
  ~GridReply();

  void respond(Bytes payload);
  void fail(std::uint32_t application, std::string text);

 private:
  std::unique_ptr<net::GridReplyState> state_;
};

using GridHandler = std::function<Task<GridResult<Bytes>>(GridRequest)>;
using GridStreamHandler = std::function<Task<GridResult<void>>(GridRequest, GridStream)>;
// For what may block; on a thread of the node's pool. Returns instead of co_return.
using GridBlockingHandler = std::function<GridResult<Bytes>(GridRequest)>;
using GridBlockingStreamHandler = std::function<GridResult<void>(GridRequest, GridBlockingStream)>;
// The form for what is quick: no coroutine. The payload is borrowed until it returns.
using GridInlineHandler = std::function<void(std::string_view payload, GridReply reply)>;
using GridInlineContextHandler =
    std::function<void(const GridInlineRequest& request, GridReply reply)>;
// Called once, on the node's thread; the payload is borrowed until it returns. Must not throw.
using GridDone = std::move_only_function<void(GridResult<std::string_view>)>;

namespace detail {

// Takes a coroutine to a thread of the node's pool. Gives false when the node has stopped.
class GridHop {
 public:
  explicit GridHop(std::shared_ptr<net::GridDriver> driver) : driver_(std::move(driver)) {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }

  bool await_suspend(std::coroutine_handle<> waiter);

  [[nodiscard]] bool await_resume() const noexcept { return has_hopped_; }

 private:
  std::shared_ptr<net::GridDriver> driver_;
  bool has_hopped_ = false;
};

[[nodiscard]] inline std::unexpected<GridError> no_thread() {
  return std::unexpected(
      GridError{GridCode::kNotConnected, GridOrigin::kTransport, 0, true, "the node has stopped"});
}

template <class Function>
Task<GridResult<std::invoke_result_t<Function&>>> offload(std::shared_ptr<net::GridDriver> driver,
                                                          Function function) {
  GridHop hop(std::move(driver));
  const bool has_hopped = co_await hop;
  if (!has_hopped) {
    co_return no_thread();
  }
  if constexpr (std::is_void_v<std::invoke_result_t<Function&>>) {
    function();
    co_return GridResult<void>{};
  } else {
    co_return function();
  }
}

template <class Out, class In>
Task<GridResult<GridTypedStream<Out, In>>> typed(Task<GridResult<GridStream>> raw) {
  GridResult<GridStream> stream = co_await std::move(raw);
  if (!stream.has_value()) {
    co_return std::unexpected(stream.error());
  }
  co_return GridTypedStream<Out, In>(std::move(*stream));
}

template <class Response>
Task<GridResult<Response>> unpack_answer(Task<GridResult<Bytes>> raw) {
  const GridResult<Bytes> answer = co_await std::move(raw);
  if (!answer.has_value()) {
    co_return std::unexpected(answer.error());
  }
  Response response{};
  if (!GridCodec<Response>::unpack(*answer, response)) {
    co_return std::unexpected(GridError{GridCode::kHandler, GridOrigin::kHandler, 0, false,
                                        "the answer is of another type"});
  }
  co_return response;
}

template <class Request, class Response>
using TypedHandler = std::function<Task<GridResult<Response>>(Request, GridRequest)>;

template <class Request, class Response>
Task<GridResult<Bytes>> serve_typed(std::shared_ptr<const TypedHandler<Request, Response>> handler,
                                    GridRequest request) {
  Request value{};
  if (!GridCodec<Request>::unpack(request.payload, value)) {
    co_return grid_error(0, "the request is of another type");
  }
  const GridResult<Response> response = co_await (*handler)(std::move(value), std::move(request));
  if (!response.has_value()) {
    co_return std::unexpected(response.error());
  }
  co_return detail::packed(*response);
}

template <class Request, class In, class Out>
using TypedStreamHandler =
    std::function<Task<GridResult<void>>(Request, GridRequest, GridTypedStream<Out, In>)>;

template <class Request, class In, class Out>
Task<GridResult<void>> serve_typed_stream(
    std::shared_ptr<const TypedStreamHandler<Request, In, Out>> handler, GridRequest request,
    GridStream stream) {
  Request value{};
  if (!GridCodec<Request>::unpack(request.payload, value)) {
    co_return grid_error(0, "the request is of another type");
  }
  co_return co_await (*handler)(std::move(value), std::move(request),
                                GridTypedStream<Out, In>(std::move(stream)));
}

template <class Request, class Response>
using TypedBlockingHandler = std::function<GridResult<Response>(Request, GridRequest)>;

template <class Request, class Response>
GridResult<Bytes> serve_typed_blocking(const TypedBlockingHandler<Request, Response>& handler,
                                       GridRequest request) {
  Request value{};
  if (!GridCodec<Request>::unpack(request.payload, value)) {
    return grid_error(0, "the request is of another type");
  }
  const GridResult<Response> response = handler(std::move(value), std::move(request));
  if (!response.has_value()) {
    return std::unexpected(response.error());
  }
  return detail::packed(*response);
}

}  // namespace detail

// Another node, as seen from this one. A value; it keeps nothing alive but the node's inside, and
// fails with kNotConnected when the node has stopped. Thread: any.
class GridPeer {
 public:
  [[nodiscard]] const std::string& name() const { return name_; }

  // Calls a handler there and waits for its answer. Dropping the task cancels the call; drop one
  // that waits on the node's thread, or when it cannot be going on at the same time.
  [[nodiscard]] Task<GridResult<Bytes>> call(std::string handler, Bytes payload,
                                             GridCallOptions options = {}) const;

  // The same with types that have a GridCodec. Errors, besides: kHandler for an answer that is of
  // another type.
  template <class Request, class Response>
  [[nodiscard]] Task<GridResult<Response>> call(std::string handler, const Request& request,
                                                GridCallOptions options = {}) const {
    return detail::unpack_answer<Response>(
        call(std::move(handler), detail::packed(request), std::move(options)));
  }

  // The same with a callback: nothing is allocated for a coroutine.
  void call(std::string_view handler, Bytes payload, GridCallOptions options, GridDone done) const;
  // Opens a stream; success means that it is queued, and that a handler's refusal comes with
  // the first receive(). `payload` goes to the handler's request.
  [[nodiscard]] Task<GridResult<GridStream>> open(std::string handler, Bytes payload,
                                                  GridCallOptions options = {}) const;

  // The same with types that have a GridCodec: of the opening, of what is sent, and of what comes.
  template <class Request, class Out, class In>
  [[nodiscard]] Task<GridResult<GridTypedStream<Out, In>>> open(
      std::string handler, const Request& request, GridCallOptions options = {}) const {
    return detail::typed<Out, In>(
        open(std::move(handler), detail::packed(request), std::move(options)));
  }

 private:
  friend class GridNode;

  GridPeer(std::shared_ptr<net::GridDriver> driver, std::string name)
      : driver_(std::move(driver)), name_(std::move(name)) {}

  std::shared_ptr<net::GridDriver> driver_;
  std::string name_;
};

class GridNode {
 public:
  // Errors: kConfig with the option that cannot be, kSystem.
  [[nodiscard]] static Result<std::unique_ptr<GridNode>> create(GridOptions options);
  GridNode(const GridNode&) = delete;
  GridNode& operator=(const GridNode&) = delete;
  // Stops, and waits for its thread unless it is on it.
  ~GridNode();

  // Serves calls of a name; a name that ends with '/' serves all below it that have no longer one.
  // A second one of a name takes the place of the first. Handlers that throw are answered kThrew.
  void handle(std::string name, GridHandler handler);
  void handle_inline(std::string name, GridInlineHandler handler);
  // The same for who has to know the caller, the name or the time left.
  void handle_inline(std::string name, GridInlineContextHandler handler);

  // With types that have a GridCodec; the GridRequest's payload is what was unpacked. Who sends
  // something else is answered with a handler's error.
  template <class Request, class Response>
  void handle(std::string name, detail::TypedHandler<Request, Response> handler) {
    auto kept = std::make_shared<const detail::TypedHandler<Request, Response>>(std::move(handler));
    handle(std::move(name), GridHandler([kept = std::move(kept)](GridRequest request) {
             return detail::serve_typed<Request, Response>(kept, std::move(request));
           }));
  }

  void handle_stream(std::string name, GridStreamHandler handler, GridStreamLimits limits = {});

  // With types that have a GridCodec: of the opening, of what comes, and of what is sent.
  template <class Request, class In, class Out>
  void handle_stream(std::string name, detail::TypedStreamHandler<Request, In, Out> handler,
                     GridStreamLimits limits = {}) {
    using Handler = detail::TypedStreamHandler<Request, In, Out>;
    auto kept = std::make_shared<const Handler>(std::move(handler));
    handle_stream(
        std::move(name),
        GridStreamHandler([kept = std::move(kept)](GridRequest request, GridStream stream) {
          return detail::serve_typed_stream<Request, In, Out>(kept, std::move(request),
                                                              std::move(stream));
        }),
        limits);
  }

  // Handlers that may block: they run on threads of their own (GridOptions::blocking_threads) and
  // keep no peer waiting. One that nobody waits for any more before it has begun does not begin.
  // What they use must live until they have returned: stop() waits a few seconds for them.
  void handle_blocking(std::string name, GridBlockingHandler handler);
  void handle_blocking_stream(std::string name, GridBlockingStreamHandler handler,
                              GridStreamLimits limits = {});

  template <class Request, class Response>
  void handle_blocking(std::string name, detail::TypedBlockingHandler<Request, Response> handler) {
    handle_blocking(
        std::move(name), GridBlockingHandler([handler = std::move(handler)](GridRequest request) {
          return detail::serve_typed_blocking<Request, Response>(handler, std::move(request));
        }));
  }

  // Runs a function that may block on one of those threads, and goes on there. Errors:
  // kNotConnected when the node has stopped before. What the function throws is thrown here. The
  // task must not be dropped while it waits. See task.h for what a lambda may capture there.
  //
  //   const GridResult<Report> report = co_await node.offload([&] { return database.report(); });
  template <class Function>
  [[nodiscard]] auto offload(Function function) {
    return detail::offload<Function>(driver_, std::move(function));
  }

  // Listens and connects. Errors: kSystem (the address cannot be listened on), kClosed.
  [[nodiscard]] Result<void> start();
  // What it listens on; 0 when it does not.
  [[nodiscard]] std::uint16_t port() const;

  // The peer of this name; added, when it is new. Errors: kInvalidArgument, kClosed.
  [[nodiscard]] Result<GridPeer> peer(std::string name);
  // What was open to it fails. Errors: kNotFound, kClosed.
  Result<void> remove_peer(std::string name);

  // Tells the peers that it ends, takes nothing new, lets what is open finish within `timeout`, and
  // stops. Blocks; not on the node's thread.
  void drain(std::chrono::milliseconds timeout);
  // Ends everything now: calls fail, handlers are told to stop. Waits for the thread unless on it.
  void stop();

  [[nodiscard]] std::vector<GridPeerStats> peers() const;

 private:
  explicit GridNode(std::shared_ptr<net::GridDriver> driver) : driver_(std::move(driver)) {}

  std::shared_ptr<net::GridDriver> driver_;
};

}  // namespace trunkline
