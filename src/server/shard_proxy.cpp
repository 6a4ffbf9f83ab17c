// SPDX-License-Identifier: Apache-2.0
#include "server/shard_proxy.h"

#include "core/ascii.h"
#include "core/assert.h"
#include "net/clock.h"
#include "session/permissions.h"
#include "session/protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::server {

namespace {

constexpr unsigned kStatusOk = 200;
// A refresh that could not be asked: so long goes on what was let in.
constexpr auto kRefreshAgain = std::chrono::minutes(1);
// Names of members that are told once; a backend can not fill the memory with them.
constexpr std::size_t kNotedMax = 64;

std::unexpected<session::Refusal> try_again() {
  return std::unexpected(to_refusal(session::kErrorInternal));
}

std::string without_query(const std::string& url) {
  return url.substr(0, url.find('?'));
}

// One shard's part of a limit of the server.
std::size_t part(std::size_t limit, unsigned shards) {
  return (limit + shards - 1) / shards;
}

bool has_field(const session::Fields& fields, std::string_view name) {
  return std::ranges::any_of(
      fields, [name](const auto& field) { return equal_without_case(field.first, name); });
}

// Those of the names that are among `given`.
void pass_on(const std::vector<std::string>& names, const session::Fields& given,
             session::Fields& out) {
  for (const std::string& name : names) {
    if (has_field(out, name)) {
      continue;
    }
    for (const auto& [key, value] : given) {
      if (equal_without_case(key, name)) {
        out.emplace_back(name, value);
      }
    }
  }
}

}  // namespace

Result<ProxyTls> load_proxy_tls(const ProxyRules& rules) {
  ProxyTls contexts;
  for (const ProxyConfig& proxy : rules.proxies) {
    contexts.emplace_back();
    if (!proxy.endpoint.starts_with("https://")) {
      continue;
    }
    auto loaded = net::TlsContext::load_client(proxy.tls);
    if (!loaded.has_value()) {
      return fail(ErrorCode::kConfig,
                  fmt::format("proxy {}: {}", proxy.endpoint, loaded.error().context));
    }
    contexts.back() = std::move(*loaded);
  }
  return contexts;
}

ShardProxy::ShardProxy(const ProxyRules& rules, const ProxyTls& tls, net::Shard& shard,
                       unsigned shards, std::function<void(std::string_view)> log)
    : rules_(rules), shard_(shard), log_(std::move(log)) {
  std::vector<const ProxyConfig*> known;  // of each backend
  for (std::size_t i = 0; i < rules.proxies.size(); ++i) {
    const ProxyConfig& proxy = rules.proxies[i];
    // Kinds that have an endpoint in common have its connections and its breaker in common.
    const auto same = std::ranges::find_if(known, [&proxy](const ProxyConfig* one) {
      return one->endpoint == proxy.endpoint && one->tls == proxy.tls;
    });
    backend_of_.push_back(static_cast<std::size_t>(same - known.begin()));
    if (same != known.end()) {
      continue;
    }
    known.push_back(&proxy);
    auto client = net::HttpClient::make(
        shard.io(), {.url = proxy.endpoint,
                     .tls = tls[i],
                     .requests_max = part(rules.requests_max, shards),
                     .waiting_max = part(rules.waiting_max, shards),
                     .idle_connections_max = part(rules.idle_connections_max, shards),
                     .idle_timeout = rules.idle_timeout,
                     .reply_bytes_max = rules.reply_bytes_max});
    TRUNKLINE_ASSERT(client.has_value());  // the configuration has been checked
    backends_.push_back(std::make_shared<ProxyBackend>(without_query(proxy.endpoint),
                                                       std::move(*client), rules.breaker,
                                                       net::monotonic_now, log_));
  }
}

// — whether —

bool ShardProxy::decides_connect(bool has_token) const {
  return rules_.connect != 0 && !has_token;
}

bool ShardProxy::decides_subscribe(std::string_view /*channel*/,
                                   const session::ChannelOptions& options) const {
  return options.subscribe_proxy != 0;
}

bool ShardProxy::decides_publish(std::string_view /*channel*/,
                                 const session::ChannelOptions& options) const {
  return options.publish_proxy != 0;
}

bool ShardProxy::decides_refresh() const {
  return rules_.refresh != 0;
}

bool ShardProxy::decides_sub_refresh(std::string_view /*channel*/,
                                     const session::ChannelOptions& options) const {
  return options.sub_refresh_proxy != 0;
}

bool ShardProxy::takes_calls() const {
  return rules_.rpc_without_namespace.proxy != 0 || !rules_.rpc_namespaces.empty();
}

// — asking —

ProxyEncoding ShardProxy::encoding(ProxyPlace place) const {
  const ProxyConfig& config = rules_.at(place);
  return {.binary = config.binary_encoding, .include_meta = config.include_connection_meta};
}

