// SPDX-License-Identifier: Apache-2.0
#include "server/handlers.h"

#include "server/ended.h"
#include "server/job_host.h"
#include "server/json_view.h"
#include "session/protocol.h"

#include <fmt/format.h>

#include <exception>
#include <optional>

namespace trunkline::server {

namespace {

// Whose handler has been begun on this thread and has not been left: it may answer here and now.
thread_local const ShardHandlers* beginning = nullptr;

class Beginning {
 public:
  explicit Beginning(const ShardHandlers* handlers) : outer_(std::exchange(beginning, handlers)) {}

  Beginning(const Beginning&) = delete;
  Beginning& operator=(const Beginning&) = delete;

  ~Beginning() { beginning = outer_; }

 private:
  const ShardHandlers* outer_;
};

Caller to_public(session::Caller caller) {
  return {std::move(caller.client), std::move(caller.user), std::move(caller.info)};
}

// Raw JSON of a handler, as it may stand in a frame; nothing when it is none.
std::optional<std::string> frame_text(const std::string& json) {
  return json.empty() ? std::string{} : checked_json(json);
}

std::optional<WallTime> to_wall(
    const std::optional<std::chrono::system_clock::time_point>& expire_at) {
  return expire_at.has_value()
             ? std::optional(std::chrono::time_point_cast<std::chrono::milliseconds>(*expire_at))
             : std::nullopt;
}

template <class Handler>
const Handler* find_by_prefix(const std::vector<std::pair<std::string, Handler>>& handlers,
                              std::string_view channel) {
  const std::pair<std::string, Handler>* best = nullptr;
  for (const auto& entry : handlers) {
    if (channel.starts_with(entry.first) &&
        (best == nullptr || entry.first.size() >= best->first.size())) {
      best = &entry;
    }
  }
  return best == nullptr ? nullptr : &best->second;
}

void log_thrown(const Handlers& handlers, std::string_view what, std::string_view text) {
  handlers.log(fmt::format("the handler of {} threw: {}", what, text));
}

// What a handler's end comes to. `convert` gives nothing for what is not JSON.
template <class Reply, class Grant, class Convert>
std::expected<Grant, session::Refusal> settle(const Handlers& handlers, std::string_view what,
                                              Ended<Reply> ended, Convert& convert) {
  if (!ended.has_value()) {
    log_thrown(handlers, what, ended.error());
    return std::unexpected(to_refusal(session::kErrorInternal));
  }
  Answer<Reply>& answer = *ended;
  if (!answer.has_value()) {
    Refusal& refusal = answer.error();
    return std::unexpected(session::Refusal{refusal.code, std::move(refusal.message),
                                            refusal.temporary, refusal.disconnects});
  }
  if (std::optional<Grant> grant = convert(*answer)) {
    return std::move(*grant);
  }
  handlers.log(fmt::format("the handler of {} gave something that is not JSON", what));
  return std::unexpected(to_refusal(session::kErrorInternal));
}

}  // namespace

template <class Reply, class Grant, class Begin, class Convert>
void ShardHandlers::run(std::string_view what, Begin begin, session::Decide<Grant> decide,
                        Convert convert) {
  const Beginning inside(this);
  run_handler(
      begin, [this, &handlers = handlers_, outlet = outlet_, shard = shard_,
              what = std::string(what), decide = std::move(decide), convert](
                 std::optional<Answer<Reply>> answer, const std::exception_ptr& thrown) mutable {
        Ended<Reply> ended = ended_with(std::move(answer), thrown);
        if (beginning == this) {
          decide(settle<Reply, Grant>(handlers, what, std::move(ended), convert));
          return;
        }
        // The server may have ended; then nothing of it is touched.
        outlet->post(shard, [&handlers, what = std::move(what), decide = std::move(decide),
                             ended = std::move(ended), convert](net::Shard& /*shard*/) mutable {
          decide(settle<Reply, Grant>(handlers, what, std::move(ended), convert));
        });
      });
}

template <class Function>
void ShardHandlers::guarded(std::string_view what, Function function) const {
  try {
    function();
  } catch (...) {
    log_thrown(handlers_, what, text_of(std::current_exception()));
  }
}

bool ShardHandlers::is_job(std::string_view channel) const {
  return jobs_ != nullptr && JobHost::is_job_channel(channel);
}

bool ShardHandlers::decides_connect(bool /*has_token*/) const {
  return static_cast<bool>(handlers_.connect);
}

bool ShardHandlers::decides_subscribe(std::string_view channel,
                                      const session::ChannelOptions& /*options*/) const {
  return has_subscribe(channel);
}

bool ShardHandlers::has_subscribe(std::string_view channel) const {
  return is_job(channel) || find_by_prefix(handlers_.subscribe, channel) != nullptr;
}

bool ShardHandlers::has_publish(std::string_view channel) const {
  return is_job(channel) || find_by_prefix(handlers_.publish, channel) != nullptr;
}

bool ShardHandlers::has_rpc(std::string_view method) const {
  return (jobs_ != nullptr && jobs_->takes(method)) || handlers_.rpc.contains(method) ||
         handlers_.rpc.contains(std::string_view{});
}

bool ShardHandlers::decides_publish(std::string_view channel,
                                    const session::ChannelOptions& /*options*/) const {
  return has_publish(channel);
}

bool ShardHandlers::decides_refresh() const {
  return static_cast<bool>(handlers_.refresh);
}

bool ShardHandlers::takes_calls() const {
  return jobs_ != nullptr || !handlers_.rpc.empty();
}

bool ShardHandlers::takes_messages() const {
  return static_cast<bool>(handlers_.message);
}

void ShardHandlers::connect(session::ConnectQuestion question,
                            session::Decide<session::ConnectGrant> decide) {
  run<ConnectReply>(
      "connect",
      [&] {
        return handlers_.connect({.caller = to_public(std::move(question.caller)),
                                  .has_token = question.has_token,
                                  .name = std::move(question.name),
                                  .version = std::move(question.version),
                                  .data = std::move(question.data)});
      },
      std::move(decide),
      [](ConnectReply& reply) -> std::optional<session::ConnectGrant> {
        auto info = frame_text(reply.info);
        auto data = frame_text(reply.data);
        if (!info.has_value() || !data.has_value()) {
          return std::nullopt;
        }
        return session::ConnectGrant{std::move(reply.user), std::move(*info), std::move(*data),
                                     to_wall(reply.expire_at)};
      });
}

void ShardHandlers::subscribe(session::SubscribeQuestion question,
                              session::Decide<session::SubscribeGrant> decide) {
  if (is_job(question.channel)) {
    if (jobs_->may_watch(question.channel, question.caller.user)) {
      decide(session::SubscribeGrant{});
    } else {
      decide(std::unexpected(to_refusal(session::kErrorPermissionDenied)));
    }
    return;
  }
  const SubscribeHandler& handler = *find_by_prefix(handlers_.subscribe, question.channel);
  run<SubscribeReply>(
      "subscribe",
      [&] {
        return handler({.caller = to_public(std::move(question.caller)),
                        .channel = std::move(question.channel),
                        .data = std::move(question.data)});
      },
      std::move(decide),
      [](SubscribeReply& reply) -> std::optional<session::SubscribeGrant> {
        auto info = frame_text(reply.info);
        auto data = frame_text(reply.data);
        if (!info.has_value() || !data.has_value()) {
          return std::nullopt;
        }
        return session::SubscribeGrant{std::move(*info), std::move(*data),
                                       to_wall(reply.expire_at)};
      });
}

void ShardHandlers::publish(session::PublishQuestion question,
                            session::Decide<session::PublishGrant> decide) {
  if (is_job(question.channel)) {
    decide(std::unexpected(to_refusal(session::kErrorPermissionDenied)));
    return;
  }
  const PublishHandler& handler = *find_by_prefix(handlers_.publish, question.channel);
  run<PublishReply>(
      "publish",
      [&] {
        return handler({.caller = to_public(std::move(question.caller)),
                        .channel = std::move(question.channel),
                        .data = std::move(question.data)});
      },
      std::move(decide),
      [](PublishReply& reply) -> std::optional<session::PublishGrant> {
        auto data = frame_text(reply.data);
        return data.has_value() ? std::optional(session::PublishGrant{std::move(*data)})
                                : std::nullopt;
      });
}

void ShardHandlers::refresh(session::Caller caller, session::Decide<session::RefreshGrant> decide) {
  run<RefreshReply>(
      "refresh", [&] { return handlers_.refresh(to_public(std::move(caller))); }, std::move(decide),
      [](RefreshReply& reply) -> std::optional<session::RefreshGrant> {
        auto info = frame_text(reply.info);
        return info.has_value() ? std::optional(session::RefreshGrant{to_wall(reply.expire_at),
                                                                      std::move(*info)})
                                : std::nullopt;
      });
}

void ShardHandlers::rpc(session::RpcQuestion question, session::Decide<session::RpcGrant> decide) {
  if (jobs_ != nullptr && jobs_->takes(question.method)) {
    jobs_->call(shard_, std::move(question), std::move(decide));
    return;
  }
  auto found = handlers_.rpc.find(question.method);
  if (found == handlers_.rpc.end()) {
    found = handlers_.rpc.find(std::string_view{});
  }
  if (found == handlers_.rpc.end()) {
    decide(std::unexpected(to_refusal(session::kErrorMethodNotFound)));
    return;
  }
  const std::string what = fmt::format("rpc '{}'", question.method);
  run<std::string>(
      what,
      [&] {
        return found->second({.caller = to_public(std::move(question.caller)),
                              .method = std::move(question.method),
                              .data = std::move(question.data)});
      },
      std::move(decide),
      [](std::string& result) -> std::optional<session::RpcGrant> {
        auto data = frame_text(result);
        return data.has_value() ? std::optional(session::RpcGrant{std::move(*data), {}})
                                : std::nullopt;
      });
}

void ShardHandlers::message(session::Caller caller, std::string data) {
  guarded("message", [&] { handlers_.message(to_public(std::move(caller)), data); });
}

void ShardHandlers::subscribed(const std::string& client, std::string_view channel) {
  if (is_job(channel)) {
    jobs_->watched(client, channel);
  }
}

void ShardHandlers::disconnected(session::Caller caller) {
  if (jobs_ != nullptr) {
    jobs_->gone(caller.client);
  }
  if (handlers_.disconnect) {
    guarded("disconnect", [&] { handlers_.disconnect(to_public(std::move(caller))); });
  }
}

}  // namespace trunkline::server
