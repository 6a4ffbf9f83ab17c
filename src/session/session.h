// SPDX-License-Identifier: Apache-2.0
//
// One client's conversation, from the connection's first message to its end.
//
//   state        what comes next
//   kNew         connect, before the stale timer (3502); anything else is a bad request (3501)
//   kConnected   every other command
//   kRefused     connect was answered with an error: nothing more is accepted (3501)
//   kEnded       closing or closed: messages are ignored, continuations find nothing
//
// Commands whose channel lives on this shard are answered at once; others when their home answers.
// Replies carry the command's id; those that concern one channel keep their order.
#pragma once

#include "core/random.h"
#include "core/timer_wheel.h"
#include "hub/shard.h"
#include "outbox/outbox.h"
#include "session/application.h"
#include "session/authenticator.h"
#include "session/command.h"
#include "session/json.h"
#include "session/json_codec.h"
#include "session/limit_log.h"
#include "session/options.h"
#include "session/permissions.h"
#include "session/protocol.h"
#include "session/registry.h"
#include "session/server_channel.h"
#include "session/snapshot.h"
#include "session/stats.h"
#include "session/user_limiter.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::session {

// What a session may do with its connection. Thread: owning shard.
class Link {
 public:
  Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  virtual ~Link() = default;

  [[nodiscard]] virtual outbox::Outbox& outbox() = 0;
  // Something is in the outbox: flush it at the end of the turn.
  virtual void want_flush() = 0;
  // Begins the closing handshake with what is queued sent first. Session::on_closed follows later,
  // never from inside.
  virtual void close(std::uint16_t code, std::string_view reason) = 0;

  // Whether the client asked for WebSocket's own pings rather than the protocol's.
  [[nodiscard]] virtual bool wants_native_pings() const { return false; }

  // Whether the connection takes the hub's compressed frames.
  [[nodiscard]] virtual bool takes_compressed_frames() const { return false; }

  // A whole text frame around a message, as the connection likes it best.
  [[nodiscard]] virtual std::string text_frame(std::string_view message) {
    return session::text_frame(message);
  }
};

// What the sessions of one shard share. The caller keeps `now` at the time of the event that is
// being handled.
struct Environment {
  const Options& options;
  const Authenticator& authenticator;
  hub::HubShard& hub;
  TimerWheel& timers;
  Random& random;
  SnapshotProvider* snapshots = nullptr;  // none: no channel has snapshots
  UserLimiter* users = nullptr;           // none: users have no limit
  Application* application = nullptr;     // none: the configuration decides alone
  Now now{};
  Registry registry{};
  CommandDecoder decoder{};
  SessionStats stats{};
  LimitLog limit_log{};
  // A line for the log about a client's mistake that the client cannot see the reason of.
  std::function<void(std::string_view)> log = [](std::string_view) {};
  // None: a client has at connect what its token says, and its personal channel.
  ServerChannelsFunction server_channels{};
};

// Thread: owning shard.
class Session final : public hub::Sink, public Timer {
 public:
  // Both must outlive the session. `request_headers`: those of the handshake that are kept.
  Session(Environment& environment, Link& link, Fields request_headers = {});
  // Ends all subscriptions; the connection is gone or on its way out.
  ~Session() override;

  // A text message: one or more commands, one a line. At least ws::kMessagePadding readable bytes
  // must follow it.
  void on_message(std::span<char> message);
  // A Pong frame, the answer to a native ping.
  void on_native_pong();
  // Commands wait for the outbox to drain or for an answer: read nothing more for now.
  [[nodiscard]] bool is_paused() const;
  // The outbox has drained below its mark: goes on with commands that waited.
  void resume();

  // Ends the conversation from the server's side.
  void disconnect(std::uint16_t code, std::string_view reason);

  void disconnect(Disconnect why) { disconnect(why.code, why.reason); }

  // Ends one subscription from the server's side, whoever began it; false when there is none. One
  // that is on its way ends as soon as the client has been told of it.
  bool unsubscribe(std::string_view channel, Unsubscribe why);

  // Begins one from the server's side: the client is told by a push, and what is published after
  // the position in it follows. False when the client has the channel already (that subscription
  // stays as it is), is not connected, or may not have more: a limit or an unknown namespace, which
  // the log then names. (session_server_subs.cpp)
  bool subscribe_from_server(ServerChannel channel);

  // Tells the client something that belongs to no channel (push `message`); raw JSON. False when it
  // is not connected, or has too much to read already: nobody keeps the message then.
  bool send(std::string_view data);

  [[nodiscard]] SessionId id() const { return id_; }

  [[nodiscard]] const std::string& client() const { return client_; }

  [[nodiscard]] const std::string& user() const { return user_; }

  [[nodiscard]] bool is_connected() const { return state_ == State::kConnected; }

  // hub::Sink
  void on_ready(hub::Subscription& subscription) override;
  void on_event(hub::Subscription& subscription, hub::EventKind kind,
                const hub::SharedFrame& frame) override;
  void on_lost(hub::Subscription& subscription) override;
  // Timer
  void on_timer(TimePoint now) override;

