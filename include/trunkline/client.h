// SPDX-License-Identifier: Apache-2.0
//
// A client of the client protocol (JSON over WebSocket), for this server and every other that
// speaks it. It keeps itself connected, comes back to its channels after a loss where it stood, and
// says what could not be recovered.
//
//   ClientLoop loop;
//   loop.start();
//   Client client(loop, {.url = "ws://localhost:8000/connection/websocket"}, {});
//   client.connect();
//   Subscription news = client.subscribe("news", {}, {
//       .on_publication = [](const Publication& publication) { use(publication.data); }});
//   client.publish("news", R"({"n":1})", [](const ClientResult<void>& done) { … });
//
// States of the client:
//
//   disconnected --connect()--> connecting --connect reply--> connected
//   connected, connecting --connection lost, disconnect 3000–3499, 4000–4499, ≥ 5000--> connecting
//   any --disconnect(), disconnect 3500–3999, 4500–4999, close 1009, terminal error--> disconnected
//
// and of each subscription:
//
//   unsubscribed --subscribe()--> subscribing --subscribe reply--> subscribed
//   subscribed --connection lost, unsubscribe push ≥ 2500--> subscribing
//   any --unsubscribe(), unsubscribe push < 2500, terminal error--> unsubscribed (for good)
//
// Commands that are given while the client is connecting wait for the connection, at most
// command_timeout; while it is disconnected they fail with kClosed.
//
// Threads: every method may be called from any thread, also inside callbacks; it takes effect on
// the loop's thread, in the order of the calls of one thread. All callbacks run on the loop's
// thread and must be short: they hold up every client of the loop. A callback that throws ends its
// client (DisconnectedCode::kCallbackThrew) and no other.
#pragma once

#include <trunkline/client_types.h>
#include <trunkline/error.h>
#include <trunkline/position.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline {

namespace net {
class ClientLoopCore;
class ClientCore;
}  // namespace net

// One thread with one event loop, shared by any number of clients: ten thousand idle ones cost no
// read buffers and one timer each.
class ClientLoop {
 public:
  ClientLoop();
  ClientLoop(const ClientLoop&) = delete;
  ClientLoop& operator=(const ClientLoop&) = delete;
  // Stops. May run inside a callback: the thread then ends by itself after the callback.
  ~ClientLoop();

  // Starts the thread; a second call does nothing. Clients may be made and used before: their calls
  // wait for the start. Errors: kClosed after stop(), kSystem when the system has no thread left.
  [[nodiscard]] Result<void> start();

  // Disconnects every client (their callbacks, on_disconnected included, still run), ends the
  // thread and waits for it, except inside a callback. Afterwards calls of the clients do nothing,
  // and what they were given is destroyed uncalled. There is no second start.
  void stop();

  // Runs `fn` on the loop's thread, after what was posted before. False, with `fn` destroyed
  // uncalled, when the loop has stopped.
  bool run_on_loop(std::move_only_function<void()> fn);

  // Whether the caller is on the loop's thread.
  [[nodiscard]] bool is_on_loop() const;

 private:
  friend class Client;
  std::shared_ptr<net::ClientLoopCore> core_;
};

// TLS of wss:// URLs: version 1.2 or newer. The server's certificate must be trusted and have the
// URL's host, name or address, among its subjectAltNames; if not, each attempt fails and on_error
// says what is wrong. Files are in PEM, and read when the client is made; clients of one loop with
// equal options share what was read as long as one of them lives.
struct ClientTlsOptions {
  // The CAs to trust. Empty: the system's store (or SSL_CERT_FILE and SSL_CERT_DIR of the
  // environment).
  std::string ca_file{};
  // For servers that ask for a certificate of the client's: it, then those that lead to a root, and
  // its key. Both or none.
  std::string certificate_file{};
  std::string key_file{};
  // Takes any certificate: encrypted, but whoever is in between can read and change everything. For
  // trying things out. Not together with ca_file.
  bool insecure_no_verification = false;

  friend bool operator==(const ClientTlsOptions&, const ClientTlsOptions&) = default;
};

