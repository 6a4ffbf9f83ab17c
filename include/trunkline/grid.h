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
#include <trunkline/task.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline {

namespace net {
class GridDriver;
class GridStreamState;
struct GridReplyState;
}  // namespace net

// A message's payload: any bytes.
using Bytes = std::string;

// Why a call or stream has failed.
enum class GridCode : std::uint16_t {
  kCancelled = 1,       // by this side
  kDeadline = 2,        // its time is up; its handler may have run
  kUnknownHandler = 3,  // the peer has none of this name and kind
  kBusy = 4,            // the peer runs as many handlers as it may
  kTooLarge = 5,        // a message is larger than its receiver takes
  kMemory = 6,          // its receiver has no memory left for the message or stream
  kDraining = 7,        // the peer, or this node, is ending
  kHandler = 8,         // the remote handler says so: `application` and `text` are its own
  kThrew = 9,           // the remote handler threw; `text` is what
  kAbandoned = 10,      // the remote handler ended without an answer
  kDisconnected = 100,  // the connection was lost, and nobody knows how far the call came
  kNotConnected = 101,  // there is no connection
  kFull = 102,          // this node's limit of calls or unsent bytes is reached
  kInvalid = 103,       // no such peer, or a name that cannot be one
};

// Whose doing it was.
enum class GridOrigin : std::uint8_t {
  kHandler,    // the remote handler
  kRemote,     // the remote node
  kTransport,  // the connection
  kCaller,     // this side
};

struct GridError {
  GridCode code = GridCode::kDisconnected;
  GridOrigin origin = GridOrigin::kTransport;
  // Of a handler's error: its own number.
  std::uint32_t application = 0;
  // No handler has seen it: it may be asked again without doing anything twice.
  bool not_run = false;
  std::string text{};
};

template <class T>
using GridResult = std::expected<T, GridError>;

// A handler's error. Thread: any.
[[nodiscard]] inline std::unexpected<GridError> grid_error(std::uint32_t application,
                                                           std::string text) {
  return std::unexpected(
      GridError{GridCode::kHandler, GridOrigin::kHandler, application, false, std::move(text)});
}

// Lower-case names, and "name (origin): text", for logs. Thread: any.
[[nodiscard]] std::string_view name(GridCode code);
[[nodiscard]] std::string_view name(GridOrigin origin);
[[nodiscard]] std::string to_string(const GridError& error);

// Which class a call is sent in, in both directions.
enum class GridPriority : std::uint8_t {
  kBySize = 0,  // requests and responses of one piece are small, larger ones bulk, streams streams
  kSmall = 1,   // with those that wait least
  kStream = 2,
  kBulk = 3,  // behind the others, but never starved
};

struct GridCallOptions {
  // From now on, waiting for the peer included. 0: of a request a minute, of a stream none.
  // Otherwise at least 1 ms; max(): none. The handler there is stopped at the same time.
  std::chrono::milliseconds timeout{0};
  GridPriority priority = GridPriority::kBySize;
  // Waits for the peer to be connected, within the timeout, instead of failing at once.
  bool wait_ready = false;
  // Of a request: it may run twice without harm, so when the connection is lost it is asked again
  // within its timeout. What no handler has seen is asked again in any case when wait_ready is set.
  bool idempotent = false;
  // Cancels it: the caller goes on at once, the handler there is stopped.
  std::stop_token stop{};
};

// What a handler is asked. Owned by the handler.
struct GridRequest {
  std::string handler;  // the full name, also where a handler serves all names below a prefix
  Bytes payload;
  std::string peer;      // the caller's name
  std::stop_token stop;  // nobody waits any more: cancelled, out of time, or disconnected
  // When the caller's time is up; none: never.
  std::optional<std::chrono::steady_clock::time_point> deadline;
};

// One side of a stream: messages both ways, in order. Copies are the same stream; when the last one
// goes, a caller's stream that has not ended is cancelled. At most one receive() and one send() may
// be waiting at a time. Thread: any.
class GridStream {
 public:
  // Queues a message, when there is room. Success means queued, not received. Errors: kHandler and
  // all others when the stream has failed or is over, kTooLarge. A handler may send until it
  // returns, a caller until finish().
  [[nodiscard]] Task<GridResult<void>> send(Bytes message);
  // The next message; none: the other side has ended well and everything has come. Each message is
  // given once, also those that came before a failure.
  [[nodiscard]] Task<GridResult<std::optional<Bytes>>> receive();
  // The caller sends nothing more. A handler finishes by returning.
  void finish();
  // Ends it now; the handler there is stopped. A receive() or send() that waits fails with
  // kCancelled. Of a handler's stream it does nothing: it returns an error instead.
  void cancel();

 private:
  friend class net::GridDriver;

  explicit GridStream(std::shared_ptr<net::GridStreamState> state) : state_(std::move(state)) {}

  std::shared_ptr<net::GridStreamState> state_;
};

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
// The form for what is quick: no coroutine. The payload is borrowed until it returns.
using GridInlineHandler = std::function<void(std::string_view payload, GridReply reply)>;
// Called once, on the node's thread; the payload is borrowed until it returns. Must not throw.
using GridDone = std::move_only_function<void(GridResult<std::string_view>)>;

