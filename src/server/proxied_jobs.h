// SPDX-License-Identifier: Apache-2.0
//
// Jobs whose handler is a backend: its answer to one request, NDJSON that comes line by line, is
// the job's progress, the last line its result. To cancel closes the request.
#pragma once

#include "core/string_map.h"
#include "server/outlet.h"
#include "server/proxy_backend.h"
#include "server/proxy_config.h"
#include "server/shard_proxy.h"
#include "session/application.h"

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline::server {

// Thread: the shard's whose ShardProxy it asks.
class ProxiedJobs {
 public:
  // None is called from inside run() or stop().
  struct Hooks {
    // JSON text.
    std::function<void(const std::string& id, std::string data)> progress;
    // Once for each run(), also after stop().
    std::function<void(const std::string& id, std::expected<std::string, session::Refusal>)>
        finished;
    std::function<void(std::string_view method, std::string_view of_what)> complain;
  };

  ProxiedJobs(ShardProxy& proxy, net::Shard& shard, std::shared_ptr<Outlet> outlet, Hooks hooks);

  void run(const std::string& id, ProxyPlace place, const session::RpcQuestion& question);
  void stop(const std::string& id);

 private:
  struct Run {
    std::string method;
    std::optional<std::string> line;  // not told: it may be the last one
    std::optional<ProxyCall> call;
  };

  void on_line(const std::string& id, std::string_view line);
  void on_end(const std::string& id, ProxyPlace place,
              std::expected<net::HttpReply, ProxyFailure> reply);
  // When nobody of the table's is on the stack.
  void finish_later(const std::string& id, std::expected<std::string, session::Refusal> result);
  void finish(const std::string& id, std::expected<std::string, session::Refusal> result);

  ShardProxy& proxy_;
  net::Shard& shard_;
  const std::shared_ptr<Outlet> outlet_;
  const Hooks hooks_;
  StringMap<Run> runs_;
};

}  // namespace trunkline::server
