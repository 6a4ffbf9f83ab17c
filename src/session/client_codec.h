// SPDX-License-Identifier: Apache-2.0
//
// The client's side of the JSON format: commands out, replies and pushes in. Bytes of the network
// come in: anything may be in them. The way of a push publication is the hot one: one pass, no
// allocation, views into the message.
#pragma once

#include <trunkline/client_types.h>
#include <trunkline/error.h>
#include <trunkline/position.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::session {

// Commands, appended to `out` without a line feed. Empty and zero members are left out.

struct ConnectFields {
  std::string_view token{};
  std::string_view data{};  // raw JSON
  std::string_view name{};
  std::string_view version{};
  const std::vector<std::pair<std::string, std::string>>& headers;
  // Server-side subscriptions to go on with.
  std::vector<std::pair<std::string_view, const Position*>> subs{};
};

struct SubscribeFields {
  std::string_view channel{};
  std::string_view token{};
  std::string_view data{};  // raw JSON
  const Position* recover_from = nullptr;
  bool positioned = false;
  bool recoverable = false;
  bool join_leave = false;
};

void write_connect(std::string& out, std::uint32_t id, const ConnectFields& fields);
void write_subscribe(std::string& out, std::uint32_t id, const SubscribeFields& fields);
// Commands whose body is the channel alone: unsubscribe, presence, presence_stats.
void write_channel_command(std::string& out, std::uint32_t id, std::string_view command,
                           std::string_view channel);
void write_publish(std::string& out, std::uint32_t id, std::string_view channel,
                   std::string_view data);
void write_rpc(std::string& out, std::uint32_t id, std::string_view method, std::string_view data);
void write_send(std::string& out, std::string_view data);
void write_history(std::string& out, std::uint32_t id, std::string_view channel,
                   const HistoryOptions& options);
void write_refresh(std::string& out, std::uint32_t id, std::string_view token);
void write_sub_refresh(std::string& out, std::uint32_t id, std::string_view channel,
                       std::string_view token);

// What one line of the server's says.
enum class ServerLineKind : std::uint8_t {
  kPing,
  kReply,        // id, then error or result
  kPublication,  // channel, publication, epoch
  kJoin,         // channel, info
  kLeave,        // channel, info
  kSubscribe,    // channel, result: a server-side subscription begins
  kUnsubscribe,  // channel, code, text
  kGap,          // channel, gap
  kMessage,      // data
  kDisconnect,   // code, text
  kOther,        // a push that this client does not know: ignored
};

struct ServerLine {
  ServerLineKind kind = ServerLineKind::kPing;
  std::uint32_t id = 0;
  std::uint32_t code = 0;  // of an error, unsubscribe or disconnect; 0 in a reply: success
  bool is_temporary = false;
  std::string_view text;  // an error's message, a push's reason
  std::string_view channel;
  std::string_view result;  // raw JSON object of a reply or kSubscribe; empty when it is missing
  std::string_view data;
  std::string_view epoch;
  Publication publication;
  ClientInfo info;
  Gap gap;
};

struct ConnectReply {
  std::string_view client;
  std::string_view version;
  bool expires = false;
  std::uint32_t ttl_seconds = 0;
  std::uint32_t ping_seconds = 0;  // 0: the server does not ping
  bool pong = false;
  std::string_view subs;  // raw JSON object: subscribe results by channel; empty: none
};

struct SubscribeReply {
  bool expires = false;
  std::uint32_t ttl_seconds = 0;
  bool recoverable = false;
  bool positioned = false;
  bool recovered = false;
  bool was_recovering = false;
  std::string_view epoch;
  Offset offset;
  std::string_view publications;  // raw JSON array; empty: none
  std::string_view data;
};

// One serves all clients of a loop: its buffers grow to the largest message and stay. What it
// returns is valid until it is used again; every text given to it must be followed by
// ws::kMessagePadding readable bytes, unless said otherwise. Errors: kMalformed with what is wrong.
// Thread: owning loop.
class ServerLineDecoder {
 public:
  ServerLineDecoder();
  ServerLineDecoder(const ServerLineDecoder&) = delete;
  ServerLineDecoder& operator=(const ServerLineDecoder&) = delete;
  ~ServerLineDecoder();

  // One line of a message, without its line feed. Fills `line`.
  [[nodiscard]] Result<void> decode(std::string_view text, ServerLine& line);

  // Bodies of replies, given the `result` or `publications` of the line before.
  [[nodiscard]] Result<ConnectReply> connect(std::string_view result);
  [[nodiscard]] Result<SubscribeReply> subscribe(std::string_view result);
  // The channels of a connect reply's `subs`, each with its result to be read by subscribe().
  [[nodiscard]] Result<std::vector<std::pair<std::string, std::string_view>>> subs(
      std::string_view object);
  [[nodiscard]] Result<std::vector<Publication>> publications(std::string_view array);
  [[nodiscard]] Result<HistoryResult> history(std::string_view result);
  [[nodiscard]] Result<PresenceResult> presence(std::string_view result);
  [[nodiscard]] Result<PresenceStats> presence_stats(std::string_view result);
  [[nodiscard]] Result<RpcResult> rpc(std::string_view result);
  // A refresh's or sub_refresh's: seconds to the next; 0: never.
  [[nodiscard]] Result<std::uint32_t> refresh_ttl(std::string_view result);

  // A user's JSON as it may be spliced into a command: complete, well formed (RFC 8259), without
  // line feeds. No padding needed. Error: kMalformed.
  [[nodiscard]] Result<std::string_view> check_user_json(std::string_view json);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace trunkline::session
