// SPDX-License-Identifier: Apache-2.0
#include "server/proxied_jobs.h"

#include "server/json_view.h"
#include "server/proxy_body.h"
#include "session/protocol.h"

#include <fmt/format.h>

#include <utility>

namespace trunkline::server {

namespace {

constexpr unsigned kStatusOk = 200;

// {"error":{"code":…,"message":…}} as a last line ends the job with that error, as it would end a
// call.
std::optional<session::Refusal> told_error(const std::string& line) {
  const Result<JsonMembers> members = json_members(line);
  if (!members.has_value() || members->size() != 1 || members->front().first != "error") {
    return std::nullopt;
  }
  const auto answer = decode_rpc(line);
  const bool is_error = answer.has_value() && !answer->decision.has_value();  // null is none
  return is_error ? std::optional(answer->decision.error()) : std::nullopt;
}

}  // namespace

ProxiedJobs::ProxiedJobs(ShardProxy& proxy, net::Shard& shard, std::shared_ptr<Outlet> outlet,
                         Hooks hooks)
    : proxy_(proxy), shard_(shard), outlet_(std::move(outlet)), hooks_(std::move(hooks)) {}

void ProxiedJobs::run(const std::string& id, ProxyPlace place,
                      const session::RpcQuestion& question) {
  Run& run = runs_[id];
  run.method = question.method;
  run.call = proxy_.stream_rpc(
      place, question,
      [this, id](std::string_view line) {
        shard_.touch();
        on_line(id, line);
        return net::HttpFlow::kMore;
      },
      [this, id, place](std::expected<net::HttpReply, ProxyFailure> reply) {
        shard_.touch();
        on_end(id, place, std::move(reply));
      });
  if (!run.call.has_value()) {
    finish_later(id, std::unexpected(to_refusal(session::kErrorInternal)));
  }
}

void ProxiedJobs::stop(const std::string& id) {
  const auto found = runs_.find(id);
  if (found != runs_.end()) {
    found->second.call.reset();
    finish_later(id, std::unexpected(to_refusal(session::kErrorInternal)));
  }
}

// A line is progress when another one follows it.
void ProxiedJobs::on_line(const std::string& id, std::string_view line) {
  const auto found = runs_.find(id);
  if (found == runs_.end()) {
    return;
  }
  Run& run = found->second;
  std::optional<std::string> checked = checked_json(line);
  if (!checked.has_value()) {
    hooks_.complain(run.method, "told a line that is not JSON");
    return;
  }
  if (std::optional<std::string> before = std::exchange(run.line, std::move(checked))) {
    hooks_.progress(id, std::move(*before));
  }
}

void ProxiedJobs::on_end(const std::string& id, ProxyPlace place,
                         std::expected<net::HttpReply, ProxyFailure> reply) {
  const auto found = runs_.find(id);
  if (found == runs_.end()) {
    return;
  }
  const Run& run = found->second;
  const session::Refusal* transformed = nullptr;
  if (!reply.has_value()) {
    hooks_.complain(run.method, "failed: " + reply.error().why);
  } else if (reply->status != kStatusOk) {
    transformed = proxy_.find_transform(place, reply->status);
    hooks_.complain(run.method, fmt::format("failed: status {}", reply->status));
  } else if (!run.line.has_value()) {
    finish(id, std::string{});
    return;
  } else if (std::optional<session::Refusal> error = told_error(*run.line)) {
    finish(id, std::unexpected(std::move(*error)));
    return;
  } else {
    finish(id, std::string(*run.line));
    return;
  }
  finish(id, std::unexpected(transformed != nullptr ? *transformed
                                                    : to_refusal(session::kErrorInternal)));
}

void ProxiedJobs::finish_later(const std::string& id,
                               std::expected<std::string, session::Refusal> result) {
  outlet_->post(shard_.self(),
                [this, id, result = std::move(result)](net::Shard& /*shard*/) mutable {
                  finish(id, std::move(result));
                });
}

// Once: the request may end while finish_later()'s message is on its way.
void ProxiedJobs::finish(const std::string& id,
                         std::expected<std::string, session::Refusal> result) {
  const auto found = runs_.find(id);
  if (found == runs_.end()) {
    return;
  }
  const Run ended = std::move(found->second);
  runs_.erase(found);
  hooks_.finished(id, std::move(result));
}

}  // namespace trunkline::server
