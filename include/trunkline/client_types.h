// SPDX-License-Identifier: Apache-2.0
//
// What the client (client.h) hands to its user: values without policy. Views are valid until the
// callback that got them returns; copy what has to stay.
#pragma once

#include <trunkline/error.h>
#include <trunkline/position.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline {

// An error of the client or, when protocol_code is not 0, of the server.
struct ClientError : Error {
  // The code of the server's error reply (100 internal, 103 permission denied, 109 token expired …;
  // 400–1999 are an application's own). 0: the error arose on this side. `context` holds the
  // server's message.
  std::uint32_t protocol_code = 0;
  // The server says that the same request may succeed later.
  bool is_temporary = false;
};

template <class T>
using ClientResult = std::expected<T, ClientError>;

// Someone's connection.
struct ClientInfo {
  std::string_view user;
  std::string_view client;     // the id of the connection
  std::string_view conn_info;  // raw JSON; empty: none
  std::string_view chan_info;  // raw JSON; empty: none
};

struct Publication {
  std::string_view data;                // raw JSON
  Offset offset;                        // 0: the channel keeps no history
  std::optional<ClientInfo> publisher;  // only of publications that a client made
  std::string_view tags;                // raw JSON object of strings; empty: none
  std::int64_t time_ms = 0;             // since 1970, by the server; 0: not told
};

// Publications that a subscriber will never get, both ends included.
struct Gap {
  Offset from;
  Offset to;
};

// What a subscription, first or renewed, began with.
struct SubscribedContext {
  // The server was asked to go on from a known position.
  bool was_recovering = false;
  // … and nothing is missing: the publications in between follow at once. False with
  // was_recovering true: the server no longer holds them; the subscription goes on behind
  // `position`, and what lies between is lost to this client.
  bool recovered = false;
  bool positioned = false;   // the server watches over gapless delivery
  bool recoverable = false;  // and keeps history to go on from after a reconnect
  // The last publication before the next one to come; none when the channel keeps no history.
  std::optional<Position> position{};
  // What was asked for: empty unless was_recovering.
  std::optional<Position> asked{};
  std::size_t recovered_publications = 0;
  std::string_view data{};  // raw JSON from the application; empty: none
};

struct HistoryOptions {
  // Publications at most. 0: only the position; negative: as many as the server allows.
  std::int32_t limit = 0;
  // Start behind this position (forwards) or before it (backwards).
  std::optional<Position> since{};
  enum class Order : std::uint8_t { kOldestFirst, kNewestFirst } order = Order::kOldestFirst;
};

struct HistoryResult {
  std::vector<Publication> publications;
  Position position;  // the channel's newest publication
};

struct PresenceResult {
  std::vector<ClientInfo> clients;
};

struct PresenceStats {
  std::uint32_t clients = 0;
  std::uint32_t users = 0;
};

struct RpcResult {
  std::string_view data;  // raw JSON; empty: none
};

// Called once, on the loop's thread.
template <class T>
using ClientDone = std::move_only_function<void(const ClientResult<T>&)>;

// A token, or why there is none. kPermissionDenied or an empty token ends the connection or
// subscription for good; any other error is tried again with the usual delays.
using TokenDone = std::move_only_function<void(ClientResult<std::string>)>;

// Codes below 100 are the client's own; from 100 an error reply's; from 2000 an unsubscribe push's;
// from 3000 a disconnect's.
struct ConnectingCode {
  static constexpr std::uint32_t kConnectCalled = 0;
  static constexpr std::uint32_t kTransportClosed = 1;
  static constexpr std::uint32_t kNoPing = 2;            // the server was silent for too long
  static constexpr std::uint32_t kSubscribeTimeout = 3;  // a subscribe was not answered
  static constexpr std::uint32_t kUnsubscribeError = 4;  // an unsubscribe failed
};

struct DisconnectedCode {
  static constexpr std::uint32_t kDisconnectCalled = 0;
  static constexpr std::uint32_t kUnauthorized = 1;      // get_token had none
  static constexpr std::uint32_t kBadProtocol = 2;       // the server sent what is no reply
  static constexpr std::uint32_t kMessageSizeLimit = 3;  // the server refused a message's size
  static constexpr std::uint32_t kBadOptions = 4;        // such as a URL that is none
  static constexpr std::uint32_t kCallbackThrew = 5;
};

struct SubscribingCode {
  static constexpr std::uint32_t kSubscribeCalled = 0;
  static constexpr std::uint32_t kTransportClosed = 1;
};

struct UnsubscribedCode {
  static constexpr std::uint32_t kUnsubscribeCalled = 0;
  static constexpr std::uint32_t kUnauthorized = 1;  // get_token had none
  static constexpr std::uint32_t kBadOptions = 4;    // `data` that is not JSON
  // Of a server-side subscription: after a reconnect the server did not go on with it.
  static constexpr std::uint32_t kNotGranted = 5;
};

}  // namespace trunkline
