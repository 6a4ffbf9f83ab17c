// SPDX-License-Identifier: Apache-2.0
//
// A machine on virtual time, and a vocabulary for the rows of docs/peers.md.
#pragma once

#include "peers/machine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::peers {

using namespace std::chrono_literals;

class MachineTest : public ::testing::Test {
 protected:
  // No target and no feelers unless a test wants them; slow-downs out of the way.
  static PeerOptions plain() {
    PeerOptions options;
    options.target_outbound = 0;
    options.feeler_interval = 0ms;
    options.slow_after_failures = 0;
    options.slow_group_after_failures = 0;
    options.breaker_failures = 0;
    return options;
  }

  // Made anew with other options; not started.
  void make(const PeerOptions& options) {
    effects.clear();
    machine = std::make_unique<Machine>(options, Random(11), now);
  }

  void begin(const PeerOptions& options = plain()) {
    make(options);
    EXPECT_TRUE(step(Start{}).has_value());
  }

  Result<PeerId> step(Event event) {
    const Result<PeerId> answer = machine->step(std::move(event), now, effects);
    EXPECT_EQ(machine->check(), "");
    return answer;
  }

  PeerId connect(const std::string& address, bool permanent = false) {
    const Result<PeerId> id = step(Connect{{.address = address, .permanent = permanent}});
    EXPECT_TRUE(id.has_value()) << to_string(id.error());
    return id.value_or(PeerId{});
  }

  // Time passes; timers fire on the way, as they are due.
  void pass(Duration duration) {
    const TimePoint end = now + duration;
    for (auto next = machine->next_wakeup(); next.has_value() && *next <= end;
         next = machine->next_wakeup()) {
      now = std::max(now, *next);
      step(Wake{});
    }
    now = end;
    step(Wake{});
  }

  // Until there is an effect of this kind; false when so much time has passed without one.
  template <class Kind>
  bool pass_until(Duration most) {
    const TimePoint end = now + most;
    while (all<Kind>().empty()) {
      const auto next = machine->next_wakeup();
      if (!next.has_value() || *next > end) {
        now = end;
        return false;
      }
      now = std::max(now, *next);
      step(Wake{});
    }
    return true;
  }

  template <class Kind>
  std::vector<Kind> all() const {
    std::vector<Kind> found;
    for (const Effect& effect : effects) {
      if (const auto* one = std::get_if<Kind>(&effect)) {
        found.push_back(*one);
      }
    }
    return found;
  }

  // Those so far, which are then gone.
  template <class Kind>
  std::vector<Kind> take() {
    std::vector<Kind> found = all<Kind>();
    effects.clear();
    return found;
  }

  // The only attempt that has been asked for since the last take.
  StartAttempt attempt() {
    const std::vector<StartAttempt> attempts = take<StartAttempt>();
    EXPECT_EQ(attempts.size(), 1U);
    return attempts.empty() ? StartAttempt{} : attempts.back();
  }

  Result<PeerId> succeed(const StartAttempt& one) {
    return step(AttemptSucceeded{one.dial, one.attempt});
  }

  Result<PeerId> fail_it(const StartAttempt& one, const std::string& why = "refused") {
    return step(AttemptFailed{one.dial, one.attempt, {ErrorCode::kUnavailable, why}});
  }

  // A connected peer, and the dial that made it.
  std::pair<PeerId, DialId> connected(const std::string& address, bool permanent = false) {
    const PeerId id = connect(address, permanent);
    const StartAttempt one = attempt();
    EXPECT_TRUE(succeed(one).has_value());
    effects.clear();
    return {id, one.dial};
  }

  Result<PeerId> accept(const std::string& remote) {
    return step(Accepted{parse_endpoint(remote).value_or(PeerEndpoint{})});
  }

  // The states that a peer went through, as "pending>connected", since the last take.
  std::vector<std::string> story(PeerId id) const {
    std::vector<std::string> lines;
    for (const Tell& tell : all<Tell>()) {
      if (tell.event.id == id && tell.event.kind == PeerEventKind::kState) {
        lines.push_back(fmt::format("{}>{}", name(tell.event.from), name(tell.event.to)));
      }
    }
    return lines;
  }

  std::vector<PeerEvent> told(PeerEventKind kind) const {
    std::vector<PeerEvent> found;
    for (const Tell& tell : all<Tell>()) {
      if (tell.event.kind == kind) {
        found.push_back(tell.event);
      }
    }
    return found;
  }

  std::optional<PeerInfo> info(PeerId id) const {
    Result<PeerInfo> found = machine->info(id, now);
    return found.has_value() ? std::optional(*found) : std::nullopt;
  }

  // Gone from the table.
  bool is_forgotten(PeerId id) const { return !info(id).has_value(); }

  using Story = std::vector<std::string>;

  TimePoint now{1h};
  std::unique_ptr<Machine> machine;
  Effects effects;
};

}  // namespace trunkline::peers
