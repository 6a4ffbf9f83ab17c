// SPDX-License-Identifier: Apache-2.0
//
// What a program decides about its clients: who may connect, subscribe and publish, and what their
// calls come to. Handlers are coroutines:
//
//   server.on_rpc("sum", [](RpcRequest request) -> Task<Answer<std::string>> {
//     co_return sum_of(request.data);
//   });
//
// A handler begins on the thread of the client's shard and must not block there: long or blocking
// work goes through Server::offload, or is awaited in any other way. It may end on any thread. A
// client that has gone meanwhile is not told the answer. A handler that throws, also before it has
// become a coroutine, is answered with error 100 and a line in the log.
#pragma once

#include <trunkline/task.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace trunkline {

// Why not: an error reply to the client's command, or the end of its connection.
struct Refusal {
  // Of an error, your own from 1000 on (below are the protocol's), or of a disconnect: 4000–4499
  // and the client comes back, 4500–4999 and it does not (3000–3999 are the protocol's).
  std::uint32_t code = 0;
  std::string message;     // for the client
  bool temporary = false;  // of an error: the client may try again
  bool disconnects = false;
};

template <class T>
using Answer = std::expected<T, Refusal>;

// An error reply. Thread: any.
[[nodiscard]] inline std::unexpected<Refusal> refuse(std::uint32_t code, std::string message) {
  return std::unexpected(Refusal{code, std::move(message), false, false});
}

// Ends the connection. Thread: any.
[[nodiscard]] inline std::unexpected<Refusal> end_connection(std::uint32_t code,
                                                             std::string reason) {
  return std::unexpected(Refusal{code, std::move(reason), false, true});
}

// The client that something is about.
struct Caller {
  std::string client;  // its connection's id
  std::string user;    // empty: anonymous
  std::string info;    // JSON, empty for none
};

// All `data` below is JSON text, empty where there is none. What a handler gives as JSON and is not
// is answered with error 100.

struct ConnectRequest {
  Caller caller;           // user and info as far as the token told
  bool has_token = false;  // … which was verified
  std::string name;        // what the client says of its software
  std::string version;
  std::string data;
};

struct ConnectReply {
  std::string user;  // empty: anonymous
  std::string info;
  std::string data;  // for the client
  // When the connection ends unless on_refresh, or the client's new token, lets it go on.
  std::optional<std::chrono::system_clock::time_point> expire_at;
};

struct SubscribeRequest {
  Caller caller;
  std::string channel;
  std::string data;
};

struct SubscribeReply {
  std::string info;  // of this member, for presence and join/leave
  std::string data;  // for the client; a snapshot takes its place where the channel has one
  std::optional<std::chrono::system_clock::time_point> expire_at;
};

struct PublishRequest {
  Caller caller;
  std::string channel;
  std::string data;
};

struct PublishReply {
  std::string data;  // what is published; empty: what the client sent
};

struct RpcRequest {
  Caller caller;
  std::string method;
  std::string data;
};

struct RefreshReply {
  std::optional<std::chrono::system_clock::time_point> expire_at;  // none: it goes on for ever
  std::string info;                                                // empty: as before
};

using ConnectHandler = std::function<Task<Answer<ConnectReply>>(ConnectRequest)>;
using SubscribeHandler = std::function<Task<Answer<SubscribeReply>>(SubscribeRequest)>;
using PublishHandler = std::function<Task<Answer<PublishReply>>(PublishRequest)>;
using RpcHandler = std::function<Task<Answer<std::string>>(RpcRequest)>;
using RefreshHandler = std::function<Task<Answer<RefreshReply>>(Caller)>;
// These are told and have no answer; they run on the shard's thread and must be short.
using MessageHandler = std::function<void(const Caller&, const std::string& data)>;
using DisconnectHandler = std::function<void(const Caller&)>;

}  // namespace trunkline
