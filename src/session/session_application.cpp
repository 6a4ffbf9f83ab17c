// SPDX-License-Identifier: Apache-2.0
//
// What the application is asked: whether a client may, and what its calls come to. Its answers may
// take their time; the session goes on meanwhile, and replies are matched by their ids.
#include "core/ascii.h"
#include "core/probe.h"
#include "session/application.h"
#include "session/permissions.h"
#include "session/session.h"
#include "session/session_inl.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace trunkline::session {

namespace {

constexpr std::uint32_t kDisconnectCodeMin = 3000;
constexpr std::uint32_t kDisconnectCodeMax = 4999;

}  // namespace

Caller Session::caller() const {
  return Caller{.client = client_, .user = user_, .info = info_, .context = context_};
}

// An answer for this session, while it is in the state in which it was asked.
template <class T, class Then>
Decide<T> Session::when_decided(State state, Then then) {
  asked_ = true;
  return [&environment = environment_, session_id = id_, state,
          then = std::move(then)](std::expected<T, Refusal> answer) mutable {
    Session* session = environment.registry.find(session_id);
    if (session != nullptr && session->state_ == state) {
      then(*session, std::move(answer));
    } else {
      TRUNKLINE_SOMETIMES("decision for a session that has gone");
    }
  };
}

void Session::refused(std::uint32_t id, const Refusal& refusal) {
  if (!refusal.disconnects) {
    reply_error(id, ErrorReply{refusal.code, refusal.message, refusal.temporary});
    return;
  }
  const std::uint32_t code = std::clamp(refusal.code, kDisconnectCodeMin, kDisconnectCodeMax);
  disconnect(static_cast<std::uint16_t>(code),
             refusal.message.empty() ? std::string_view("refused") : refusal.message);
}

// — the beginning —

// Commands that come meanwhile wait, as they do for a large answer.
void Session::ask_connect(std::uint32_t id, const ConnectCommand& command,
                          const ConnectionClaims& claims) {
  const bool has_token = !command.token.empty();
  if (environment_.application == nullptr ||
      !environment_.application->decides_connect(has_token)) {
    authenticated(id, claims, {});
    return;
  }
  ++in_flight_;
  exclusive_ = true;
  ConnectQuestion question{
      .caller = {.client = client_, .user = claims.user, .info = claims.info, .context = context_},
      .has_token = has_token,
      .name = std::string(command.name),
      .version = std::string(command.version),
      .data = std::string(command.data)};
  for (const ConnectSub& sub : command.subs) {
    question.channels.emplace_back(sub.channel);
  }
  environment_.application->connect(
      std::move(question),
      when_decided<ConnectGrant>(
          State::kNew, [id, channels = claims.channels, received = environment_.now.monotonic](
                           Session& session, std::expected<ConnectGrant, Refusal> grant) {
            if (grant.has_value()) {
              ConnectionClaims granted{.user = std::move(grant->user),
                                       .info = std::move(grant->info),
                                       .expire_at = grant->expire_at,
                                       .channels = channels};
              std::ranges::move(grant->channels, std::back_inserter(granted.channels));
              session.keep_meta(std::move(grant->meta));
              session.authenticated(id, granted, std::move(grant->data));
            } else {
              session.state_ = State::kRefused;
              session.refused(id, grant.error());
            }
            // Counting the user's connections may be under way by now.
            session.answered(received, session.in_flight_ == 1);
          }));
}

// — subscriptions —

void Session::ask_subscribe(Entry& entry, std::string_view data) {
  const Subscribing& pending = *entry.pending;
  environment_.application->subscribe(
      {.caller = caller(), .channel = pending.channel, .data = std::string(data)},
      when_decided<SubscribeGrant>(
          State::kConnected, [ticket = pending.ticket](
                                 Session& session, std::expected<SubscribeGrant, Refusal> grant) {
            Entry* asked = session.find_ticket(ticket);
            if (asked == nullptr) {
              return;
            }
            if (grant.has_value()) {
              asked->granted = session.grant(asked->pending->channel, ticket,
                                             std::move(grant->info), grant->expire_at);
              asked->pending->data = std::move(grant->data);
              session.attach(*asked);
            } else if (grant.error().disconnects) {
              session.refused(0, grant.error());
            } else {
              session.fail_subscribe(ticket, ErrorReply{grant.error().code, grant.error().message,
                                                        grant.error().temporary});
            }
          }));
}

// — publications —

void Session::ask_publish(std::uint32_t id, std::string channel, std::string data) {
  ++in_flight_;
  PublishQuestion question{.caller = caller(), .channel = channel, .data = data};
  environment_.application->publish(
      std::move(question),
      when_decided<PublishGrant>(State::kConnected,
                                 [id, channel = std::move(channel), data = std::move(data),
                                  received = environment_.now.monotonic](
                                     Session& session, std::expected<PublishGrant, Refusal> grant) {
                                   if (grant.has_value()) {
                                     if (grant->data.empty()) {
                                       grant->data = data;
                                     }
                                     session.publish_now(id, channel, std::move(*grant));
                                   } else {
                                     session.refused(id, grant.error());
                                   }
                                   session.answered(received, false);
                                 }));
}