// What the handshake said wins over what the client's command says, and both over what is fixed.
session::Fields ShardProxy::make_fields(const ProxyConfig& config,
                                        const session::Caller& caller) const {
  session::Fields fields = {{"Content-Type", "application/json"}};
  if (caller.context) {
    pass_on(config.http_headers, caller.context->request_headers, fields);
    pass_on(config.emulated_headers, caller.context->emulated_headers, fields);
  }
  for (const auto& [name, value] : config.static_headers) {
    if (!has_field(fields, name)) {
      fields.emplace_back(name, value);
    }
  }
  return fields;
}

template <class Grant, class Decode, class WhenFailed>
void ShardProxy::ask(ProxyKind kind, ProxyPlace place, const session::Caller& caller,
                     std::string body, session::Decide<Grant> decide, Decode decode,
                     WhenFailed when_failed) {
  ProxyBackend& asked = backend(place);
  if (!asked.admits()) {
    count(kind, ProxyOutcome::kBreakerOpen);
    decide(when_failed());
    return;
  }
  const ProxyConfig& config = rules_.at(place);
  const std::uint64_t ticket = ++last_ticket_;
  const TimePoint began = shard_.environment().now.monotonic;
  ProxyCall call = asked.send(
      {.fields = make_fields(config, caller), .body = std::move(body), .timeout = config.timeout},
      [this, kind, place, ticket, began, client = caller.client, decide = std::move(decide), decode,
       when_failed](std::expected<net::HttpReply, ProxyFailure> reply) mutable {
        shard_.touch();
        if (reply.has_value()) {
          kinds_[static_cast<std::size_t>(kind)].latency.add(shard_.environment().now.monotonic -
                                                             began);
        }
        auto decision = settle<Grant>(kind, place, std::move(reply), decode, when_failed);
        // Before the session goes on, which may end the client.
        remove(client, ticket);
        decide(std::move(decision));
      });
  asked_[caller.client].push_back({ticket, kind, std::move(call)});
}

template <class Grant, class Decode, class WhenFailed>
std::expected<Grant, session::Refusal> ShardProxy::settle(
    ProxyKind kind, ProxyPlace place, std::expected<net::HttpReply, ProxyFailure> reply,
    const Decode& decode, const WhenFailed& when_failed) {
  ProxyBackend& asked = backend(place);
  if (!reply.has_value()) {
    count(kind, reply.error().outcome);
    asked.complain(name(kind), reply.error().why);
    return when_failed();
  }
  if (reply->status != kStatusOk) {
    count(kind, ProxyOutcome::kStatus);
    if (const session::Refusal* refusal = find_transform(place, reply->status)) {
      return std::unexpected(*refusal);
    }
    asked.complain(name(kind), fmt::format("status {}", reply->status));
    return when_failed();
  }
  Result<ProxyAnswer<Grant>> answer = decode(reply->body);
  if (!answer.has_value()) {
    count(kind, ProxyOutcome::kBadAnswer);
    asked.complain(name(kind), answer.error().context);
    return when_failed();
  }
  note_ignored(kind, asked, answer->ignored);
  const auto& decision = answer->decision;
  count(kind, decision.has_value()           ? ProxyOutcome::kGranted
              : decision.error().disconnects ? ProxyOutcome::kDisconnect
                                             : ProxyOutcome::kError);
  return std::move(answer->decision);
}

const session::Refusal* ShardProxy::find_transform(ProxyPlace place, unsigned status) const {
  const std::vector<StatusTransform>& transforms = rules_.at(place).transforms;
  const auto found = std::ranges::find(transforms, status, &StatusTransform::status);
  return found == transforms.end() ? nullptr : &found->refusal;
}

void ShardProxy::note_ignored(ProxyKind kind, const ProxyBackend& backend,
                              const std::vector<std::string>& names) {
  for (const std::string& member : names) {
    if (noted_.size() < kNotedMax &&
        noted_.insert(fmt::format("{} {}", name(kind), member)).second) {
      log_(fmt::format("backend {}: {}: {} has no effect here", backend.endpoint(), name(kind),
                       member));
    }
  }
}

void ShardProxy::count(ProxyKind kind, ProxyOutcome outcome) {
  ++kinds_[static_cast<std::size_t>(kind)].outcomes[static_cast<std::size_t>(outcome)];
}

void ShardProxy::remove(const std::string& client, std::uint64_t ticket) {
  const auto found = asked_.find(client);
  if (found != asked_.end()) {
    std::erase_if(found->second, [ticket](const Pending& one) { return one.ticket == ticket; });
    if (found->second.empty()) {
      asked_.erase(found);
    }
  }
}

void ShardProxy::forget(std::string_view client) {
  const auto found = asked_.find(client);
  if (found == asked_.end()) {
    return;
  }
  const std::vector<Pending> ended = std::move(found->second);
  asked_.erase(found);
  for (const Pending& one : ended) {
    count(one.kind, ProxyOutcome::kCancelled);
  }
}

const session::ChannelOptions& ShardProxy::options_of(std::string_view channel) const {
  const session::ChannelOptions* options =
      session::find_options(shard_.environment().options.channel, channel);
  TRUNKLINE_ASSERT(options != nullptr);  // the session has looked
  return *options;
}