// How a type becomes a payload, for typed handlers and calls. trunkline/grid_msgpack.h has it for
// all that msgpack-cxx can pack; specialise it for yours:
//
//   template <>
//   struct trunkline::GridCodec<LockRequest> {
//     static void pack(const LockRequest& value, Bytes& out);            // appends
//     static bool unpack(std::string_view bytes, LockRequest& value);    // false: not one
//   };
template <class T>
struct GridCodec;

namespace detail {

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
  Bytes bytes;
  GridCodec<Response>::pack(*response, bytes);
  co_return bytes;
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
    Bytes payload;
    GridCodec<Request>::pack(request, payload);
    return detail::unpack_answer<Response>(
        call(std::move(handler), std::move(payload), std::move(options)));
  }

  // The same with a callback: nothing is allocated for a coroutine.
  void call(std::string_view handler, Bytes payload, GridCallOptions options, GridDone done) const;
  // Opens a stream; success means that it is queued, and that a handler's refusal comes with
  // the first receive(). `payload` goes to the handler's request.
  [[nodiscard]] Task<GridResult<GridStream>> open(std::string handler, Bytes payload,
                                                  GridCallOptions options = {}) const;

 private:
  friend class GridNode;

  GridPeer(std::shared_ptr<net::GridDriver> driver, std::string name)
      : driver_(std::move(driver)), name_(std::move(name)) {}

  std::shared_ptr<net::GridDriver> driver_;
  std::string name_;
};

// Limits and times. What a peer must keep to is told to it when it connects.
struct GridOptions {
  // The address under which the others reach this node, "host:port". The same on all of them.
  std::string name{};
  // The address to listen on; empty: only dials. Port 0: any (port() says which).
  std::string listen{};
  std::uint16_t port = 0;
  // Every node's; at least 16 bytes. Empty: whoever reaches the port may speak, and nothing is
  // proven. It is not sent; it does not encrypt.
  std::string secret{};
  // CRC-32 of every frame; for links that are not encrypted.
  bool checksums = false;
  // It belongs to no grid and only dials: for tools. Its name is nobody's address and no member's.
  // A call of its that waits for a peer fails as soon as the peer could not be reached.
  bool is_guest = false;
  // Guests of this node's at once; they must know the secret, and without one there are none.
  std::size_t guests_max = 64;
  // Answers calls of `trunkline/peers` with what peers() says, as JSON (docs/grid.md).
  bool serves_statistics = true;
  // How far clocks may be apart; 0: any.
  std::chrono::milliseconds skew_max{300'000};

  std::uint32_t message_bytes_max = 64U * 1024 * 1024;
  // For streams' windows and messages that are being put together, of all peers.
  std::size_t memory_bytes_max = 512UL * 1024 * 1024;
  std::size_t stream_window_bytes = 256UL * 1024;  // at most unread, of one stream
  std::uint32_t calls_max = 16'384;                // of one peer, unanswered
  // Of one peer's calls, running at once; those of cancelled calls count until they have ended.
  std::size_t handlers_max = 4096;

  std::chrono::milliseconds ping_interval{10'000};   // a peer silent for two of them is gone
  std::chrono::milliseconds write_deadline{10'000};  // since the peer took a byte
  std::chrono::milliseconds handshake_deadline{5'000};
  std::chrono::milliseconds reverse_dial_after{10'000};
  // Redials wait from 0 to start · 2^(failures − 1), at most max.
  std::chrono::milliseconds redial_start{500};
  std::chrono::milliseconds redial_max{30'000};
  // A connection that stood so long was good; others count as failures.
  std::chrono::milliseconds good_after{5'000};

  // Lines for the operator. Called on the node's thread.
  std::function<void(std::string_view)> log = [](std::string_view) {};
  // Told of each call of this node's that has ended: peer, handler, how long, and how. For traces;
  // empty: costs nothing.
  std::function<void(std::string_view peer, std::string_view handler, std::chrono::nanoseconds took,
                     const GridError* error)>
      trace{};
};

// Of one peer, at the moment of asking.
struct GridPeerStats {
  std::string name{};
  bool is_connected = false;
  bool is_dialling = false;   // this node sees to it that there is a connection
  bool is_guest = false;      // a peer as long as it is connected
  bool dialled_here = false;  // this node has dialled the connection
  std::uint64_t connects = 0;
  std::string last_error{};
  std::chrono::nanoseconds round_trip{0};    // 0: not known
  std::chrono::milliseconds clock_ahead{0};  // the peer's
  std::uint64_t bytes_sent = 0;              // of this connection, as the next ones
  std::uint64_t bytes_received = 0;
  std::uint64_t messages_sent = 0;
  std::uint64_t messages_received = 0;
  std::uint64_t calls_refused = 0;   // of the peer's
  std::size_t calls_open = 0;        // of this node's
  std::size_t handlers_running = 0;  // of the peer's calls
  std::size_t unsent_bytes = 0;
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

  // With types that have a GridCodec; the GridRequest's payload is what was unpacked. Who sends
  // something else is answered with a handler's error.
  template <class Request, class Response>
  void handle(std::string name, detail::TypedHandler<Request, Response> handler) {
    auto kept = std::make_shared<const detail::TypedHandler<Request, Response>>(std::move(handler));
    handle(std::move(name), GridHandler([kept = std::move(kept)](GridRequest request) {
             return detail::serve_typed<Request, Response>(kept, std::move(request));
           }));
  }

  void handle_stream(std::string name, GridStreamHandler handler);

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
