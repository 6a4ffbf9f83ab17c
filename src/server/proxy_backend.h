// SPDX-License-Identifier: Apache-2.0
//
// One endpoint as one shard sees it: its HTTP client behind a circuit breaker. A backend that fails
// again and again is left alone for a while, so that neither its clients wait for time limits nor a
// restart finds all questions at once; then one question goes out as a probe.
#pragma once

#include "core/log_throttle.h"
#include "net/http_client.h"
#include "peers/breaker.h"
#include "server/proxy_stats.h"

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline::server {

struct ProxyFailure {
  ProxyOutcome outcome = ProxyOutcome::kUnreachable;
  std::string why;
};

using ProxyDone = std::move_only_function<void(std::expected<net::HttpReply, ProxyFailure>)>;

class ProxyBackend;

// A question on its way. Its end cancels it.
class ProxyCall {
 public:
  ProxyCall(std::shared_ptr<ProxyBackend> backend, net::HttpCall call, std::uint64_t serial)
      : backend_(std::move(backend)), call_(std::move(call)), serial_(serial) {}

  ProxyCall(ProxyCall&&) = default;

  ProxyCall& operator=(ProxyCall&& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(call_, other.call_);
    std::swap(serial_, other.serial_);
    return *this;
  }

  ProxyCall(const ProxyCall&) = delete;
  ProxyCall& operator=(const ProxyCall&) = delete;
  ~ProxyCall();

  // Of a stream that was paused.
  void resume() { call_.resume(); }

 private:
  std::shared_ptr<ProxyBackend> backend_;
  net::HttpCall call_;
  std::uint64_t serial_;
};

// Thread: owning shard.
class ProxyBackend : public std::enable_shared_from_this<ProxyBackend> {
 public:
  // `now` is the clock. `log` gets lines that do not flood.
  ProxyBackend(std::string endpoint, std::unique_ptr<net::HttpClient> client,
               const peers::BreakerSettings& breaker, std::function<TimePoint()> now,
               std::function<void(std::string_view)> log);

  // Whether a question may go out now; else the breaker is open.
  [[nodiscard]] bool admits() const;
  // Only when it admits(). `done` is never called from inside; any status is a reply.
  [[nodiscard]] ProxyCall send(net::HttpCallRequest request, ProxyDone done);
  // The same with a body that is taken line by line while it comes (net::HttpLines says how): the
  // progress of long work. The shard's clock is the caller's to read (net::Shard::touch) before it
  // touches sessions.
  [[nodiscard]] ProxyCall stream(
      net::HttpCallRequest request,
      std::move_only_function<net::HttpFlow(std::string_view line)> on_line, ProxyDone done);

  // A line about something that may happen with each question.
  void complain(std::string_view about, std::string_view why);

  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }

  [[nodiscard]] ProxyBackendStats stats() const;

 private:
  friend class ProxyCall;

  // Counts a question that goes out.
  [[nodiscard]] std::uint64_t begin();
  // What tells the breaker, then `done`.
  [[nodiscard]] net::HttpDone settling(std::uint64_t serial, ProxyDone done);
  void settle(std::uint64_t serial, const Result<net::HttpReply>& result);
  void succeeded();
  void failed(const std::string& why);
  // A question that was cancelled or never went out says nothing of the backend.
  void given_up(std::uint64_t serial);

  const std::string endpoint_;
  const std::unique_ptr<net::HttpClient> client_;
  const peers::BreakerSettings settings_;
  const std::function<TimePoint()> now_;
  const std::function<void(std::string_view)> log_;
  peers::Breaker breaker_;
  std::uint64_t last_serial_ = 0;
  std::uint64_t probe_ = 0;  // the question that is one; 0: none
  LogThrottle complaints_;
};

}  // namespace trunkline::server
