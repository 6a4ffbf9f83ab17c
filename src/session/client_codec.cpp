// SPDX-License-Identifier: Apache-2.0
#include "session/client_codec.h"

#include "session/command.h"
#include "ws/frame_reader.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <limits>

namespace trunkline::session {

namespace od = simdjson::ondemand;
using simdjson::error_code;

static_assert(ws::kMessagePadding >= simdjson::SIMDJSON_PADDING);

namespace {

// A reply's fields are read in the order of the wire, once; what is not known is passed over. Each
// reader returns false on a value of the wrong type, which spoils the whole line.

bool read(od::value& value, std::string_view& out) {
  return value.get_string().get(out) == simdjson::SUCCESS;
}

bool read(od::value& value, bool& out) {
  return value.get_bool().get(out) == simdjson::SUCCESS;
}

bool read(od::value& value, std::int64_t& out) {
  return value.get_int64().get(out) == simdjson::SUCCESS;
}

bool read(od::value& value, Offset& out) {
  return value.get_uint64().get(out.value) == simdjson::SUCCESS;
}

bool read(od::value& value, std::uint32_t& out) {
  std::uint64_t wide = 0;
  if (value.get_uint64().get(wide) != simdjson::SUCCESS ||
      wide > std::numeric_limits<std::uint32_t>::max()) {
    return false;
  }
  out = static_cast<std::uint32_t>(wide);
  return true;
}

bool read_raw(od::value& value, std::string_view& out) {
  return simdjson::to_json_string(value).get(out) == simdjson::SUCCESS;
}

bool is_null(od::value& value) {
  bool null = false;
  return value.is_null().get(null) == simdjson::SUCCESS && null;
}

// Calls `known(key, value)` for each member; it returns whether the value was fine.
template <class Known>
bool each_member(od::object& object, Known known) {
  for (auto field : object) {
    od::raw_json_string key;
    od::value value;
    if (field.key().get(key) != simdjson::SUCCESS ||
        field.value().get(value) != simdjson::SUCCESS || !known(key, value)) {
      return false;
    }
  }
  return true;
}

template <class Known>
bool each_member(od::value& value, Known known) {
  od::object object;
  return value.get_object().get(object) == simdjson::SUCCESS && each_member(object, known);
}

bool read(od::value& value, ClientInfo& out) {
  return each_member(value, [&out](od::raw_json_string key, od::value& member) {
    if (key == "user") {
      return read(member, out.user);
    }
    if (key == "client") {
      return read(member, out.client);
    }
    if (key == "conn_info") {
      return read_raw(member, out.conn_info);
    }
    return key == "chan_info" ? read_raw(member, out.chan_info) : true;
  });
}

bool read(od::value& value, Publication& out, std::string_view& epoch) {
  out = Publication{};
  out.data = "null";
  return each_member(value, [&out, &epoch](od::raw_json_string key, od::value& member) {
    if (key == "data") {
      return read_raw(member, out.data);
    }
    if (key == "offset") {
      return read(member, out.offset);
    }
    if (key == "info") {
      return read(member, out.publisher.emplace());
    }
    if (key == "tags") {
      return read_raw(member, out.tags);
    }
    if (key == "time") {
      return read(member, out.time_ms);
    }
    return key == "epoch" ? read(member, epoch) : true;
  });
}

// `{"code":…,"message":…,"temporary":…}` and pushes with `code` and `reason`.
bool read_coded(od::value& value, ServerLine& out) {
  return each_member(value, [&out](od::raw_json_string key, od::value& member) {
    if (key == "code") {
      return read(member, out.code);
    }
    if (key == "message" || key == "reason") {
      return read(member, out.text);
    }
    return key == "temporary" ? read(member, out.is_temporary) : true;
  });
}

bool read_error(od::value& value, ServerLine& out) {
  // Code 0 would look like success.
  return read_coded(value, out) && out.code != 0;
}

bool read_info(od::value& value, ClientInfo& out) {
  return each_member(value, [&out](od::raw_json_string key, od::value& member) {
    return key == "info" ? read(member, out) : true;
  });
}

bool read_gap(od::value& value, Gap& out) {
  return each_member(value, [&out](od::raw_json_string key, od::value& member) {
    if (key == "from") {
      return read(member, out.from);
    }
    return key == "to" ? read(member, out.to) : true;
  });
}

bool read_push(od::value& value, ServerLine& out) {
  out.kind = ServerLineKind::kOther;
  return each_member(value, [&out](od::raw_json_string key, od::value& member) {
    if (key == "channel") {
      return read(member, out.channel);
    }
    if (key == "pub") {
      out.kind = ServerLineKind::kPublication;
      return read(member, out.publication, out.epoch);
    }
    if (key == "join" || key == "leave") {
      out.kind = key == "join" ? ServerLineKind::kJoin : ServerLineKind::kLeave;
      return read_info(member, out.info);
    }
    if (key == "unsubscribe" || key == "disconnect") {
      out.kind = key == "unsubscribe" ? ServerLineKind::kUnsubscribe : ServerLineKind::kDisconnect;
      return read_coded(member, out);
    }
    if (key == "subscribe") {
      out.kind = ServerLineKind::kSubscribe;
      return read_raw(member, out.result);
    }
    if (key == "gap") {
      out.kind = ServerLineKind::kGap;
      return read_gap(member, out.gap);
    }
    if (key == "message") {
      out.kind = ServerLineKind::kMessage;
      return each_member(member, [&out](od::raw_json_string name, od::value& data) {
        return name == "data" ? read_raw(data, out.data) : true;
      });
    }
    return true;
  });
}

std::unexpected<Error> malformed(std::string_view what, std::string_view text) {
  return fail(ErrorCode::kMalformed,
              fmt::format("{}: {}", what, text.substr(0, std::min<std::size_t>(text.size(), 80))));
}

}  // namespace

struct ServerLineDecoder::Parser {
  od::parser parser;
  od::document document;
  CommandDecoder checker;
  std::string checked;  // a user's JSON with padding

