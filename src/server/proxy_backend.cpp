// SPDX-License-Identifier: Apache-2.0
#include "server/proxy_backend.h"

#include <fmt/format.h>

#include <utility>

namespace trunkline::server {

namespace {

ProxyOutcome outcome_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kTimeout:
      return ProxyOutcome::kTimeout;
    case ErrorCode::kLimitExceeded:
      return ProxyOutcome::kBusy;
    case ErrorCode::kMalformed:
    case ErrorCode::kMessageTooBig:
      return ProxyOutcome::kBadAnswer;
    default:
      return ProxyOutcome::kUnreachable;
  }
}

// What a load balancer says of a backend that is not there. Other statuses, 500 too, come from a
// backend that is alive and may do better at the next question.
bool means_down(unsigned status) {
  return status == 502 || status == 503 || status == 504;
}

}  // namespace

ProxyCall::~ProxyCall() {
  if (backend_) {
    backend_->given_up(serial_);
  }
}

ProxyBackend::ProxyBackend(std::string endpoint, std::unique_ptr<net::HttpClient> client,
                           const peers::BreakerSettings& breaker, std::function<TimePoint()> now,
                           std::function<void(std::string_view)> log)
    : endpoint_(std::move(endpoint)),
      client_(std::move(client)),
      settings_(breaker),
      now_(std::move(now)),
      log_(std::move(log)) {}

bool ProxyBackend::admits() const {
  const TimePoint now = now_();
  return !breaker_.is_probing() && breaker_.next_dial(now) <= now;
}

std::uint64_t ProxyBackend::begin() {
  const std::uint64_t serial = ++last_serial_;
  if (breaker_.on_dial()) {
    probe_ = serial;
  }
  return serial;
}

net::HttpDone ProxyBackend::settling(std::uint64_t serial, ProxyDone done) {
  return [weak = weak_from_this(), serial,
          done = std::move(done)](Result<net::HttpReply> result) mutable {
    const auto self = weak.lock();
    if (!self) {
      return;
    }
    self->settle(serial, result);
    if (result.has_value()) {
      done(std::move(*result));
    } else {
      done(std::unexpected(
          ProxyFailure{outcome_of(result.error().code), std::move(result.error().context)}));
    }
  };
}

ProxyCall ProxyBackend::send(net::HttpCallRequest request, ProxyDone done) {
  const std::uint64_t serial = begin();
  return {shared_from_this(), client_->send(std::move(request), settling(serial, std::move(done))),
          serial};
}

ProxyCall ProxyBackend::stream(
    net::HttpCallRequest request,
    std::move_only_function<net::HttpFlow(std::string_view line)> on_line, ProxyDone done) {
  const std::uint64_t serial = begin();
  return {shared_from_this(),
          client_->stream(std::move(request), {.on_line = std::move(on_line),
                                               .done = settling(serial, std::move(done))}),
          serial};
}

void ProxyBackend::settle(std::uint64_t serial, const Result<net::HttpReply>& result) {
  if (!result.has_value() && result.error().code == ErrorCode::kLimitExceeded) {
    given_up(serial);
    return;
  }
  if (probe_ == serial) {
    probe_ = 0;
  }
  if (!result.has_value()) {
    failed(result.error().context);
  } else if (means_down(result->status)) {
    failed(fmt::format("status {}", result->status));
  } else {
    succeeded();
  }
}

void ProxyBackend::succeeded() {
  if (breaker_.on_success()) {
    log_(fmt::format("backend {} answers again", endpoint_));
  }
  breaker_.on_good();
}

void ProxyBackend::failed(const std::string& why) {
  const TimePoint now = now_();
  const bool was_closed = breaker_.state() == BreakerState::kClosed;
  if (breaker_.on_failure(settings_, now) && was_closed) {
    log_(fmt::format("backend {} is left alone for a while, it has failed {} times in a row: {}",
                     endpoint_, settings_.failures, why));
  }
}

void ProxyBackend::given_up(std::uint64_t serial) {
  if (probe_ == serial) {
    probe_ = 0;
    breaker_.on_given_up();
  }
}

void ProxyBackend::complain(std::string_view about, std::string_view why) {
  if (const auto held_back = complaints_.pass(now_())) {
    log_(fmt::format("backend {}: {}: {}{}", endpoint_, about, why,
                     *held_back == 0 ? "" : fmt::format(" ({} lines left out)", *held_back)));
  }
}

ProxyBackendStats ProxyBackend::stats() const {
  return {.endpoint = endpoint_, .breaker = breaker_.state(), .http = client_->stats()};
}

}  // namespace trunkline::server