// Every member has an initializer, so that naming only some of them gives no warning.
struct ClientOptions {
  // ws:// or wss://host[:port]/path[?query]; without a port it is 80 or 443.
  // A URL that cannot be used, and TLS options that cannot be (also any with ws://, which would
  // leave what they protect unprotected), disconnect at connect() with kBadOptions.
  std::string url{};
  ClientTlsOptions tls{};
  // Offer the server permessage-deflate (RFC 7692). When it agrees, texts from 128 bytes on are
  // sent compressed, and it may send compressed ones: less on the wire, more work on both sides,
  // and up to 40 KiB a connection when the server compresses over messages. Secrets beside text of
  // others' choice in one message can be guessed by its size (CRIME).
  bool compression = false;

  // The connection token; empty: anonymous.
  std::string token{};
  // Called for a token when there is none, when the server says that it has expired, and when the
  // server wants a fresh one in time. May answer later and from any thread; never answering means
  // waiting for ever.
  std::function<void(TokenDone)> get_token{};

  std::string name = "trunkline-cpp";  // shown to operators of the server
  std::string version{};
  std::string data{};  // raw JSON for the server's connect handler; empty: none
  // Headers of the connect command, for proxies behind the server (not of the HTTP request).
  std::vector<std::pair<std::string, std::string>> headers{};

