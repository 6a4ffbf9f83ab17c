// SPDX-License-Identifier: Apache-2.0
//
// The client's side of a conversation as a state machine without a world: what happened and the
// time come in; texts to send, transports to open and events for the user come out.
// <trunkline/client.h> is the same for users, and shows the states.
//
// A driver calls an input, then flush(), then arms a timer for next_wakeup(). Inputs may be called
// from inside events, except that a message must not be fed while another one is being read.
//
// What makes it resume rightly: a subscription's position moves before the user sees the
// publication, and only there; every subscribe after the first one asks to go on from it.
#pragma once

#include <trunkline/client_types.h>
#include <trunkline/position.h>

#include "core/random.h"
#include "core/string_map.h"
#include "core/time.h"
#include "session/client_codec.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace trunkline::session {

struct ClientSessionOptions {
  std::string token{};
  bool has_get_token = false;  // ClientEvents::on_token_needed is answered
  std::string name{};
  std::string version{};
  std::string data{};  // raw JSON
  std::vector<std::pair<std::string, std::string>> headers{};
  Duration reconnect_delay_min = std::chrono::milliseconds(500);
  Duration reconnect_delay_max = std::chrono::seconds(20);
  Duration command_timeout = std::chrono::seconds(5);
  Duration connect_timeout = std::chrono::seconds(10);
  Duration max_server_ping_delay = std::chrono::seconds(10);
  std::size_t pending_commands_max = 65'536;
  std::size_t unsent_bytes_max = 64UL * 1024 * 1024;
};

struct ClientSubscriptionOptions {
  std::optional<Position> since{};
  std::string token{};
  bool has_get_token = false;
  std::string data{};  // raw JSON
  bool positioned = false;
  bool recoverable = false;
  bool join_leave = false;
};

// The one connection that the session has at a time.
class ClientTransport {
 public:
  ClientTransport() = default;
  ClientTransport(const ClientTransport&) = delete;
  ClientTransport& operator=(const ClientTransport&) = delete;
  virtual ~ClientTransport() = default;

  // Begins to open one; answered by on_transport_open or on_transport_closed, not from inside.
  virtual void open() = 0;
  // A text message.
  virtual void send_text(std::string_view text) = 0;
  // Ends it, or the attempt to open it: nothing more may come of it, no on_transport_closed either.
  virtual void close(std::uint16_t code, std::string_view reason) = 0;
  [[nodiscard]] virtual std::size_t unsent_bytes() const = 0;
};

// What the session tells its user. Views are valid during the call.
class ClientEvents {
 public:
  ClientEvents() = default;
  ClientEvents(const ClientEvents&) = delete;
  ClientEvents& operator=(const ClientEvents&) = delete;
  virtual ~ClientEvents() = default;

  virtual void on_connecting(std::uint32_t code, std::string_view reason) = 0;
  virtual void on_connected(std::string_view client, std::string_view version) = 0;
  virtual void on_disconnected(std::uint32_t code, std::string_view reason) = 0;
  virtual void on_message(std::string_view data) = 0;
  virtual void on_error(const ClientError& error) = 0;
  // To be answered with ClientSession::on_token and the ticket, at any time.
  virtual void on_token_needed(std::uint64_t ticket) = 0;

  // Subscriptions that the server began.
  virtual void on_server_subscribed(std::string_view channel, const SubscribedContext& context) = 0;
  virtual void on_server_publication(std::string_view channel, const Publication& publication) = 0;
  virtual void on_server_gap(std::string_view channel, const Gap& gap) = 0;
  virtual void on_server_join(std::string_view channel, const ClientInfo& info) = 0;
  virtual void on_server_leave(std::string_view channel, const ClientInfo& info) = 0;
  virtual void on_server_unsubscribed(std::string_view channel, std::uint32_t code,
                                      std::string_view reason) = 0;
};

enum class SubscriptionId : std::uint64_t {};

class SubscriptionEvents {
 public:
  SubscriptionEvents() = default;
  SubscriptionEvents(const SubscriptionEvents&) = delete;
  SubscriptionEvents& operator=(const SubscriptionEvents&) = delete;
  virtual ~SubscriptionEvents() = default;

  virtual void on_subscribing(std::uint32_t code, std::string_view reason) = 0;
  virtual void on_subscribed(const SubscribedContext& context) = 0;
  virtual void on_publication(const Publication& publication) = 0;
  virtual void on_gap(const Gap& gap) = 0;
  virtual void on_join(const ClientInfo& info) = 0;
  virtual void on_leave(const ClientInfo& info) = 0;
  virtual void on_error(const ClientError& error) = 0;
  virtual void on_token_needed(std::uint64_t ticket) = 0;
  // The last call: the object is not used again.
  virtual void on_unsubscribed(std::uint32_t code, std::string_view reason) = 0;
};

using ClientReplyDone =
    std::variant<std::monostate, ClientDone<void>, ClientDone<RpcResult>, ClientDone<HistoryResult>,
                 ClientDone<PresenceResult>, ClientDone<PresenceStats>>;

