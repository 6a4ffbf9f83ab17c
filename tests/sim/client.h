// SPDX-License-Identifier: Apache-2.0
//
// A client of the JSON protocol as its specification has it, written for the simulation: it acts at
// random, and holds everything that it is told against what it knows and what the checker knows.
#pragma once

#include "sim/checker.h"
#include "sim/connection.h"
#include "sim/reply.h"
#include "ws/frame_reader.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::sim {

// The error that a server answers with when it could not say why.
inline constexpr std::uint32_t kInternal = 100;

class World;

// One channel as a client sees it.
struct ClientChannel {
  enum class Phase : std::uint8_t { kNone, kSubscribing, kLive, kUnsubscribing };

  std::string name;
  hub::ChannelSettings settings;
  bool snapshot = false;
  bool newest = false;  // one who comes back too late gets the newest
  bool skips = false;   // a subscriber who has lost its place goes on behind a gap
  bool wanted = false;
  bool from_server = false;  // never asked for by this client
  Phase phase = Phase::kNone;
  bool ended = false;       // unsubscribed by the server while our unsubscribe was on its way
  bool join_leave = false;  // asked for
  bool lost = false;        // its place: it has to subscribe again

  // What was seen. Kept over unsubscribes and reconnects while it may be resumed from.
  Position seen;
  bool resumable = false;
  bool positioned = false;  // `seen` is where the subscription stands
  bool fold_known = false;
  std::uint64_t sum = 0;
  std::set<std::uint64_t> unlogged;

  // The subscribe command on its way.
  bool asked_recovery = false;
  bool refuse_unrecovered = false;
  Position asked;
  Position top_at_send;
  TimePoint retry_at;
};

struct Behaviour {
  bool mute = false;     // stops answering pings some day
  bool batches = false;  // several commands in one message
  bool recovers = true;
  bool has_token = false;  // with a user's name: some channels are the server's to begin
};

class Client final : public ws::MessageHandler {
 public:
  Client(World& world, std::size_t number, Behaviour behaviour);
  ~Client() override;

  // Something at random.
  void act();
  // Connects when it is not, subscribes to what it wants.
  void keep_up();
  void connect();
  // The connection breaks, now, without a word.
  void cut();
  // It breaks and is not tried again before then.
  void stay_away(TimePoint until);
  // Bytes from a wire; old ones are ignored.
  void received(const Wire& wire, std::string_view bytes);
  // No faults from now on.
  void settle_down();
  // Which situations a stop finds clients in.
  void note_situation() const;

  [[nodiscard]] Wire* wire() { return wire_; }

  [[nodiscard]] bool is_connected() const { return connected_; }

  [[nodiscard]] const std::string& name() const { return name_; }

  [[nodiscard]] const std::string& client_id() const { return client_id_; }

  [[nodiscard]] std::vector<ClientChannel>& channels() { return channels_; }

  // Nothing that it is waiting for, and everything that was published: what the end must bring.
  // Not `everything`: a channel without history that has said nothing yet is left out.
  void check_caught_up(bool everything);

  [[nodiscard]] bool has_token() const { return behaviour_.has_token; }

  [[nodiscard]] TimePoint last_ping() const { return last_ping_; }

  bool on_text(std::span<char> message) override;
  bool on_binary(std::span<char> message) override;
  bool on_ping(std::string_view payload) override;
  bool on_pong(std::string_view payload) override;
  bool on_close(ws::CloseCode code, std::string_view reason) override;

 private:
  struct Command {
    std::string kind{};
    std::string channel{};
    Position since{};
    bool has_since = false;
    bool reverse = false;
    std::uint64_t limit = 0;
    Position top_at_send{};
    std::uint64_t serial = 0;  // of a publication
  };

  std::uint32_t command(Command command, std::string_view body);
  void send_line(std::string_view line);
  void flush();
  void subscribe(ClientChannel& channel);
  void unsubscribe(ClientChannel& channel);
  void publish(const ClientChannel& channel);
  void history(const ClientChannel& channel);
  void closed();
  // Server-side subscriptions. (client_server_side.cpp)
  [[nodiscard]] std::string connect_body();
  void begin_at_connect(const Reply& reply);
  void not_connected(const Reply& reply);
  void begin_by_push(const Reply& reply);
  void check_granted(const ClientChannel& channel);
  // The rest of the handshake's answer, if any of it is missing; what follows it stays.
  bool shake_hands(std::string_view& bytes);

  void handle_reply(const Reply& reply);
  void handle_ping();
  void stop_answering();
  void handle_push(const Reply& reply);
  void gap(ClientChannel& channel, const Reply& reply);
  [[nodiscard]] bool is_unsubscribing(const ClientChannel& channel) const;
  void subscribed(ClientChannel& channel, const Reply& reply);
  void check_recovery(ClientChannel& channel, const Reply& reply);
  void check_fresh(ClientChannel& channel, const Reply& reply);
  void not_subscribed(ClientChannel& channel, const Reply& reply);
  void check_history(const Command& asked, const Reply& reply);
  void publication(ClientChannel& channel, std::string_view body);
  void unsubscribed(ClientChannel& channel, std::uint32_t code);
  ClientChannel* find(std::string_view channel);
  void violated(std::string_view check, std::string_view detail);
  [[nodiscard]] Position top_of(const std::string& channel) const;

  World& world_;
  const std::string name_;
  const Behaviour behaviour_;
  std::vector<ClientChannel> channels_;
  Wire* wire_ = nullptr;
  ws::FrameReader reader_;
  ReplyReader replies_;
  std::string handshake_;  // what has come of the answer
  std::string close_frame_;
  bool connected_ = false;
  bool closing_ = false;
  bool muted_ = false;
  bool settled_ = false;
  TimePoint settled_at_;
  TimePoint away_until_;
  std::string client_id_;
  std::uint32_t last_id_ = 0;
  std::map<std::uint32_t, Command> waiting_;
  std::string outgoing_;
  TimePoint reconnect_at_;
  TimePoint last_ping_;
};

}  // namespace trunkline::sim
