// SPDX-License-Identifier: Apache-2.0
#include "session/command.h"

#include "session/json_check.h"
#include "ws/frame_reader.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <limits>
#include <vector>

namespace trunkline::session {

namespace od = simdjson::ondemand;
using simdjson::error_code;

static_assert(ws::kMessagePadding >= simdjson::SIMDJSON_PADDING);

namespace {

constexpr int kDepthMax = 64;

// Whether everything was read. The parser has no other way to say so.
bool at_end(od::document& document) {
  return document.current_location().error() == simdjson::OUT_OF_BOUNDS;
}

// A literal null; anything else that begins like one is not.
bool is_null(od::value& value) {
  bool null = false;
  return value.is_null().get(null) == simdjson::SUCCESS && null;
}

std::string_view trimmed(std::string_view token) {
  const std::size_t last = token.find_last_not_of(" \t\r\n");
  return last == std::string_view::npos ? std::string_view{} : token.substr(0, last + 1);
}

bool well_formed(od::value value, int depth);

bool well_formed_object(od::value value, int depth) {
  od::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) {
    return false;
  }
  for (auto field : object) {
    od::value member;
    std::string_view key;
    if (field.error() != simdjson::SUCCESS || field.unescaped_key().get(key) != simdjson::SUCCESS ||
        field.value().get(member) != simdjson::SUCCESS || !well_formed(member, depth + 1)) {
      return false;
    }
  }
  return true;
}

bool well_formed_array(od::value value, int depth) {
  od::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) {
    return false;
  }
  for (auto element : array) {
    od::value item;
    if (element.get(item) != simdjson::SUCCESS || !well_formed(item, depth + 1)) {
      return false;
    }
  }
  return true;
}

// A string, number, true, false or null as it stands.
bool well_formed_scalar(std::string_view token) {
  return token == "true" || token == "false" || token == "null" || is_json_number(token) ||
         (token.size() >= 2 && token.front() == '"' && token.back() == '"' &&
          has_valid_escapes(token));
}

// Takes a scalar, checked. A string has to be consumed: one that is passed over may be followed by
// a colon, as though it were a key.
std::optional<std::string_view> take_scalar(od::value& value) {
  const std::string_view token = trimmed(value.raw_json_token());
  const bool consumed =
      !token.starts_with('"') || value.get_raw_json_string().error() == simdjson::SUCCESS;
  return consumed && well_formed_scalar(token) ? std::optional(token) : std::nullopt;
}

// Reads the value to its end. simdjson's first stage has already refused control characters and
// bad UTF-8; its second looks only at what is asked for, so everything is asked for here.
bool well_formed(od::value value, int depth) {
  od::json_type type{};
  if (depth > kDepthMax || value.type().get(type) != simdjson::SUCCESS) {
    return false;
  }
  if (type == od::json_type::object) {
    return well_formed_object(value, depth);
  }
  if (type == od::json_type::array) {
    return well_formed_array(value, depth);
  }
  return take_scalar(value).has_value();
}

// Fields of one object, read as their names come. A value of the wrong type is an error.
class JsonFields {
 public:
  explicit JsonFields(od::value& value) : value_(value) {}

  bool text(std::string_view& out) { return optional(value_.get_string().get(out)); }

  bool flag(bool& out) { return optional(value_.get_bool().get(out)); }

  bool number(std::int64_t& out) { return optional(value_.get_int64().get(out)); }

  bool number(std::uint64_t& out) { return optional(value_.get_uint64().get(out)); }

  // The raw text of a value, checked; null counts as a value.
  bool raw(od::document& document, std::string_view& out) {
    const std::string_view token = value_.raw_json_token();
    if (!token.starts_with('{') && !token.starts_with('[')) {
      const std::optional<std::string_view> scalar = take_scalar(value_);
      out = scalar.value_or(std::string_view{});
      return scalar.has_value();
    }
    const char* begin = token.data();
    if (!well_formed(value_, 0)) {
      return false;
    }
    const char* end = nullptr;
    if (document.current_location().get(end) != simdjson::SUCCESS || end < begin) {
      return false;
    }
    // The parser stands at the comma or brace behind the value.
    out = trimmed(std::string_view(begin, static_cast<std::size_t>(end - begin)));
    return !out.empty();
  }

 private:
  // An explicit null is the same as an absent field.
  bool optional(error_code error) {
    return error == simdjson::SUCCESS || (error == simdjson::INCORRECT_TYPE && is_null(value_));
  }

  od::value& value_;
};

}  // namespace

struct CommandDecoder::Parser {
  od::parser parser;
  od::document document;
  // Of the connect command.
  std::vector<ConnectSub> subs;
  std::vector<std::pair<std::string_view, std::string_view>> headers;