  // The object that `text` consists of.
  bool open(std::string_view text, od::object& object) {
    const simdjson::padded_string_view padded(text.data(), text.size(),
                                              text.size() + ws::kMessagePadding);
    return parser.iterate(padded).get(document) == simdjson::SUCCESS &&
           document.get_object().get(object) == simdjson::SUCCESS;
  }

  // Whether nothing follows what was read.
  bool at_end() { return document.current_location().error() == simdjson::OUT_OF_BOUNDS; }

  template <class Known>
  bool members(std::string_view text, Known known) {
    od::object object;
    return open(text, object) && each_member(object, known) && at_end();
  }

  bool list(od::value& value, std::vector<Publication>& out) {
    od::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS) {
      return false;
    }
    for (auto element : array) {
      od::value item;
      std::string_view epoch;
      if (element.get(item) != simdjson::SUCCESS || !read(item, out.emplace_back(), epoch)) {
        return false;
      }
    }
    return true;
  }
};

ServerLineDecoder::ServerLineDecoder() : parser_(std::make_unique<Parser>()) {}

ServerLineDecoder::~ServerLineDecoder() = default;

Result<void> ServerLineDecoder::decode(std::string_view text, ServerLine& line) {
  line = ServerLine{};
  // The ping is the most frequent message of an idle connection.
  if (text == "{}") {
    return {};
  }
  bool has_push = false;
  const bool well_formed =
      parser_->members(text, [&line, &has_push](od::raw_json_string key, od::value& value) {
        if (key == "push") {
          has_push = true;
          return read_push(value, line);
        }
        if (key == "id") {
          return read(value, line.id);
        }
        if (key == "error") {
          return read_error(value, line);
        }
        // The one other member is the result, under its command's name.
        return line.result.empty() ? read_raw(value, line.result) : true;
      });
  if (!well_formed) {
    return malformed("not a reply of the protocol", text);
  }
  if (!has_push && line.id != 0) {
    line.kind = ServerLineKind::kReply;
  } else if (!has_push && (line.code != 0 || !line.result.empty())) {
    line.kind = ServerLineKind::kOther;
  }
  return {};
}

Result<ConnectReply> ServerLineDecoder::connect(std::string_view result) {
  ConnectReply reply;
  if (!parser_->members(result, [&reply](od::raw_json_string key, od::value& value) {
        if (key == "client") {
          return read(value, reply.client);
        }
        if (key == "version") {
          return read(value, reply.version);
        }
        if (key == "expires") {
          return read(value, reply.expires);
        }
        if (key == "ttl") {
          return read(value, reply.ttl_seconds);
        }
        if (key == "ping") {
          return read(value, reply.ping_seconds);
        }
        if (key == "subs") {
          return is_null(value) || read_raw(value, reply.subs);
        }
        return key == "pong" ? read(value, reply.pong) : true;
      })) {
    return malformed("not a connect result", result);
  }
  return reply;
}

Result<SubscribeReply> ServerLineDecoder::subscribe(std::string_view result) {
  SubscribeReply reply;
  if (!parser_->members(result, [&reply](od::raw_json_string key, od::value& value) {
        if (key == "expires") {
          return read(value, reply.expires);
        }
        if (key == "ttl") {
          return read(value, reply.ttl_seconds);
        }
        if (key == "recoverable") {
          return read(value, reply.recoverable);
        }
        if (key == "positioned") {
          return read(value, reply.positioned);
        }
        if (key == "recovered") {
          return read(value, reply.recovered);
        }
        if (key == "was_recovering") {
          return read(value, reply.was_recovering);
        }
        if (key == "epoch") {
          return read(value, reply.epoch);
        }
        if (key == "offset") {
          return read(value, reply.offset);
        }
        if (key == "publications") {
          return read_raw(value, reply.publications);
        }
        return key == "data" ? read_raw(value, reply.data) : true;
      })) {
    return malformed("not a subscribe result", result);
  }
  return reply;
}