// Thread: owning loop. Deterministic: the same inputs, times and seed give the same outputs.
class ClientSession {
 public:
  // All references must outlive the session; the decoder may be shared.
  ClientSession(const ClientSessionOptions& options, ServerLineDecoder& decoder, Random random,
                ClientTransport& transport, ClientEvents& events);
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;
  // Says nothing more to anyone; callbacks of waiting commands are destroyed uncalled.
  ~ClientSession() = default;

  // What the world did.
  void on_transport_open(TimePoint now);
  // ws::kMessagePadding readable bytes must follow the message.
  void on_transport_message(std::string_view message, TimePoint now);
  // `code`: of the Close frame, or 1006 with the reason of the failure.
  void on_transport_closed(std::uint16_t code, std::string_view reason, TimePoint now);
  void on_timer(TimePoint now);
  // Answers to on_token_needed; outdated tickets are ignored.
  void on_token(std::uint64_t ticket, ClientResult<std::string> token, TimePoint now);

  // What the user wants: see <trunkline/client.h>.
  void connect(TimePoint now);
  void disconnect(std::uint32_t code, std::string_view reason);
  // `id` is the caller's, new each time; `events` must stay until on_unsubscribed or the session's
  // end.
  void subscribe(SubscriptionId id, std::string channel, ClientSubscriptionOptions options,
                 SubscriptionEvents& events, TimePoint now);
  void unsubscribe(SubscriptionId id, TimePoint now);
  void publish(std::string_view channel, std::string_view json, ClientDone<void> done,
               TimePoint now);
  void rpc(std::string_view method, std::string_view json, ClientDone<RpcResult> done,
           TimePoint now);
  void history(std::string_view channel, const HistoryOptions& options,
               ClientDone<HistoryResult> done, TimePoint now);
  void presence(std::string_view channel, ClientDone<PresenceResult> done, TimePoint now);
  void presence_stats(std::string_view channel, ClientDone<PresenceStats> done, TimePoint now);
  void send(std::string_view json, ClientDone<void> done);

  // Sends what the inputs since the last flush made, gathered in few messages.
  void flush();

  // When on_timer has to be called; TimePoint::max() for never. Never later than the next due
  // time, may be earlier.
  [[nodiscard]] TimePoint next_wakeup() const { return wakeup_; }

  [[nodiscard]] bool is_connected() const { return state_ == State::kConnected; }

  [[nodiscard]] bool is_disconnected() const { return state_ == State::kDisconnected; }

  [[nodiscard]] std::size_t pending_commands() const { return pending_.size(); }

  [[nodiscard]] std::size_t subscriptions() const { return subscriptions_.size(); }

 private:
  // After a refresh that failed; the server grants about 25 s beyond a token's end.
  static constexpr Duration kRefreshRetry = std::chrono::seconds(5);

  enum class State : std::uint8_t { kDisconnected, kConnecting, kConnected };
  enum class TransportState : std::uint8_t { kNone, kOpening, kOpen };
  enum class CommandKind : std::uint8_t {
    kConnect,
    kRefresh,
    kSubscribe,
    kSubRefresh,
    kUnsubscribe,
    kUser,
  };

  // A command without its reply. Ordered by number, which is the order of the deadlines too.
  struct Pending {
    CommandKind kind = CommandKind::kUser;
    SubscriptionId subscription{};
    TimePoint deadline;
    ClientReplyDone done;
    std::string unsent;  // the command, while it waits for the connection
  };

  struct Subscribed {
    SubscriptionId id{};
    std::string channel;
    ClientSubscriptionOptions options;
    SubscriptionEvents* events = nullptr;
    bool is_subscribed = false;
    bool is_checked = false;    // positioned: offsets must follow each other
    bool has_position = false;  // the next subscribe goes on from `position`
    Position position;
    std::string token;
    unsigned attempts = 0;
    std::uint64_t command = 0;  // number of the subscribe on its way; 0: none
    std::uint64_t ticket = 0;   // of a token asked for; 0: none
    TimePoint subscribed_at;
    TimePoint retry_at = TimePoint::max();
    TimePoint refresh_at = TimePoint::max();
  };

  // A subscription that the server began. Kept over reconnects, where the server says which go on.
  struct ServerSubscribed {
    bool is_checked = false;  // positioned: offsets must follow each other
    bool is_recoverable = false;
    Position position;
  };

  enum class TokenUse : std::uint8_t { kConnect, kRefresh };

  // Connection (client_session.cpp)
  void start_attempt(TimePoint now);
  void request_token(TokenUse use);
  void on_connect_token(ClientResult<std::string> token, TimePoint now);
  void lose(std::uint32_t code, std::string_view reason, TimePoint now);
  void close_and_lose(std::uint32_t code, std::string_view reason, TimePoint now);
  void end(std::uint32_t code, std::string_view reason);
  void drop_transport();
  void fail_commands(bool with_unsent, const ClientError& error);
  void invalidate_state();
  void on_disconnect_code(std::uint32_t code, std::string_view reason, TimePoint now);
  [[nodiscard]] Duration backoff(unsigned attempt);

