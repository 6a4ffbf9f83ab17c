// SPDX-License-Identifier: Apache-2.0
#include "server/api_methods.h"

#include <trunkline/version.h>

#include "server/core.h"
#include "server/gather.h"
#include "session/json.h"

#include <fnmatch.h>

#include <set>
#include <utility>

namespace trunkline::server {

namespace {

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

}  // namespace trunkline::server