Result<std::vector<std::pair<std::string, std::string_view>>> ServerLineDecoder::subs(
    std::string_view object) {
  std::vector<std::pair<std::string, std::string_view>> found;
  od::object fields;
  bool good = object.empty() || parser_->open(object, fields);
  if (good && !object.empty()) {
    for (auto field : fields) {
      std::string_view channel;
      od::value value;
      std::string_view result;
      good = good && field.unescaped_key().get(channel) == simdjson::SUCCESS &&
             field.value().get(value) == simdjson::SUCCESS && read_raw(value, result);
      if (!good) {
        break;
      }
      found.emplace_back(channel, result);
    }
  }
  if (!good || (!object.empty() && !parser_->at_end())) {
    return malformed("not subscribe results by channel", object);
  }
  return found;
}

Result<std::vector<Publication>> ServerLineDecoder::publications(std::string_view array) {
  std::vector<Publication> found;
  if (array.empty() || array == "null") {
    return found;
  }
  const simdjson::padded_string_view padded(array.data(), array.size(),
                                            array.size() + ws::kMessagePadding);
  od::value value;
  if (parser_->parser.iterate(padded).get(parser_->document) != simdjson::SUCCESS ||
      parser_->document.get_value().get(value) != simdjson::SUCCESS ||
      !parser_->list(value, found) || !parser_->at_end()) {
    return malformed("not a list of publications", array);
  }
  return found;
}

Result<HistoryResult> ServerLineDecoder::history(std::string_view result) {
  HistoryResult reply;
  std::string_view epoch;
  if (!parser_->members(result, [&](od::raw_json_string key, od::value& value) {
        if (key == "publications") {
          return is_null(value) || parser_->list(value, reply.publications);
        }
        if (key == "offset") {
          return read(value, reply.position.offset);
        }
        return key == "epoch" ? read(value, epoch) : true;
      })) {
    return malformed("not a history result", result);
  }
  reply.position.epoch = epoch;
  return reply;
}

Result<PresenceResult> ServerLineDecoder::presence(std::string_view result) {
  PresenceResult reply;
  if (!parser_->members(result, [&reply](od::raw_json_string key, od::value& value) {
        return key == "presence" ? each_member(value,
                                               [&reply](od::raw_json_string, od::value& info) {
                                                 return read(info, reply.clients.emplace_back());
                                               })
                                 : true;
      })) {
    return malformed("not a presence result", result);
  }
  return reply;
}

Result<PresenceStats> ServerLineDecoder::presence_stats(std::string_view result) {
  PresenceStats reply;
  if (!parser_->members(result, [&reply](od::raw_json_string key, od::value& value) {
        if (key == "num_clients") {
          return read(value, reply.clients);
        }
        return key == "num_users" ? read(value, reply.users) : true;
      })) {
    return malformed("not a presence_stats result", result);
  }
  return reply;
}

Result<RpcResult> ServerLineDecoder::rpc(std::string_view result) {
  RpcResult reply;
  if (!parser_->members(result, [&reply](od::raw_json_string key, od::value& value) {
        return key == "data" ? read_raw(value, reply.data) : true;
      })) {
    return malformed("not an rpc result", result);
  }
  return reply;
}

Result<std::uint32_t> ServerLineDecoder::refresh_ttl(std::string_view result) {
  bool expires = false;
  std::uint32_t ttl_seconds = 0;
  if (!parser_->members(result, [&](od::raw_json_string key, od::value& value) {
        if (key == "expires") {
          return read(value, expires);
        }
        return key == "ttl" ? read(value, ttl_seconds) : true;
      })) {
    return malformed("not a refresh result", result);
  }
  return expires ? ttl_seconds : 0;
}

Result<std::string_view> ServerLineDecoder::check_user_json(std::string_view json) {
  std::string& checked = parser_->checked;
  checked.assign(json);
  checked.append(ws::kMessagePadding, ' ');
  const auto value = parser_->checker.check_document({checked.data(), json.size()});
  if (!value.has_value()) {
    return malformed("not JSON", json);
  }
  // Between tokens a line feed is white space, inside strings it was refused; on the wire it would
  // end the command.
  std::ranges::replace(checked, '\n', ' ');
  std::ranges::replace(checked, '\r', ' ');
  return *value;
}

}  // namespace trunkline::session