  template <class Body>
  bool object(od::value value, Body& body) {
    od::object fields;
    if (value.get_object().get(fields) != simdjson::SUCCESS) {
      return false;
    }
    for (auto field : fields) {
      od::value member;
      std::string_view key;
      if (field.error() != simdjson::SUCCESS ||
          field.unescaped_key().get(key) != simdjson::SUCCESS ||
          field.value().get(member) != simdjson::SUCCESS || !read(key, member, body)) {
        return false;
      }
    }
    return true;
  }

  bool read(std::string_view key, od::value& value, ConnectCommand& body) {
    JsonFields fields(value);
    return key == "token"     ? fields.text(body.token)
           : key == "name"    ? fields.text(body.name)
           : key == "version" ? fields.text(body.version)
           : key == "subs"    ? read_subs(value, body)
           : key == "headers" ? read_headers(value, body)
           : key == "data"    ? fields.raw(document, body.data)
                              : true;
  }

  // {"channel":{"recover":…,"epoch":…,"offset":…}, …}
  bool read_subs(od::value& value, ConnectCommand& body) {
    subs.clear();
    const bool good = is_null(value) || object(value, subs);
    body.subs = subs;
    return good;
  }

  // {"name":"value", …}
  bool read_headers(od::value& value, ConnectCommand& body) {
    headers.clear();
    const bool good = is_null(value) || object(value, headers);
    body.headers = headers;
    return good;
  }

  bool read(std::string_view key, od::value& value,
            std::vector<std::pair<std::string_view, std::string_view>>& all) {
    return JsonFields(value).text(all.emplace_back(key, std::string_view{}).second);
  }

  bool read(std::string_view key, od::value& value, std::vector<ConnectSub>& all) {
    ConnectSub& sub = all.emplace_back(ConnectSub{.channel = key});
    return is_null(value) || object(value, sub);
  }

  bool read(std::string_view key, od::value& value, ConnectSub& sub) {
    JsonFields fields(value);
    return key == "recover"  ? fields.flag(sub.recover)
           : key == "epoch"  ? fields.text(sub.epoch)
           : key == "offset" ? fields.number(sub.offset)
                             : true;
  }

  bool read(std::string_view key, od::value& value, SubscribeCommand& body) {
    JsonFields fields(value);
    if (key == "tf") {
      body.has_tags_filter = !is_null(value);
      return true;
    }
    return key == "channel"       ? fields.text(body.channel)
           : key == "token"       ? fields.text(body.token)
           : key == "recover"     ? fields.flag(body.recover)
           : key == "epoch"       ? fields.text(body.epoch)
           : key == "offset"      ? fields.number(body.offset)
           : key == "positioned"  ? fields.flag(body.positioned)
           : key == "recoverable" ? fields.flag(body.recoverable)
           : key == "join_leave"  ? fields.flag(body.join_leave)
           : key == "delta"       ? fields.text(body.delta)
           : key == "data"        ? fields.raw(document, body.data)
           : key == "flag"        ? fields.number(body.flag)
           : key == "type"        ? fields.number(body.type)
                                  : true;
  }

  bool read(std::string_view key, od::value& value, PublishCommand& body) {
    JsonFields fields(value);
    return key == "channel" ? fields.text(body.channel)
           : key == "data"  ? fields.raw(document, body.data)
           : key == "type"  ? fields.number(body.type)
                            : true;
  }

  struct Since {
    std::string_view epoch;
    std::uint64_t offset = 0;
  };

  bool read(std::string_view key, od::value& value, Since& since) {
    JsonFields fields(value);
    return key == "offset"  ? fields.number(since.offset)
           : key == "epoch" ? fields.text(since.epoch)
                            : true;
  }

  bool read(std::string_view key, od::value& value, HistoryCommand& body) {
    JsonFields fields(value);
    if (key == "since") {
      if (is_null(value)) {
        return true;
      }
      Since since;
      body.has_since = true;
      const bool good = object(value, since);
      body.since_epoch = since.epoch;
      body.since_offset = since.offset;
      return good;
    }
    return key == "channel"   ? fields.text(body.channel)
           : key == "limit"   ? fields.number(body.limit)
           : key == "reverse" ? fields.flag(body.reverse)
                              : true;
  }

  // Bodies of which only the channel matters.
  template <class Body>
    requires requires(Body body) { body.channel; } && (sizeof(Body) == sizeof(std::string_view))
  bool read(std::string_view key, od::value& value, Body& body) {
    return key == "channel" ? JsonFields(value).text(body.channel) : true;
  }

  bool read(std::string_view key, od::value& value, RpcCommand& body) {
    return key == "method" ? JsonFields(value).text(body.method)
           : key == "data" ? JsonFields(value).raw(document, body.data)
                           : true;
  }

