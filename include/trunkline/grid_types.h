// SPDX-License-Identifier: Apache-2.0
//
// What calls of the grid are made of: payloads, errors, options, requests. trunkline/grid.h
// includes it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline {

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

// What an inline handler is asked. Borrowed until it returns. There is no stop token in it: an
// answer that nobody waits for costs nothing, and what takes long is a GridHandler's.
struct GridInlineRequest {
  std::string_view handler{};  // as GridRequest's
  std::string_view payload{};
  std::string_view peer{};
  std::optional<std::chrono::steady_clock::time_point> deadline{};
};

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

// A thread's memory to pack in.
inline Bytes& packing_memory() {
  thread_local Bytes memory;
  return memory;
}

// The payload of a value. Small ones grow in memory that was used before, and leave it in one
// allocation of their size.
template <class T>
[[nodiscard]] Bytes packed(const T& value) {
  constexpr std::size_t kSmall = 4096;
  Bytes memory = std::exchange(packing_memory(), {});
  memory.clear();
  GridCodec<T>::pack(value, memory);
  if (memory.size() > kSmall) {
    return memory;
  }
  Bytes payload(memory);
  packing_memory() = std::move(memory);
  return payload;
}

}  // namespace detail

}  // namespace trunkline
