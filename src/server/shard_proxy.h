// SPDX-License-Identifier: Apache-2.0
//
// Sessions' questions answered by backends over HTTP. What a backend can not be asked, or answers
// in a way that can not be, never grants anything: the client gets error 100, which it may try
// again. Only refreshes are otherwise: a connection or subscription that was let in stays for
// another minute, so that a backend that is away for a while does not throw everybody out.
#pragma once

#include "core/string_map.h"
#include "net/shard.h"
#include "server/proxy_backend.h"
#include "server/proxy_body.h"
#include "server/proxy_config.h"
#include "server/proxy_stats.h"
#include "session/application.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::server {

// Whom to trust, by a proxy's place; null: its endpoint is plain. Thread: any.
using ProxyTls = std::vector<std::shared_ptr<const net::TlsContext>>;

// Errors: kConfig with the endpoint and the reason.
[[nodiscard]] Result<ProxyTls> load_proxy_tls(const ProxyRules& rules);

// Thread: owning shard.
class ShardProxy final : public session::Application {
 public:
  // References must outlive it. `shards`: how many share the limits.
  ShardProxy(const ProxyRules& rules, const ProxyTls& tls, net::Shard& shard, unsigned shards,
             std::function<void(std::string_view)> log);

  [[nodiscard]] bool decides_connect(bool has_token) const override;
  [[nodiscard]] bool decides_subscribe(std::string_view channel,
                                       const session::ChannelOptions& options) const override;
  [[nodiscard]] bool decides_publish(std::string_view channel,
                                     const session::ChannelOptions& options) const override;
  [[nodiscard]] bool decides_refresh() const override;
  [[nodiscard]] bool decides_sub_refresh(std::string_view channel,
                                         const session::ChannelOptions& options) const override;
  [[nodiscard]] bool takes_calls() const override;

  [[nodiscard]] bool takes_messages() const override { return false; }

  void connect(session::ConnectQuestion question,
               session::Decide<session::ConnectGrant> decide) override;
  void subscribe(session::SubscribeQuestion question,
                 session::Decide<session::SubscribeGrant> decide) override;
  void publish(session::PublishQuestion question,
               session::Decide<session::PublishGrant> decide) override;
  void refresh(session::Caller caller, session::Decide<session::RefreshGrant> decide) override;
  void sub_refresh(session::SubRefreshQuestion question,
                   session::Decide<session::SubRefreshGrant> decide) override;
  void rpc(session::RpcQuestion question, session::Decide<session::RpcGrant> decide) override;

  void message(session::Caller /*caller*/, std::string /*data*/) override {}

  void disconnected(session::Caller /*caller*/) override {}

  void forget(std::string_view client) override;

  // Asks a backend about a call whose answer comes line by line (ProxyBackend::stream); nothing
  // when its breaker is open. The answer may take any time.
  [[nodiscard]] std::optional<ProxyCall> stream_rpc(
      ProxyPlace place, const session::RpcQuestion& question,
      std::move_only_function<net::HttpFlow(std::string_view line)> on_line, ProxyDone done);
  // The refusal that the configuration has for the status.
  [[nodiscard]] const session::Refusal* find_transform(ProxyPlace place, unsigned status) const;

  [[nodiscard]] ProxyStats stats() const;

 private:
  struct Pending {
    std::uint64_t ticket;
    ProxyKind kind;
    ProxyCall call;
  };

  [[nodiscard]] ProxyEncoding encoding(ProxyPlace place) const;
  [[nodiscard]] session::Fields make_fields(const ProxyConfig& config,
                                            const session::Caller& caller) const;
  // Asks, and hands `decide` what `decode` makes of a body; `when_failed` makes the answer where
  // there is none.
  template <class Grant, class Decode, class WhenFailed>
  void ask(ProxyKind kind, ProxyPlace place, const session::Caller& caller, std::string body,
           session::Decide<Grant> decide, Decode decode, WhenFailed when_failed);
  template <class Grant, class Decode, class WhenFailed>
  std::expected<Grant, session::Refusal> settle(ProxyKind kind, ProxyPlace place,
                                                std::expected<net::HttpReply, ProxyFailure> reply,
                                                const Decode& decode,
                                                const WhenFailed& when_failed);
  void note_ignored(ProxyKind kind, const ProxyBackend& backend,
                    const std::vector<std::string>& names);
  void count(ProxyKind kind, ProxyOutcome outcome);
  void remove(const std::string& client, std::uint64_t ticket);
  [[nodiscard]] const session::ChannelOptions& options_of(std::string_view channel) const;
  // When a refresh without an answer is tried again.
  [[nodiscard]] WallTime later() const;

  [[nodiscard]] ProxyBackend& backend(ProxyPlace place) const {
    return *backends_[backend_of_[place - 1U]];
  }

  const ProxyRules& rules_;
  net::Shard& shard_;
  const std::function<void(std::string_view)> log_;
  std::vector<std::shared_ptr<ProxyBackend>> backends_;
  std::vector<std::size_t> backend_of_;    // by place
  StringMap<std::vector<Pending>> asked_;  // by client
  std::uint64_t last_ticket_ = 0;
  std::array<ProxyKindStats, kProxyKinds> kinds_;
  std::set<std::string> noted_;
};

}  // namespace trunkline::server
