// SPDX-License-Identifier: Apache-2.0
#include "peers/sim/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace trunkline::peers::sim {

namespace {

using namespace std::chrono_literals;

constexpr Duration kTrouble = 20min;
constexpr Duration kHealing = 2h;
// Seen: 3,000.
constexpr std::uint64_t kStepsMax = 50'000;
constexpr std::uint64_t kAddresses = 90;

PeerOptions random_options(Random& random) {
  PeerOptions options;
  options.target_outbound = random.below(6);
  options.dials_in_flight_max = 1 + random.below(6);
  options.dial_timeout = std::chrono::milliseconds(2'000 + random.below(20'000));
  options.slow_after_failures = static_cast<std::uint32_t>(3 + random.below(20));
  options.slow_group_after_failures = static_cast<std::uint32_t>(2 + random.below(8));
  options.breaker_failures = static_cast<std::uint32_t>(1 + random.below(5));
  options.outbound_per_group = 1 + random.below(2);
  options.feeler_interval = std::chrono::milliseconds(random.one_in(2) ? 30'000 : 0);
  options.inbound_max = 1 + random.below(12);
  options.inbound_per_group = 1 + random.below(6);
  options.evict_inbound = random.one_in(2);
  options.high_water = random.one_in(2) ? 6 : 0;
  options.low_water = options.high_water / 2;
  options.grace_period = std::chrono::milliseconds(random.below(60'000));
  options.ban_duration = 5min;
  options.book_addresses_max = 4 + random.below(40);
  return options;
}

// Some of them share a network.
std::string address_of(std::uint64_t number) {
  return fmt::format("10.{}.0.{}:80", number % 60, number);
}

}  // namespace

World::World(std::uint64_t seed, bool print_trace)
    : schedule_(seed),
      print_trace_(print_trace),
      options_(random_options(schedule_.random)),
      machine_(
          std::make_unique<Machine>(options_, Random(schedule_.random.next()), schedule_.now())),
      model_(options_) {}

void World::fail_check(std::string check, std::string detail) {
  if (outcome_.check.empty()) {
    outcome_.check = std::move(check);
    outcome_.detail = std::move(detail);
  }
}

Result<PeerId> World::step(Event event) {
  if (++outcome_.steps > kStepsMax) {
    fail_check("endless", "so many steps lead nowhere");
    return fail(ErrorCode::kClosed, "the run has failed");
  }
  const Result<PeerId> answer = machine_->step(std::move(event), schedule_.now(), effects_);
  for (Effect& effect : effects_) {
    todo_.push_back(std::move(effect));
  }
  effects_.clear();
  return answer;
}

// What was just adopted has to be known before its Surface is performed, so callers of step() call
// this when they have taken the answer in.
void World::perform_all() {
  if (is_performing_) {
    return;
  }
  is_performing_ = true;
  while (!todo_.empty()) {
    Effect effect = std::move(todo_.front());
    todo_.pop_front();
    std::visit([this](auto& one) { perform(one); }, effect);
  }
  is_performing_ = false;
  after_step();
}

void World::after_step() {
  if (const std::string wrong = machine_->check(); !wrong.empty()) {
    fail_check("inside", wrong);
  }
  if (const auto wrong = model_.totals(machine_->counts(), is_paused_ && !has_stopped_);
      wrong.has_value()) {
    fail_check("limits", *wrong);
  }
  arm_wakeup();
}

void World::arm_wakeup() {
  const auto next = machine_->next_wakeup();
  if (!next.has_value()) {
    ++wakeups_;
    return;
  }
  schedule_.at(*next, [this, number = ++wakeups_] {
    if (number == wakeups_) {
      static_cast<void>(step(Wake{}));
      perform_all();
    }
  });
}

void World::perform(NeedAddress& /*need*/) {
  std::optional<std::string> offer;
  if (is_healed_ || !schedule_.random.one_in(10)) {
    offer = schedule_.random.one_in(20) && !is_healed_ ? "nonsense" : some_address();
  }
  static_cast<void>(step(AddressOffered{offer}));
}

void World::perform(Resolve& resolve) {
  resolving_.insert(resolve.dial);
  if (const auto wrong = model_.on_dial(
          resolve.dial, fmt::format("{}:{}", resolve.host, resolve.port), schedule_.now())) {
    fail_check("dial", *wrong);
  }
  const bool works = is_healed_ || !schedule_.random.one_in(4);
  schedule_.after(schedule_.between(1ms, 900ms), [this, dial = resolve.dial, works] {
    Result<std::vector<PeerEndpoint>> answer = fail(ErrorCode::kUnavailable, "no answer");
    if (works) {
      answer = std::vector{parse_endpoint("10.200.0.1:80").value(),
                           parse_endpoint("[2001:db8::1]:80").value(),
                           parse_endpoint("10.200.0.2:80").value()};
    }
    static_cast<void>(step(Resolved{dial, std::move(answer)}));
    perform_all();
  });
}

void World::perform(StartAttempt& start) {
  const std::string target = to_string(start.endpoint);
  const bool is_name = resolving_.contains(start.dial);
  if (const auto wrong =
          model_.on_dial(start.dial, is_name ? "name.example:80" : target, schedule_.now())) {
    fail_check("dial", *wrong);
  }
  const std::pair key{start.dial, start.attempt};
  attempts_[key] = Attempt{start};
  schedule_.trace(fmt::format("dial {}", target));
  const std::uint64_t luck = is_healed_ ? 0 : schedule_.random.below(8);
  if (luck < 6) {  // else it hangs
    const bool success = luck < 3;
    schedule_.after(schedule_.between(1ms, is_healed_ ? 100ms : 3s),
                    [this, key, success] { answer(key, success); });
  }
}

void World::answer(std::pair<DialId, std::size_t> key, bool success) {
  const Attempt attempt = attempts_.at(key);
  attempts_.erase(key);
  const bool is_name = resolving_.contains(key.first);
  const std::string address = is_name ? "name.example:80" : to_string(attempt.start.endpoint);
  if (!success) {
    if (!attempt.is_given_up) {
      static_cast<void>(
          step(AttemptFailed{key.first, key.second, {ErrorCode::kUnavailable, "refused"}}));
    }
    perform_all();
    return;
  }
  const Result<PeerId> id = step(AttemptSucceeded{key.first, key.second});
  if (id.has_value()) {
    static_cast<void>(model_.on_dial_over(key.first));
    if (attempt.is_given_up) {
      fail_check("cancel", fmt::format("a dial to {} that was given up is taken", address));
    } else if (const auto wrong = model_.on_adopted(*id, key.first, address)) {
      fail_check("adopt", *wrong);
    }
    lose_sometime(*id, key.first);
  }
  perform_all();
}

void World::lose_sometime(PeerId id, DialId dial) {
  if (is_healed_ || schedule_.random.one_in(3)) {
    return;
  }
  // Some of them only after the machine has long closed it, or made another one.
  schedule_.after(schedule_.between(1ms, schedule_.random.one_in(2) ? 2s : 90s), [this, id, dial] {
    const bool stands = model_.is_connected_by(id, dial);
    model_.lost_by_network(id);
    if (!step(Closed{id, dial, "lost"}).has_value()) {
      model_.not_lost(id);
    } else if (!stands) {
      fail_check("stale", fmt::format("peer {} ends with an earlier connection", id.value));
    }
    perform_all();
  });
}

void World::perform(AbortDial& abort) {
  static_cast<void>(model_.on_dial_over(abort.dial));
  for (auto& [key, attempt] : attempts_) {
    if (key.first == abort.dial) {
      attempt.is_given_up = true;  // and comes all the same
    }
  }
}

void World::perform(Surface& surface) {
  schedule_.trace(fmt::format("surface {}", surface.id.value));
  if (const auto wrong = model_.on_surface(surface.id, surface.dial)) {
    fail_check("surface", *wrong);
  }
}

void World::perform(CloseConnection& close) {
  schedule_.trace(fmt::format("close {} {}", close.id.value, close.reason));
  if (const auto wrong = model_.on_close(close.id)) {
    fail_check("close", *wrong);
  }
}

void World::perform(PauseListeners& /*pause*/) {
  is_paused_ = true;
}

void World::perform(ResumeListeners& /*resume*/) {
  is_paused_ = false;
}

void World::perform(Tell& tell) {
  const PeerEvent& event = tell.event;
  const std::string line =
      fmt::format("{} peer {} {} {}>{} {} {}{}", name(event.kind), event.id.value, name(event.peer),
                  name(event.from), name(event.to), event.address, event.text,
                  event.will_retry ? fmt::format(" retry in {} ms", event.retry_in.count()) : "");
  schedule_.trace(line);
  if (print_trace_) {
    std::printf("%10.3f %s\n",
                std::chrono::duration<double>(schedule_.now().time_since_epoch()).count(),
                line.c_str());
  }
  if (event.kind == PeerEventKind::kBanned) {
    model_.ban(event.address, schedule_.now() + options_.ban_duration);
  } else if (event.kind == PeerEventKind::kBanEnded) {
    model_.forgive(event.address);
  }
  if (const auto wrong = model_.on_event(event, schedule_.now())) {
    fail_check("event", *wrong);
  }
  const Result<PeerInfo> info = machine_->info(event.id, schedule_.now());
  if (event.will_retry && info.has_value() && info->failures != model_.failures(event.id)) {
    fail_check("failures", fmt::format("peer {} counts {}, not {}", event.id.value, info->failures,
                                       model_.failures(event.id)));
  }
}

void World::perform(Stopped& /*stopped*/) {
  has_stopped_ = true;
}

std::string World::some_address() {
  return address_of(schedule_.random.below(kAddresses));
}

void World::check_end() {
  if (const auto wrong = model_.everybody_is_connected()) {
    fail_check("liveness", *wrong);
  }
  if (machine_->counts().automatic_connected != options_.target_outbound) {
    fail_check("liveness",
               fmt::format("{} automatic connections, the target is {}",
                           machine_->counts().automatic_connected, options_.target_outbound));
  }
}

Outcome World::run() {
  if (schedule_.random.one_in(2)) {
    const std::string saved =
        fmt::format("trunkline-peers 1 0\naddress {} 0 5 10 up\naddress {} 2 - -\n", address_of(1),
                    address_of(2));
    static_cast<void>(machine_->restore(saved, {schedule_.now(), {}}));
  }
  plan_program();
  schedule_.after(schedule_.between(0ms, 5s), [this] {
    static_cast<void>(step(Start{}));
    perform_all();
  });
  const auto go_on = [this] { return outcome_.check.empty(); };
  const TimePoint trouble_ends = schedule_.now() + kTrouble;
  if (schedule_.random.one_in(4)) {  // stopped in the midst of it
    schedule_.run_until(schedule_.now() + schedule_.between(1s, kTrouble), go_on);
  } else {
    schedule_.run_until(trouble_ends, go_on);
    is_healed_ = true;  // no dial fails and no connection is lost from now on
    schedule_.run_until(schedule_.now() + kHealing, go_on);
    if (go_on()) {
      check_end();
    }
  }
  static_cast<void>(step(Stop{}));
  perform_all();
  // Answers that were under way, and wishes that come too late.
  schedule_.run_until(schedule_.now() + kTrouble, go_on);
  const auto left = model_.nothing_is_left();
  if (go_on() && (left.has_value() || machine_->next_wakeup().has_value() || !has_stopped_)) {
    fail_check("stop", left.value_or("a timer is left"));
  }
  outcome_.trace_hash = schedule_.trace_hash();
  return outcome_;
}

}  // namespace trunkline::peers::sim
