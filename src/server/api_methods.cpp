// SPDX-License-Identifier: Apache-2.0
#include "server/api_methods.h"

#include <trunkline/version.h>

#include "server/core.h"
#include "server/gather.h"
#include "session/json.h"
#include "session/session.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>
#include <utility>

namespace trunkline::server {

namespace {

// Whom a call means: a user's sessions, or one of them, but for those on the list.
struct Selection {
  std::string user;
  std::string client;
  std::vector<std::string> spared;

  [[nodiscard]] std::vector<session::Session*> sessions(net::Shard& shard) const {
    session::Registry& registry = shard.environment().registry;
    std::vector<session::Session*> found;
    // Anonymous clients are not listed by user: they are named by their client id.
    for (const session::SessionId id : user.empty() ? registry.all() : registry.of_user(user)) {
      session::Session* session = registry.find(id);
      const bool meant = session != nullptr && session->is_connected() && session->user() == user &&
                         (client.empty() || session->client() == client) &&
                         std::ranges::find(spared, session->client()) == spared.end();
      if (meant) {
        found.push_back(session);
      }
    }
    return found;
  }
};

Selection read_selection(ApiParams& params) {
  Selection selection{.user = params.text("user"), .client = params.text("client"), .spared = {}};
  params.require("user (or, for an anonymous client, 'client')",
                 !selection.user.empty() || !selection.client.empty());
  return selection;
}

struct NodeCounts {
  std::size_t clients = 0;
  std::uint64_t subscriptions = 0;
  std::size_t channels = 0;
  std::vector<std::string> users;
};

}  // namespace

void api_channels(const ApiContext& context, ApiParams params, ApiDone done) {
  const std::string pattern = params.text("pattern");
  if (params.error().has_value()) {
    done(std::unexpected(*params.error()));
    return;
  }
  context.shard.hub().channels(
      [pattern, done = std::move(done)](Result<hub::ChannelCounts> counts) mutable {
        session::JsonText json;
        json.open().member("channels").open();
        for (const auto& [channel, clients] : *counts) {
          if (pattern.empty() || ::fnmatch(pattern.c_str(), channel.c_str(), 0) == 0) {
            json.raw(json.view().back() == '{' ? "" : ",").string(channel);
            json.raw(R"(:{"num_clients":)").number(clients).raw("}");
          }
        }
        json.close().close();
        done(json.take());
      },
      context.shard.environment().now.monotonic);
}

void api_info(const ApiContext& context, ApiParams /*params*/, ApiDone done) {
  gather<NodeCounts>(
      context.core.runtime(), context.shard.self(),
      [](net::Shard& shard) {
        const net::ShardStats stats = shard.stats();
        return NodeCounts{.clients = stats.session.connected,
                          .subscriptions = stats.hub.feeds.subscriptions,
                          .channels = stats.hub.home.channels,
                          .users = shard.environment().registry.user_names()};
      },
      [&core = context.core,
       done = std::move(done)](const std::vector<NodeCounts>& shards) mutable {
        NodeCounts sum;
        std::set<std::string> users;
        for (const NodeCounts& counts : shards) {
          sum.clients += counts.clients;
          sum.subscriptions += counts.subscriptions;
          sum.channels += counts.channels;
          users.insert(counts.users.begin(), counts.users.end());
        }
        session::JsonText json;
        json.raw(R"({"nodes":[)").open().member("uid").string(core.node());
        json.member("name").string("trunkline").member("version").string(TRUNKLINE_VERSION);
        json.member("num_clients").number(sum.clients).member("num_users").number(users.size());
        json.member("num_subs").number(sum.subscriptions);
        json.member("num_channels").number(sum.channels);
        json.member("uptime").number(static_cast<std::uint64_t>(core.uptime().count()));
        json.close().raw("]}");
        done(json.take());
      });
}

void api_disconnect(const ApiContext& context, ApiParams params, ApiDone done) {
  Selection selection = read_selection(params);
  selection.spared = params.texts("whitelist");
  std::uint16_t code = session::kDisconnectForce.code;
  std::string reason(session::kDisconnectForce.reason);
  if (const std::string* custom = params.raw("disconnect")) {
    ApiParams fields(*custom);
    const std::int64_t given = fields.integer("code");
    const std::string words = fields.text("reason");
    // A close code that a client can act on, with a reason: SDKs ignore a code without words.
    if (fields.error().has_value() || given < 3000 || given > 4999) {
      done(std::unexpected(api_bad_request("'disconnect.code' must be 3000 to 4999")));
      return;
    }
    code = static_cast<std::uint16_t>(given);
    reason = words.empty() ? "disconnected by the server" : words;
  }
  if (params.error().has_value()) {
    done(std::unexpected(*params.error()));
    return;
  }
  gather<int>(
      context.core.runtime(), context.shard.self(),
      [selection, code, reason](net::Shard& shard) {
        for (session::Session* session : selection.sessions(shard)) {
          session->disconnect(code, reason);
        }
        return 0;
      },
      [done = std::move(done)](const std::vector<int>& /*shards*/) mutable { done("{}"); });
}

void api_unsubscribe(const ApiContext& context, ApiParams params, ApiDone done) {
  const Selection selection = read_selection(params);
  const std::string channel = params.text("channel");
  params.require("channel", !channel.empty());
  if (params.error().has_value()) {
    done(std::unexpected(*params.error()));
    return;
  }
  gather<int>(
      context.core.runtime(), context.shard.self(),
      [selection, channel](net::Shard& shard) {
        for (session::Session* session : selection.sessions(shard)) {
          session->unsubscribe(channel, session::kUnsubscribeServer);
        }
        return 0;
      },
      [done = std::move(done)](const std::vector<int>& /*shards*/) mutable { done("{}"); });
}

}  // namespace trunkline::server
