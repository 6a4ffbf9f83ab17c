// SPDX-License-Identifier: Apache-2.0
//
// A client's commands, read from the JSON format. Bytes from the network: anything may be in them.
// What is handed on as raw JSON has been checked to the last token, since it will be spliced into
// frames for others.
#pragma once

#include <trunkline/error.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

namespace trunkline::session {

// Views are valid until the decoder is used again. Absent fields are empty, zero or false.

// An empty command: the answer to a ping.
struct PongCommand {};

// Of a connect command: a server-side subscription that the client had before, and where it stands.
struct ConnectSub {
  std::string_view channel{};
  bool recover = false;
  std::string_view epoch{};
  std::uint64_t offset = 0;
};

struct ConnectCommand {
  std::string_view token;
  std::string_view data;  // raw JSON; empty when absent
  std::string_view name;
  std::string_view version;
  std::span<const ConnectSub> subs{};
  std::span<const std::pair<std::string_view, std::string_view>> headers{};
};

struct SubscribeCommand {
  std::string_view channel;
  std::string_view token;
  bool recover = false;
  std::string_view epoch;
  std::uint64_t offset = 0;
  bool positioned = false;
  bool recoverable = false;
  bool join_leave = false;
  std::string_view delta;
  std::string_view data;  // raw JSON; empty when absent
  bool has_tags_filter = false;
  std::int64_t flag = 0;
  std::int64_t type = 0;
};

struct UnsubscribeCommand {
  std::string_view channel;
};

struct PublishCommand {
  std::string_view channel;
  std::string_view data;  // raw JSON; empty when absent
  std::int64_t type = 0;
};

struct HistoryCommand {
  std::string_view channel;
  std::int64_t limit = 0;
  bool has_since = false;
  std::string_view since_epoch;
  std::uint64_t since_offset = 0;
  bool reverse = false;
};

struct PresenceCommand {
  std::string_view channel;
};

struct PresenceStatsCommand {
  std::string_view channel;
};

struct RpcCommand {
  std::string_view method;
  std::string_view data;
};

struct SendCommand {
  std::string_view data;
};

struct RefreshCommand {
  std::string_view token;
};

struct SubRefreshCommand {
  std::string_view channel;
  std::string_view token;
};

// In the schema, but a client has no business with it; or a body that is not known.
struct UnsupportedCommand {};

struct Command {
  std::uint32_t id = 0;
  std::variant<PongCommand, ConnectCommand, SubscribeCommand, UnsubscribeCommand, PublishCommand,
               HistoryCommand, PresenceCommand, PresenceStatsCommand, RpcCommand, SendCommand,
               RefreshCommand, SubRefreshCommand, UnsupportedCommand>
      body;
};

// One decoder serves all sessions of a shard. Thread: owning shard.
class CommandDecoder {
 public:
  CommandDecoder();
  CommandDecoder(const CommandDecoder&) = delete;
  CommandDecoder& operator=(const CommandDecoder&) = delete;
  ~CommandDecoder();

  // One command: a JSON object without line feeds. At least ws::kMessagePadding readable bytes must
  // follow it. Error: kMalformed with what is wrong, safe for the log.
  [[nodiscard]] Result<Command> decode(std::string_view line);

  // A document whose every token is well formed (RFC 8259), with the same padding. Returns the
  // value without white space around it.
  [[nodiscard]] std::optional<std::string_view> check_document(std::string_view text);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace trunkline::session