 private:
  enum class State : std::uint8_t { kNew, kConnected, kRefused, kEnded };

  // Only where the configuration has such rates: most servers' sessions need no room for them.
  struct Rates {
    std::vector<TokenBucket> commands;
    std::vector<TokenBucket> errors;
  };

  // Who began a subscription, which says how the client is told of it.
  enum class Beginning : std::uint8_t {
    kCommand,  // the client; by the reply
    kPush,     // the server; by a push
    kConnect,  // the server; in the connect reply
  };

  // A subscription on its way.
  struct Subscribing {
    std::uint64_t ticket = 0;  // tells it from a later one for the same channel
    Beginning beginning = Beginning::kCommand;
    std::string channel;
    std::uint32_t id = 0;
    bool recover = false;
    Position since;
    bool positioned = false;
    bool recoverable = false;
    bool join_leave = false;
    bool reject_unrecovered = false;
    int snapshot_attempts = 0;
    hub::Attached attached;
    bool recovered = false;
    bool was_recovering = false;
    std::vector<std::uint32_t> unsubscribes;  // ids of commands that wait for it
    std::string later;                        // commands for the channel behind those
    std::optional<Unsubscribe> ended;         // by the server, meanwhile
    std::string data;                         // raw JSON for the client, of the application
    TimePoint received;
    // Of a server-side one.
    std::string result;  // in the connect reply; empty: not known yet
    Offset next;         // where the cursor begins behind that reply
  };

  // A connect that waits for its server-side subscriptions.
  struct Connecting {
    std::uint32_t id = 0;
    ConnectionClaims claims;
    std::string data;                  // raw JSON for the client, of the application
    std::vector<ServerChannel> asked;  // what the client had before, with its positions
    std::size_t attaching = 0;         // channels without a result
    std::size_t recovered_bytes = 0;   // of publications in the results
    TimePoint received;
  };

  // What a subscription token or the application brought.
  struct Granted {
    std::string info;
    std::optional<WallTime> expire_at;
    // The application says how long the subscription goes on; its client is not asked.
    bool is_applications = false;
    bool refreshing = false;   // … and has been asked
    std::uint64_t ticket = 0;  // of the subscription
  };

  struct Entry {
    std::unique_ptr<hub::Subscription> subscription;
    std::unique_ptr<Subscribing> pending;
    std::unique_ptr<Granted> granted;
    bool from_server = false;

    [[nodiscard]] const std::string& channel() const {
      return pending ? pending->channel : subscription->channel();
    }
  };

  // Commands. (session_commands.cpp)
  void process(std::string_view lines);
  void handle_line(std::string_view line);
  void handle(const Command& command, std::string_view line);
  void handle_pong();
  void publish(std::uint32_t id, const PublishCommand& command);
  void publish_now(std::uint32_t id, const std::string& channel, PublishGrant what);
  void history(std::uint32_t id, const HistoryCommand& command);
  void presence(std::uint32_t id, std::string_view channel, bool stats_only);
  void refresh(std::uint32_t id, const RefreshCommand& command);
  void sub_refresh(std::uint32_t id, const SubRefreshCommand& command);

  // The beginning. (session_connect.cpp)
  void connect(std::uint32_t id, const ConnectCommand& command);
  void authenticated(std::uint32_t id, const ConnectionClaims& claims, std::string data);
  void connected(std::uint32_t id, const ConnectionClaims& claims, std::string_view data);
  void write_connected(std::uint32_t id, const ConnectionClaims& claims, std::string_view data,
                       std::string_view subs);

  // Subscriptions that the server began. (session_server_subs.cpp)
  void remember_asked(std::span<const ConnectSub> subs);
  [[nodiscard]] std::vector<ServerChannel> channels_at_connect(const ConnectionClaims& claims);
  void attach_at_connect(std::uint32_t id, const ConnectionClaims& claims, std::string_view data);
  void begin_from_server(ServerChannel channel, const ChannelOptions& options, Beginning beginning);
  void finish_server_side(Entry& entry, Offset result_offset, Offset next,
                          std::string_view publications, std::string_view data);
  void push_subscribed(Entry& entry, Offset next, std::string_view data);
  [[nodiscard]] std::size_t reply_room(const Subscribing& pending) const;
  void finish_connect();
  void refuse_connect(const ErrorReply& error);
  void fail_server_side(Entry& entry, const ErrorReply& error);
  [[nodiscard]] bool is_from_server(std::string_view channel);
  void note_token_channels(const ConnectionClaims& claims);
  [[nodiscard]] bool has_token_channels(const ConnectionClaims& claims) const;