WallTime ShardProxy::later() const {
  return shard_.environment().now.wall + kRefreshAgain;
}

// — questions —

void ShardProxy::connect(session::ConnectQuestion question,
                         session::Decide<session::ConnectGrant> decide) {
  const ProxyPlace place = rules_.connect;
  ask(
      ProxyKind::kConnect, place, question.caller, encode_connect(question, encoding(place)),
      std::move(decide),
      [this](std::string_view body) { return decode_connect(body, shard_.environment().now.wall); },
      []() -> std::expected<session::ConnectGrant, session::Refusal> { return try_again(); });
}

void ShardProxy::subscribe(session::SubscribeQuestion question,
                           session::Decide<session::SubscribeGrant> decide) {
  const ProxyPlace place = options_of(question.channel).subscribe_proxy;
  ask(
      ProxyKind::kSubscribe, place, question.caller, encode_subscribe(question, encoding(place)),
      std::move(decide),
      [this](std::string_view body) {
        return decode_subscribe(body, shard_.environment().now.wall);
      },
      []() -> std::expected<session::SubscribeGrant, session::Refusal> { return try_again(); });
}

void ShardProxy::publish(session::PublishQuestion question,
                         session::Decide<session::PublishGrant> decide) {
  const ProxyPlace place = options_of(question.channel).publish_proxy;
  ask(
      ProxyKind::kPublish, place, question.caller, encode_publish(question, encoding(place)),
      std::move(decide), [](std::string_view body) { return decode_publish(body); },
      []() -> std::expected<session::PublishGrant, session::Refusal> { return try_again(); });
}

void ShardProxy::refresh(session::Caller caller, session::Decide<session::RefreshGrant> decide) {
  const ProxyPlace place = rules_.refresh;
  ask(
      ProxyKind::kRefresh, place, caller, encode_refresh(caller, encoding(place)),
      std::move(decide),
      [this](std::string_view body) { return decode_refresh(body, shard_.environment().now.wall); },
      [this]() -> std::expected<session::RefreshGrant, session::Refusal> {
        return session::RefreshGrant{later(), {}};
      });
}

void ShardProxy::sub_refresh(session::SubRefreshQuestion question,
                             session::Decide<session::SubRefreshGrant> decide) {
  const ProxyPlace place = options_of(question.channel).sub_refresh_proxy;
  ask(
      ProxyKind::kSubRefresh, place, question.caller, encode_sub_refresh(question, encoding(place)),
      std::move(decide),
      [this](std::string_view body) {
        return decode_sub_refresh(body, shard_.environment().now.wall);
      },
      [this]() -> std::expected<session::SubRefreshGrant, session::Refusal> {
        return session::SubRefreshGrant{later(), {}};
      });
}

// The method's namespace is what stands before the boundary, as a channel's is.
void ShardProxy::rpc(session::RpcQuestion question, session::Decide<session::RpcGrant> decide) {
  const std::string& boundary = rules_.rpc_namespace_boundary;
  const std::size_t end = boundary.empty() ? std::string::npos : question.method.find(boundary);
  const RpcNamespace* space = &rules_.rpc_without_namespace;
  if (end != std::string::npos) {
    const auto found = rules_.rpc_namespaces.find(question.method.substr(0, end));
    space = found == rules_.rpc_namespaces.end() ? nullptr : &found->second;
  }
  if (space == nullptr || space->proxy == 0) {
    decide(std::unexpected(to_refusal(space == nullptr ? session::kErrorMethodNotFound
                                                       : session::kErrorNotAvailable)));
    return;
  }
  ask(
      ProxyKind::kRpc, space->proxy, question.caller, encode_rpc(question, encoding(space->proxy)),
      std::move(decide), [](std::string_view body) { return decode_rpc(body); },
      []() -> std::expected<session::RpcGrant, session::Refusal> { return try_again(); });
}

std::optional<ProxyCall> ShardProxy::stream_rpc(
    ProxyPlace place, const session::RpcQuestion& question,
    std::move_only_function<net::HttpFlow(std::string_view line)> on_line, ProxyDone done) {
  ProxyBackend& asked = backend(place);
  if (!asked.admits()) {
    count(ProxyKind::kJob, ProxyOutcome::kBreakerOpen);
    return std::nullopt;
  }
  const ProxyConfig& config = rules_.at(place);
  return asked.stream(
      {.fields = make_fields(config, question.caller),
       .body = encode_rpc(question, encoding(place)),
       .timeout = Duration{0}},
      std::move(on_line),
      [this, done = std::move(done)](std::expected<net::HttpReply, ProxyFailure> reply) mutable {
        count(ProxyKind::kJob, !reply.has_value()           ? reply.error().outcome
                               : reply->status == kStatusOk ? ProxyOutcome::kGranted
                                                            : ProxyOutcome::kStatus);
        done(std::move(reply));
      });
}

ProxyStats ShardProxy::stats() const {
  ProxyStats stats{.kinds = kinds_, .backends = {}};
  for (const auto& one : backends_) {
    stats.backends.push_back(one->stats());
  }
  return stats;
}

}  // namespace trunkline::server
