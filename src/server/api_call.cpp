// SPDX-License-Identifier: Apache-2.0
#include "server/api_call.h"

#include "server/api_methods.h"
#include "server/api_params.h"
#include "server/base64.h"
#include "server/core.h"
#include "session/json.h"
#include "session/json_codec.h"

#include <map>
#include <memory>
#include <utility>

namespace trunkline::server {

namespace {

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    text += text.empty() ? "" : ",";
    text += part;
  }
  return text;
}

ApiError api_error(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUnrecoverablePosition:
      return kApiUnrecoverablePosition;
    case ErrorCode::kLimitExceeded:
      return kApiOutOfMemory;
    default:
      return kApiInternal;
  }
}

// What publish and broadcast share.
struct Publishing {
  std::string data;
  bool skip_history = false;
  std::string idempotency_key;
  std::vector<std::pair<std::string, std::string>> tags;
};

std::optional<std::string> read_data(ApiParams& params) {
  if (const std::string* data = params.raw("data")) {
    return *data;
  }
  const std::string encoded = params.text("b64data");
  if (encoded.empty()) {
    return std::nullopt;
  }
  // Clients of the JSON protocol can take nothing else.
  const std::optional<std::string> bytes = decode_base64(encoded);
  return bytes.has_value() ? checked_json(*bytes) : std::nullopt;
}

Publishing read_publishing(ApiParams& params) {
  Publishing result;
  std::optional<std::string> data = read_data(params);
  params.require("data (JSON), or b64data holding JSON,", data.has_value());
  result.data = std::move(data).value_or("");
  result.skip_history = params.flag("skip_history");
  result.idempotency_key = params.text("idempotency_key");
  result.tags = params.text_map("tags");
  return result;
}

void publish_to(const ApiContext& context, const std::string& channel, Publishing what,
                ApiDone done) {
  const std::optional<hub::ChannelSettings> settings = context.core.settings(channel);
  if (!settings.has_value()) {
    done(std::unexpected(kApiNamespaceNotFound));
    return;
  }
  hub::PublishRequest request{
      .channel = channel,
      .settings = *settings,
      .publication = {.data = std::move(what.data), .info = {}, .tags = std::move(what.tags)},
      .logged = !what.skip_history,
      .idempotency_key = std::move(what.idempotency_key),
      .done = [done = std::move(done), history = settings->has_history() && !what.skip_history](
                  Result<Position> position) mutable {
        if (!position.has_value()) {
          done(std::unexpected(api_error(position.error())));
          return;
        }
        session::JsonText json;
        json.open();
        if (history) {
          json.member("offset").number(position->offset.value);
          json.member("epoch").string(position->epoch);
        }
        json.close();
        done(json.take());
      }};
  context.shard.hub().publish(std::move(request), context.shard.environment().now.monotonic);
}

void publish(const ApiContext& context, ApiParams params, ApiDone done) {
  const std::string channel = params.text("channel");
  params.require("channel", !channel.empty());
  Publishing what = read_publishing(params);
  if (params.error().has_value()) {
    done(std::unexpected(*params.error()));
    return;
  }
  publish_to(context, channel, std::move(what), std::move(done));
}

void broadcast(const ApiContext& context, ApiParams params, ApiDone done) {
  const std::vector<std::string> channels = params.texts("channels");
  params.require("channels", !channels.empty());
  const Publishing what = read_publishing(params);
  if (params.error().has_value()) {
    done(std::unexpected(*params.error()));
    return;
  }
  const auto replies = std::make_shared<ApiReplies>(
      channels.size(), [done = std::move(done)](const std::vector<std::string>& each) mutable {
        done(R"({"responses":[)" + joined(each) + "]}");
      });
  for (std::size_t i = 0; i < channels.size(); ++i) {
    publish_to(context, channels[i], what,
               [replies, i](const std::expected<std::string, ApiError>& result) {
                 replies->set(i, api_reply(result));
               });
  }
}

// The channel of a call that reads a feature, with its settings.
std::optional<hub::ChannelSettings> read_channel(const ApiContext& context, ApiParams& params,
                                                 std::string& channel, ApiDone& done) {
  channel = params.text("channel");
  params.require("channel", !channel.empty());
  if (params.error().has_value()) {
    done(std::unexpected(*params.error()));
    return std::nullopt;
  }
  std::optional<hub::ChannelSettings> settings = context.core.settings(channel);
  if (!settings.has_value()) {
    done(std::unexpected(kApiNamespaceNotFound));
  }
  return settings;
}

void history(const ApiContext& context, ApiParams params, ApiDone done) {
  hub::HistoryQuery query;
  const std::int64_t limit = params.integer("limit");
  query.limit = limit < 0 ? SIZE_MAX : static_cast<std::size_t>(limit);
  query.reverse = params.flag("reverse");
  if (const std::string* since = params.raw("since")) {
    ApiParams position(*since);
    const std::int64_t offset = position.integer("offset");
    query.since = Position{position.text("epoch"), Offset{static_cast<std::uint64_t>(offset)}};
    if (position.error().has_value() || offset < 0 || (query.reverse && offset == 0)) {
      done(std::unexpected(api_bad_request("'since' is not a position to read from")));
      return;
    }
  }
  std::string channel;
  const auto settings = read_channel(context, params, channel, done);
  if (!settings.has_value()) {
    return;
  }
  if (!settings->has_history()) {
    done(std::unexpected(kApiNotAvailable));
    return;
  }
  context.shard.hub().history(
      {.channel = channel,
       .settings = *settings,
       .query = std::move(query),
       .done =
           [done = std::move(done)](Result<hub::History> result) mutable {
             if (!result.has_value()) {
               done(std::unexpected(api_error(result.error())));
               return;
             }
             session::JsonText json;
             json.open().member("publications").raw("[").raw(result->publications).raw("]");
             json.member("epoch").string(result->top.epoch);
             json.member("offset").number(result->top.offset.value).close();
             done(json.take());
           }},
      context.shard.environment().now.monotonic);
}