  void wake_at(TimePoint due) { wakeup_ = std::min(wakeup_, due); }

  void update_wakeup();
  void expire_commands(TimePoint now);

  // Lines (client_lines.cpp)
  void on_line(std::string_view text, TimePoint now);
  void on_reply(const ServerLine& line, TimePoint now);
  void on_connect_reply(const ServerLine& line, TimePoint now);
  void on_refresh_reply(const ServerLine& line, TimePoint now);
  void on_user_reply(Pending pending, const ServerLine& line);
  void on_push(const ServerLine& line, TimePoint now);
  void bad_protocol(const Error& error);

  // Subscriptions (client_subscriptions.cpp)
  void send_subscribe(Subscribed& subscription, TimePoint now);
  void on_subscribe_reply(Subscribed& subscription, const ServerLine& line, TimePoint now);
  void accept_subscribe(Subscribed& subscription, const SubscribeReply& reply, TimePoint now);
  void refuse_subscribe(Subscribed& subscription, ClientError error, TimePoint now);
  void on_sub_refresh_reply(Subscribed& subscription, const ServerLine& line, TimePoint now);
  void deliver(Subscribed& subscription, const Publication& publication, std::string_view epoch);
  // How a publication fits behind a position, which it moves.
  enum class Order : std::uint8_t { kNext, kGap, kRepeat };
  static Order advance(Position& position, bool is_checked, const Publication& publication,
                       std::string_view epoch);
  static ClientError order_error(std::string_view channel, Offset expected, Offset got);
  static SubscribedContext context_of(const SubscribeReply& reply);
  void on_unsubscribe_push(Subscribed& subscription, const ServerLine& line, TimePoint now);
  void end_subscription(SubscriptionId id, std::uint32_t code, std::string_view reason);
  void unsubscribe_refused(SubscriptionId id, TimePoint now);
  void retry_subscribe(Subscribed& subscription, bool at_once, TimePoint now);
  void subscribe_all(TimePoint now);
  void suspend_subscriptions();
  void subscription_timers(TimePoint now);
  void on_subscription_token(Subscribed& subscription, ClientResult<std::string> token,
                             TimePoint now);
  Subscribed* find(SubscriptionId id);
  Subscribed* find(std::string_view channel);

  // Subscriptions that the server began (client_server_subs.cpp)
  [[nodiscard]] std::vector<std::pair<std::string_view, const Position*>> resumable() const;
  void accept_server_subs(std::string_view subs);
  // False when the connection did not outlast it.
  bool accept_server_sub(const std::string& channel, std::string_view result);
  void on_server_line(const ServerLine& line);
  void deliver_server_side(const std::string& channel, ServerSubscribed& subscription,
                           const Publication& publication, std::string_view epoch);
  void end_server_sub(const std::string& channel, std::uint32_t code, std::string_view reason);

  // Commands (client_requests.cpp)
  std::uint64_t next_number();
  [[nodiscard]] std::uint64_t number_of(std::uint32_t id) const;
  template <class Write>
  std::uint64_t issue(CommandKind kind, SubscriptionId subscription, TimePoint now, Write write);
  template <class T, class Write>
  void user_command(ClientDone<T> done, TimePoint now, Write write);
  // Why a command cannot be taken now; nothing when it can.
  [[nodiscard]] std::optional<ClientError> refusal() const;
  void enqueue(std::string_view command);
  void send_waiting();

  // Constant after construction
  const ClientSessionOptions& options_;
  ServerLineDecoder& decoder_;
  ClientTransport& transport_;
  ClientEvents& events_;

  Random random_;
  State state_ = State::kDisconnected;
  TransportState transport_state_ = TransportState::kNone;
  bool pong_ = false;
  unsigned attempts_ = 0;
  std::string token_;
  TokenUse token_use_ = TokenUse::kConnect;
  std::uint64_t token_ticket_ = 0;  // awaited; 0: none
  std::uint64_t last_ticket_ = 0;
  std::uint64_t connection_ = 0;  // counts transports: events may have changed it
  std::uint64_t last_number_ = 0;
  std::map<std::uint64_t, Pending> pending_;
  std::map<SubscriptionId, Subscribed> subscriptions_;  // in the order they were made
  StringMap<Subscribed*> by_channel_;
  std::map<std::string, ServerSubscribed, std::less<>> server_side_;
  std::string batch_;

  TimePoint wakeup_ = TimePoint::max();
  TimePoint connect_deadline_ = TimePoint::max();
  TimePoint reconnect_at_ = TimePoint::max();
  TimePoint refresh_at_ = TimePoint::max();
  TimePoint heard_;          // the server, last
  Duration silence_max_{0};  // 0: not watched
  TimePoint subscriptions_wakeup_ = TimePoint::max();
};

}  // namespace trunkline::session