  // A delay is drawn evenly from 0 up to min · 2^attempt, at most max, and never less than min
  // (full jitter: a herd does not come back in step). Of reconnects and resubscribes alike.
  std::chrono::milliseconds reconnect_delay_min{500};
  std::chrono::milliseconds reconnect_delay_max{20'000};

  std::chrono::milliseconds command_timeout{5'000};
  // Resolving, connecting and the handshakes (TLS and WebSocket) together.
  std::chrono::milliseconds connect_timeout{10'000};
  // The server pings at an interval that it tells; silence of that and so much more is a loss.
  std::chrono::milliseconds max_server_ping_delay{10'000};

  // Bind outgoing connections to this address, so that a load test has more than one address's
  // ports; empty: the system chooses.
  std::string local_address{};

  // A larger message of the server's, inflated when it is compressed, is a loss of the connection.
  std::size_t message_bytes_max = 16UL * 1024 * 1024;
  // Commands that wait for their replies, and bytes that wait for the socket; beyond them a command
  // fails with kLimitExceeded.
  std::size_t pending_commands_max = 65'536;
  std::size_t unsent_bytes_max = 64UL * 1024 * 1024;
};

// All optional.
struct ClientHandlers {
  // Connecting or reconnecting: ConnectingCode, an error reply's or a disconnect's code.
  std::function<void(std::uint32_t code, std::string_view reason)> on_connecting{};
  std::function<void(std::string_view client_id, std::string_view server_version)> on_connected{};
  // Will not reconnect by itself: DisconnectedCode, an error reply's or a disconnect's code.
  std::function<void(std::uint32_t code, std::string_view reason)> on_disconnected{};
  // A message that the server pushed to this client alone: raw JSON.
  std::function<void(std::string_view data)> on_message{};
  // What went wrong without ending the client: an attempt to connect, a bad URL, an unknown push; a
  // publication out of order on a positioned server-side subscription.
  std::function<void(const ClientError&)> on_error{};

  // Server-side subscriptions: channels that the server subscribed this client to. The client need
  // not ask, and has no handle for them. At a reconnect it says where it stood, and the server
  // which of them go on: for each of these on_server_subscribed comes again, behind on_connected
  // and with what was missed (its context tells as for other subscriptions), and
  // on_server_unsubscribed (kNotGranted) for the others.
  std::function<void(std::string_view channel, const SubscribedContext&)> on_server_subscribed{};
  std::function<void(std::string_view channel, const Publication&)> on_server_publication{};
  std::function<void(std::string_view channel, const Gap&)> on_server_gap{};
  std::function<void(std::string_view channel, const ClientInfo&)> on_server_join{};
  std::function<void(std::string_view channel, const ClientInfo&)> on_server_leave{};
  // UnsubscribedCode, or an unsubscribe push's code.
  std::function<void(std::string_view channel, std::uint32_t code, std::string_view reason)>
      on_server_unsubscribed{};
};

struct SubscriptionOptions {
  // Start behind this position; an empty epoch matches any.
  std::optional<Position> since{};
  // For channels that want a token of their own.
  std::string token{};
  std::function<void(std::string_view channel, TokenDone)> get_token{};
  std::string data{};  // raw JSON for the server's subscribe handler; empty: none

  // Ask for what the channel does not force by itself.
  bool positioned = false;
  bool recoverable = false;
  bool join_leave = false;
};

// All optional. Order of one subscription: on_subscribing, then on_subscribed, then publications;
// on_unsubscribed is the last call of all.
struct SubscriptionHandlers {
  std::function<void(std::uint32_t code, std::string_view reason)> on_subscribing{};
  std::function<void(const SubscribedContext&)> on_subscribed{};
  std::function<void(const Publication&)> on_publication{};
  // This subscriber was so slow that the log has moved on, and the channel skips (namespace option
  // slow_subscriber.on_lost "skip" or "latest"): what is in the gap will not come.
  std::function<void(const Gap&)> on_gap{};
  std::function<void(const ClientInfo&)> on_join{};
  std::function<void(const ClientInfo&)> on_leave{};
  // Ended for good: UnsubscribedCode, an error reply's or an unsubscribe push's code.
  std::function<void(std::uint32_t code, std::string_view reason)> on_unsubscribed{};
  // A subscribe that failed and is tried again; and, on a positioned subscription, a publication
  // out of order (kProtocolError, naming the offset that was expected): after a gap the publication
  // is delivered all the same, a repeated one is not.
  std::function<void(const ClientError&)> on_error{};
};

// A handle, cheap to copy. Dropping it does not end the subscription: that lasts until
// unsubscribe(), on_unsubscribed or the client's end. Thread: any.
class Subscription {
 public:
  Subscription() = default;

  // Ends it: on_unsubscribed with kUnsubscribeCalled is the last callback. Does nothing when it has
  // ended already.
  void unsubscribe();

  [[nodiscard]] const std::string& channel() const { return channel_; }

 private:
  friend class Client;
  std::weak_ptr<net::ClientCore> client_;
  std::uint64_t id_ = 0;
  std::string channel_;
};

// Thread: any, for every method.
class Client {
 public:
  Client(ClientLoop& loop, ClientOptions options, ClientHandlers handlers);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  // Closes the connection. When it returns no callback runs and none will; one that is running on
  // the loop's thread is waited for, unless it is the caller: a client may be destroyed inside its
  // own callback. Callbacks of commands that are still waiting are destroyed uncalled; disconnect()
  // first to have them called. Must not wait for a lock that a callback waits for.
  ~Client();

  void connect();
  // Waiting commands fail with kClosed. Subscriptions stay and come back with the next connect().
  void disconnect();

  // Subscribes as soon as the client is connected. A channel can be subscribed to once at a time:
  // another one gets on_unsubscribed with the protocol's code 105 (already subscribed).
  Subscription subscribe(std::string channel, SubscriptionOptions options,
                         SubscriptionHandlers handlers);

  // Commands. `done` is called once: with the reply, the server's error (protocol_code not 0),
  // kTimeout when there was none in time (it may have been carried out all the same), kClosed when
  // the connection was lost meanwhile (likewise), kLimitExceeded, or kMalformed for data that is
  // not JSON (nothing was sent then).
  void publish(std::string channel, std::string json, ClientDone<void> done);
  void rpc(std::string method, std::string json, ClientDone<RpcResult> done);
  void history(std::string channel, HistoryOptions options, ClientDone<HistoryResult> done);
  void presence(std::string channel, ClientDone<PresenceResult> done);
  void presence_stats(std::string channel, ClientDone<PresenceStats> done);
  // A message to the server that has no reply. Success means that it was queued for a connection
  // that stood, not that it arrived.
  void send(std::string json, ClientDone<void> done);

 private:
  std::shared_ptr<net::ClientCore> core_;
};

}  // namespace trunkline