void history_remove(const ApiContext& context, ApiParams params, ApiDone done) {
  std::string channel;
  const auto settings = read_channel(context, params, channel, done);
  if (!settings.has_value()) {
    return;
  }
  if (!settings->has_history()) {
    done(std::unexpected(kApiNotAvailable));
    return;
  }
  context.shard.hub().history_remove(
      {.channel = channel,
       .settings = *settings,
       .done = [done = std::move(done)](const Result<Position>& /*top*/) mutable { done("{}"); }},
      context.shard.environment().now.monotonic);
}

void presence(const ApiContext& context, ApiParams params, ApiDone done) {
  std::string channel;
  const auto settings = read_channel(context, params, channel, done);
  if (!settings.has_value()) {
    return;
  }
  if (!settings->presence) {
    done(std::unexpected(kApiNotAvailable));
    return;
  }
  context.shard.hub().presence({.channel = channel,
                                .done =
                                    [done = std::move(done)](Result<hub::Presence> result) mutable {
                                      session::JsonText json;
                                      session::write_presence(json, *result);
                                      done(json.take());
                                    }},
                               context.shard.environment().now.monotonic);
}

void presence_stats(const ApiContext& context, ApiParams params, ApiDone done) {
  std::string channel;
  const auto settings = read_channel(context, params, channel, done);
  if (!settings.has_value()) {
    return;
  }
  if (!settings->presence) {
    done(std::unexpected(kApiNotAvailable));
    return;
  }
  context.shard.hub().presence_stats(
      {.channel = channel,
       .done =
           [done = std::move(done)](Result<hub::PresenceStats> result) mutable {
             session::JsonText json;
             json.open().member("num_clients").number(result->clients);
             json.member("num_users").number(result->users).close();
             done(json.take());
           }},
      context.shard.environment().now.monotonic);
}

// Runs the commands of a batch one after another, so that a later one finds what an earlier one
// did.
class Batch : public std::enable_shared_from_this<Batch> {
 public:
  Batch(const ApiContext& context, std::vector<std::string> commands, ApiDone done)
      : context_(context), commands_(std::move(commands)), done_(std::move(done)) {}

  void run_next() {
    if (replies_.size() == commands_.size()) {
      done_(R"({"replies":[)" + joined(replies_) + "]}");
      return;
    }
    const Result<JsonMembers> command = json_members(commands_[replies_.size()]);
    if (!command.has_value() || command->size() != 1 || command->front().first == "batch") {
      replies_.push_back(
          api_reply(std::unexpected(api_bad_request("a command is {\"method\":{…}}"))));
      run_next();
      return;
    }
    const auto& [method, params] = command->front();
    api_call(context_, method, params,
             [self = shared_from_this(),
              name = method](const std::expected<std::string, ApiError>& result) {
               self->replies_.push_back(result.has_value() ? "{\"" + name + "\":" + *result + "}"
                                                           : api_reply(result));
               self->run_next();
             });
  }

 private:
  const ApiContext context_;
  const std::vector<std::string> commands_;
  ApiDone done_;
  std::vector<std::string> replies_;
};

void batch(const ApiContext& context, ApiParams params, ApiDone done) {
  static constexpr std::size_t kCommandsMax = 1000;
  const std::string* raw = params.raw("commands");
  Result<std::vector<std::string>> commands =
      raw == nullptr ? fail(ErrorCode::kMalformed, "'commands' is required") : json_elements(*raw);
  if (!commands.has_value() || commands->size() > kCommandsMax) {
    done(std::unexpected(api_bad_request("'commands' must be a list of at most 1000 commands")));
    return;
  }
  std::make_shared<Batch>(context, std::move(*commands), std::move(done))->run_next();
}

}  // namespace

void api_call(const ApiContext& context, std::string_view method, std::string_view params,
              ApiDone done) {
  using Method = void (*)(const ApiContext&, ApiParams, ApiDone);
  static const std::map<std::string_view, Method> kMethods = {{"publish", publish},
                                                              {"broadcast", broadcast},
                                                              {"history", history},
                                                              {"history_remove", history_remove},
                                                              {"presence", presence},
                                                              {"presence_stats", presence_stats},
                                                              {"channels", api_channels},
                                                              {"info", api_info},
                                                              {"disconnect", api_disconnect},
                                                              {"send", api_send},
                                                              {"subscribe", api_subscribe},
                                                              {"unsubscribe", api_unsubscribe},
                                                              {"batch", batch}};
  const auto found = kMethods.find(method);
  if (found == kMethods.end()) {
    done(std::unexpected(kApiNotFound));
    return;
  }
  ApiParams read(params);
  if (read.error().has_value()) {
    done(std::unexpected(*read.error()));
    return;
  }
  found->second(context, std::move(read), std::move(done));
}

}  // namespace trunkline::server