// — calls —

void Session::rpc(std::uint32_t id, const RpcCommand& command) {
  if (environment_.application == nullptr || !environment_.application->takes_calls()) {
    reply_error(id, kErrorNotAvailable);
    return;
  }
  if (calls_ >= environment_.options.client.calls_in_flight_max) {
    log_limit(Limit::kCalls, "has too many calls on their way (111)");
    reply_error(id, kErrorTooManyRequests);
    return;
  }
  ++calls_;
  environment_.application->rpc(
      {.caller = caller(),
       .method = std::string(command.method),
       .data = std::string(command.data)},
      when_decided<RpcGrant>(
          State::kConnected, [id, received = environment_.now.monotonic](
                                 Session& session, std::expected<RpcGrant, Refusal> result) {
            --session.calls_;
            if (result.has_value()) {
              JsonText json;
              json.open();
              if (!result->data.empty()) {
                json.member("data").raw(result->data);
              }
              json.close();
              session.reply(id, "rpc", json.view());
              if (result->subscribe.has_value()) {
                session.subscribe_from_server(std::move(*result->subscribe));
              }
            } else {
              session.refused(id, result.error());
            }
            session.environment_.stats.command_latency.add(session.environment_.now.monotonic -
                                                           received);
          }));
}

void Session::message(const SendCommand& command) {
  if (environment_.application == nullptr || !environment_.application->takes_messages()) {
    disconnect(kDisconnectNotAvailable);
    return;
  }
  environment_.application->message(caller(), std::string(command.data));
}

// — refresh —

bool Session::refreshes_itself() const {
  return environment_.application != nullptr && environment_.application->decides_refresh();
}

void Session::ask_refresh() {
  refreshing_ = true;
  environment_.application->refresh(
      caller(),
      when_decided<RefreshGrant>(State::kConnected,
                                 [](Session& session, std::expected<RefreshGrant, Refusal> grant) {
                                   session.refreshing_ = false;
                                   if (!grant.has_value()) {
                                     session.disconnect(kDisconnectExpired);
                                     return;
                                   }
                                   session.expire_at_ = grant->expire_at;
                                   if (!grant->info.empty()) {
                                     session.info_ = std::move(grant->info);
                                   }
                                   session.arm();
                                 }));
}

std::unique_ptr<Session::Granted> Session::grant(std::string_view channel, std::uint64_t ticket,
                                                 std::string info,
                                                 std::optional<WallTime> expire_at) const {
  const ChannelOptions* options = find_options(environment_.options.channel, channel);
  const bool is_applications = expire_at.has_value() && options != nullptr &&
                               environment_.application != nullptr &&
                               environment_.application->decides_sub_refresh(channel, *options);
  return std::make_unique<Granted>(Granted{.info = std::move(info),
                                           .expire_at = expire_at,
                                           .is_applications = is_applications,
                                           .ticket = ticket});
}

void Session::ask_sub_refresh(const std::string& channel, Granted& granted) {
  granted.refreshing = true;
  environment_.application->sub_refresh(
      {.caller = caller(), .channel = channel},
      when_decided<SubRefreshGrant>(
          State::kConnected, [channel, ticket = granted.ticket](
                                 Session& session, std::expected<SubRefreshGrant, Refusal> grant) {
            const Entry* entry = session.find_entry(channel);
            if (entry == nullptr || !entry->granted || entry->granted->ticket != ticket) {
              return;  // that subscription has ended
            }
            if (!grant.has_value()) {
              session.end_expired(channel);
              return;
            }
            entry->granted->refreshing = false;
            entry->granted->expire_at = grant->expire_at;
            if (!grant->info.empty()) {
              entry->granted->info = std::move(grant->info);
            }
            session.arm();
          }));
}

// — what is known of the connection —

void Session::keep_headers(const ConnectCommand& command) {
  const std::vector<std::string>& kept = environment_.options.client.emulated_headers_kept;
  Fields fields;
  for (const auto& [name, value] : command.headers) {
    const bool is_kept = std::ranges::any_of(
        kept, [name](const std::string& one) { return equal_without_case(one, name); });
    if (is_kept) {
      fields.emplace_back(name, value);
    }
  }
  if (!fields.empty()) {
    ClientContext changed = context_ ? *context_ : ClientContext{};
    changed.emulated_headers = std::move(fields);
    context_ = std::make_shared<const ClientContext>(std::move(changed));
  }
}

void Session::keep_meta(std::string meta) {
  if (!meta.empty()) {
    ClientContext changed = context_ ? *context_ : ClientContext{};
    changed.meta = std::move(meta);
    context_ = std::make_shared<const ClientContext>(std::move(changed));
  }
}

}  // namespace trunkline::session
