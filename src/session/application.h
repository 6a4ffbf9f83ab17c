// SPDX-License-Identifier: Apache-2.0
//
// What somebody else decides about clients: the embedding program's handlers, or a backend that is
// asked over HTTP. Everything here is asked on the session's shard and answered there, once, at
// once or at any later time; a session that has ended meanwhile ignores the answer.
#pragma once

#include "core/time.h"
#include "session/protocol.h"
#include "session/server_channel.h"

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::session {

struct ChannelOptions;

// Why not: an error reply, or the end of the connection.
struct Refusal {
  std::uint32_t code = 0;
  std::string message;
  bool temporary = false;    // of an error: the client may try again
  bool disconnects = false;  // the code is a disconnect's (3000–4999), the message its reason
};

// One of the protocol's errors.
[[nodiscard]] inline Refusal to_refusal(const ErrorReply& error) {
  return {error.code, std::string(error.message), error.temporary, false};
}

template <class T>
using Decide = std::move_only_function<void(std::expected<T, Refusal>)>;

using Fields = std::vector<std::pair<std::string, std::string>>;

// What is known of a connection for those who are asked about it, and not told to anybody else.
struct ClientContext {
  // Fields of the handshake's head that ClientOptions::request_headers_kept names.
  Fields request_headers{};
  // The connect command's `headers` that ClientOptions::emulated_headers_kept names. The client
  // says them: they prove nothing.
  Fields emulated_headers{};
  std::string meta{};  // raw JSON that the token or the application attached; empty: none
};

// The client that something is about.
struct Caller {
  std::string client;  // its connection's id
  std::string user;    // empty: anonymous
  std::string info;    // raw JSON, empty for none
  // Null: nothing is known. It does not change.
  std::shared_ptr<const ClientContext> context{};
};

struct ConnectQuestion {
  Caller caller;           // as far as the token told
  bool has_token = false;  // … which was verified
  std::string name;        // of the client's software, and its version; whatever it says
  std::string version;
  std::string data;  // raw JSON that came with the command; empty: none
  // Server-side subscriptions that the client had before, by its own word.
  std::vector<std::string> channels{};
};

struct ConnectGrant {
  std::string user;
  std::string info;                   // raw JSON, empty for none
  std::string data;                   // raw JSON for the client, empty for none
  std::optional<WallTime> expire_at;  // when the connection must have been refreshed
  // Server-side subscriptions besides those of the token.
  std::vector<ServerChannel> channels{};
  std::string meta{};  // raw JSON for ClientContext; empty: that of the token
};

struct SubscribeQuestion {
  Caller caller;
  std::string channel;
  std::string data;  // raw JSON; empty: none
};

struct SubscribeGrant {
  std::string info;  // of the member in this channel; raw JSON, empty for none
  std::string data;  // for the client; a snapshot takes its place where there is one
  std::optional<WallTime> expire_at;
};

struct PublishQuestion {
  Caller caller;
  std::string channel;
  std::string data;  // raw JSON
};

struct PublishGrant {
  std::string data;           // raw JSON that is published; empty: what the client sent
  bool skip_history = false;  // for those who are subscribed now only
  Fields tags{};
  std::string idempotency_key{};  // empty: none
};

struct RpcQuestion {
  Caller caller;
  std::string method;
  std::string data;  // raw JSON; empty: none
};

struct RpcGrant {
  std::string data;  // the result, raw JSON; empty: none
  // The client is subscribed to this behind the reply.
  std::optional<ServerChannel> subscribe;
};

struct RefreshGrant {
  std::optional<WallTime> expire_at;  // none: it no longer expires
  std::string info;                   // raw JSON, empty: as before
};

struct SubRefreshQuestion {
  Caller caller;
  std::string channel;
};

struct SubRefreshGrant {
  std::optional<WallTime> expire_at;  // none: it no longer expires
  std::string info;                   // of the member in this channel; raw JSON, empty: as before
};

// Raw JSON in answers must be valid: it is spliced into frames. Thread: owning shard.
class Application {
 public:
  Application() = default;
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;
  virtual ~Application() = default;

  // Whether it wants to be asked; without that the configuration alone decides, and rpc and send
  // are not available. A token has been verified before.
  [[nodiscard]] virtual bool decides_connect(bool has_token) const = 0;
  // In place of the namespace's permissions; a subscription token is enough without it.
  [[nodiscard]] virtual bool decides_subscribe(std::string_view channel,
                                               const ChannelOptions& options) const = 0;
  [[nodiscard]] virtual bool decides_publish(std::string_view channel,
                                             const ChannelOptions& options) const = 0;
  // When a connection expires, before its client is asked to refresh.
  [[nodiscard]] virtual bool decides_refresh() const = 0;

  // When a subscription expires, before it is ended; its client is not asked.
  [[nodiscard]] virtual bool decides_sub_refresh(std::string_view /*channel*/,
                                                 const ChannelOptions& /*options*/) const {
    return false;
  }

  [[nodiscard]] virtual bool takes_calls() const = 0;
  [[nodiscard]] virtual bool takes_messages() const = 0;

  virtual void connect(ConnectQuestion question, Decide<ConnectGrant> decide) = 0;
  virtual void subscribe(SubscribeQuestion question, Decide<SubscribeGrant> decide) = 0;
  virtual void publish(PublishQuestion question, Decide<PublishGrant> decide) = 0;
  virtual void refresh(Caller caller, Decide<RefreshGrant> decide) = 0;

  virtual void sub_refresh(SubRefreshQuestion /*question*/, Decide<SubRefreshGrant> decide) {
    decide(std::unexpected(Refusal{}));
  }

  virtual void rpc(RpcQuestion question, Decide<RpcGrant> decide) = 0;
  // A `send` command, which has no reply.
  virtual void message(Caller caller, std::string data) = 0;

  // A connected client has a channel from now on, whoever asked for it.
  virtual void subscribed(const std::string& /*client*/, std::string_view /*channel*/) {}

  // A connected client has gone, whoever ended it.
  virtual void disconnected(Caller caller) = 0;

  // A client that something was asked about has gone, connected or not: nobody waits for the
  // answers any more. May be called while an answer is given.
  virtual void forget(std::string_view /*client*/) {}
};

}  // namespace trunkline::session