  bool read(std::string_view key, od::value& value, SendCommand& body) {
    return key == "data" ? JsonFields(value).raw(document, body.data) : true;
  }

  bool read(std::string_view key, od::value& value, RefreshCommand& body) {
    return key == "token" ? JsonFields(value).text(body.token) : true;
  }

  bool read(std::string_view key, od::value& value, SubRefreshCommand& body) {
    JsonFields fields(value);
    return key == "channel" ? fields.text(body.channel)
           : key == "token" ? fields.text(body.token)
                            : true;
  }

  template <class Body>
  bool body(od::value value, Command& command) {
    Body made;
    const bool good = object(value, made);
    command.body = made;
    return good;
  }

  // The first known body decides; the schema has them as plain fields.
  bool member(std::string_view key, od::value value, Command& command, bool& has_body) {
    if (key == "id") {
      std::uint64_t id = 0;
      const bool good =
          JsonFields(value).number(id) && id <= std::numeric_limits<std::uint32_t>::max();
      command.id = static_cast<std::uint32_t>(id);
      return good;
    }
    if (has_body) {
      return true;
    }
    has_body = true;
    if (key == "connect") {
      return body<ConnectCommand>(value, command);
    }
    if (key == "subscribe") {
      return body<SubscribeCommand>(value, command);
    }
    if (key == "unsubscribe") {
      return body<UnsubscribeCommand>(value, command);
    }
    if (key == "publish") {
      return body<PublishCommand>(value, command);
    }
    if (key == "history") {
      return body<HistoryCommand>(value, command);
    }
    if (key == "presence") {
      return body<PresenceCommand>(value, command);
    }
    if (key == "presence_stats") {
      return body<PresenceStatsCommand>(value, command);
    }
    if (key == "rpc") {
      return body<RpcCommand>(value, command);
    }
    if (key == "send") {
      return body<SendCommand>(value, command);
    }
    if (key == "refresh") {
      return body<RefreshCommand>(value, command);
    }
    if (key == "sub_refresh") {
      return body<SubRefreshCommand>(value, command);
    }
    if (key == "ping") {
      command.body = UnsupportedCommand{};
      return true;
    }
    has_body = false;  // unknown fields are ignored: the schema grows
    return true;
  }
};

CommandDecoder::CommandDecoder() : parser_(std::make_unique<Parser>()) {}

CommandDecoder::~CommandDecoder() = default;

Result<Command> CommandDecoder::decode(std::string_view line) {
  const simdjson::padded_string_view padded(line.data(), line.size(),
                                            line.size() + ws::kMessagePadding);
  od::object object;
  if (const error_code error = parser_->parser.iterate(padded).get(parser_->document)) {
    return fail(ErrorCode::kMalformed, simdjson::error_message(error));
  }
  if (const error_code error = parser_->document.get_object().get(object)) {
    return fail(ErrorCode::kMalformed, simdjson::error_message(error));
  }
  Command command;
  bool has_body = false;
  for (auto field : object) {
    od::value value;
    std::string_view key;
    if (field.error() != simdjson::SUCCESS || field.unescaped_key().get(key) != simdjson::SUCCESS ||
        field.value().get(value) != simdjson::SUCCESS) {
      return fail(ErrorCode::kMalformed, "not a JSON object");
    }
    if (!parser_->member(key, value, command, has_body)) {
      return fail(ErrorCode::kMalformed, fmt::format("field '{}' is not well formed", key));
    }
  }
  if (!at_end(parser_->document)) {
    return fail(ErrorCode::kMalformed, "something follows the command");
  }
  if (!has_body && command.id != 0) {
    return fail(ErrorCode::kMalformed, "a command with an id but no known body");
  }
  return command;
}

std::optional<std::string_view> CommandDecoder::check_document(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) {
    return std::nullopt;
  }
  text = trimmed(text.substr(first));
  const simdjson::padded_string_view padded(text.data(), text.size(),
                                            text.size() + ws::kMessagePadding);
  od::document& document = parser_->document;
  if (parser_->parser.iterate(padded).get(document) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  bool scalar = false;
  if (document.is_scalar().get(scalar) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  if (!scalar) {
    od::value value;
    if (document.get_value().get(value) != simdjson::SUCCESS || !well_formed(value, 0) ||
        !at_end(document)) {
      return std::nullopt;
    }
    return text;
  }
  // A scalar is one token: the first stage has found where it ends.
  std::string_view token;
  if (document.raw_json_token().get(token) != simdjson::SUCCESS || trimmed(token) != text) {
    return std::nullopt;
  }
  return well_formed_scalar(text) ? std::optional(text) : std::nullopt;
}

}  // namespace trunkline::session