  // What the application is asked. (session_application.cpp)
  [[nodiscard]] Caller caller() const;
  template <class T, class Then>
  Decide<T> when_decided(State state, Then then);
  void refused(std::uint32_t id, const Refusal& refusal);
  void ask_connect(std::uint32_t id, const ConnectCommand& command, const ConnectionClaims& claims);
  void ask_subscribe(Entry& entry, std::string_view data);
  void ask_publish(std::uint32_t id, std::string channel, std::string data);
  void rpc(std::uint32_t id, const RpcCommand& command);
  void message(const SendCommand& command);
  // The application says how long a connection goes on; its client is not asked.
  [[nodiscard]] bool refreshes_itself() const;
  void ask_refresh();
  [[nodiscard]] std::unique_ptr<Granted> grant(std::string_view channel, std::uint64_t ticket,
                                               std::string info,
                                               std::optional<WallTime> expire_at) const;
  void ask_sub_refresh(const std::string& channel, Granted& granted);
  void end_expired(const std::string& channel);
  void keep_headers(const ConnectCommand& command);
  void keep_meta(std::string meta);

  // What one client may ask for. (session_limits.cpp)
  [[nodiscard]] bool within_rate(const Command& command);
  void count_error();
  void log_limit(Limit limit, std::string_view what);

  // Subscriptions. (session_subscribe.cpp)
  void subscribe(std::uint32_t id, const SubscribeCommand& command, std::string_view line);
  std::optional<ErrorReply> check_subscribe(const SubscribeCommand& command,
                                            const ChannelOptions*& options,
                                            std::unique_ptr<Granted>& granted, bool& asks);
  std::optional<ErrorReply> check_token(const SubscribeCommand& command,
                                        std::unique_ptr<Granted>& granted);
  void attach(const Entry& entry);
  void attached(std::uint64_t ticket, std::unique_ptr<hub::Subscription> subscription,
                const hub::Attached& attached);
  void go_live(Entry& entry, bool join_leave, Offset next);
  void catch_up(Entry& entry, Subscribing& pending);
  static void write_result(JsonText& json, const Subscribing& pending, std::string_view epoch,
                           Offset offset, std::string_view publications, std::string_view data);
  static std::optional<std::string> cached(const Subscribing& pending,
                                           const hub::Subscription& subscription);
  std::string missed(Offset& next, Offset top, const replay::Window& window,
                     std::size_t bytes_max) const;
  void ask_snapshot(Entry& entry);
  void snapshot_taken(std::uint64_t ticket, Result<Snapshot> snapshot);
  void finish_subscribe(Entry& entry, Offset result_offset, Offset next,
                        std::string_view publications, std::string_view data);
  void fail_subscribe(std::uint64_t ticket, const ErrorReply& error);
  void unsubscribe_command(std::uint32_t id, const UnsubscribeCommand& command,
                           std::string_view line);
  void skip_to(hub::Subscription& subscription, Offset next);
  void put_off(std::uint32_t id, Subscribing& pending, std::string_view line);
  void take_up(std::string later);
  Entry* find_entry(std::string_view channel);
  Entry* find_ticket(std::uint64_t ticket);
  void erase_entry(const Entry& entry);

  // Replies.
  void reply(std::uint32_t id, std::string_view name, std::string_view result);
  void reply_error(std::uint32_t id, const ErrorReply& error);
  void emit(std::string_view message);
  void flush_batch();
  void answered(TimePoint received, bool exclusive);
  // A continuation that finds this session again, answers an error by itself, and hands the result
  // to `then`. An exclusive command's answer may be large: others wait for it.
  template <class T, class Then>
  hub::Done<T> when_done(std::uint32_t id, bool exclusive, Then then);

  [[nodiscard]] Asker asker(std::string_view channel);
  // Checks common to publish, history and presence; answers what is wrong.
  const ChannelOptions* usable_channel(std::uint32_t id, std::string_view channel);
  void end();
  void end_soon(const Disconnect& why);
  void arm();
  void check_expiry();
  void check_subscriptions_expiry();

  Environment& environment_;
  Link& link_;
  SessionId id_;
  State state_ = State::kNew;
  bool in_batch_ = false;
  bool awaiting_pong_ = false;
  bool exclusive_ = false;   // a command with a large answer is on its way
  bool counted_ = false;     // by the user limiter
  bool refreshing_ = false;  // the application is asked how long the connection goes on
  bool asked_ = false;       // the application, something
  // Set where the session may not be ended at once: to be closed with this by its timer.
  const Disconnect* ending_ = nullptr;
  std::uint16_t in_flight_ = 0;  // commands whose home has not answered
  std::uint16_t calls_ = 0;      // that the application has not answered
  std::string client_;
  std::string user_;
  std::string info_;
  std::shared_ptr<const ClientContext> context_;
  std::string batch_;    // replies of the message that is being handled, joined by '\n'
  std::string waiting_;  // commands that wait while paused
  std::vector<Entry> entries_;
  std::unique_ptr<Rates> rates_;
  std::unique_ptr<Connecting> connecting_;  // until the connect is answered
  // Names, sorted, of what the connection token granted; none: nothing.
  std::unique_ptr<std::vector<std::string>> token_channels_;
  std::uint64_t last_ticket_ = 0;
  std::optional<WallTime> expire_at_;
  TimePoint stale_at_;
  TimePoint ping_at_;
  TimePoint pong_due_;
};

}  // namespace trunkline::session
