// SPDX-License-Identifier: Apache-2.0
//
// The program of the simulation: what it asks the machine for, at random moments.
#include "peers/sim/world.h"

#include <fmt/format.h>

#include <utility>

namespace trunkline::peers::sim {

namespace {

using namespace std::chrono_literals;

constexpr int kActions = 70;
constexpr std::uint64_t kAcceptHosts = 40;

}  // namespace

void World::plan_program() {
  for (int i = 0; i < kActions; ++i) {
    schedule_.after(schedule_.between(0s, schedule_.random.one_in(2) ? 30s : Duration(19min)),
                    [this] { act(); });
  }
}

void World::act() {
  switch (schedule_.random.below(4)) {
    case 0:
      end_something();
      break;
    case 1:
      judge_something();
      break;
    case 2:
      accept_one();
      break;
    default:
      ask_for_something();
  }
  perform_all();
}

void World::ask_for_something() {
  Random& random = schedule_.random;
  if (random.one_in(5)) {
    static_cast<void>(step(Learn{{some_address(), fmt::format("10.99.0.{}:80", random.below(9))}}));
    return;
  }
  const bool duplicate = random.one_in(4);
  std::string address = random.one_in(6)   ? "name.example:80"
                        : random.one_in(6) ? "10.99.0.1:80"
                                           : some_address();
  // A feeler's, when there is one: the request must not have to wait for it.
  machine_->for_each(
      [&address](const PeerInfo& info) {
        if (info.kind == PeerKind::kFeeler) {
          address = info.address;
        }
      },
      schedule_.now());
  model_.next_request(duplicate);
  static_cast<void>(step(
      Connect{{.address = address, .permanent = random.one_in(2), .allow_duplicate = duplicate}}));
}

std::optional<PeerId> World::some_peer() {
  std::vector<PeerId> ids;
  machine_->for_each([&ids](const PeerInfo& info) { ids.push_back(info.id); }, schedule_.now());
  if (ids.empty()) {
    return std::nullopt;
  }
  return ids[schedule_.random.below(ids.size())];
}

void World::end_something() {
  const std::optional<PeerId> id = some_peer();
  if (!id.has_value()) {
    return;
  }
  switch (schedule_.random.below(4)) {
    case 0:
      static_cast<void>(step(Cancel{*id}));
      break;
    case 1:
      static_cast<void>(step(Remove{*id}));
      break;
    default:
      static_cast<void>(step(Disconnect{*id}));
  }
}

void World::judge_something() {
  Random& random = schedule_.random;
  const std::optional<PeerId> id = some_peer();
  if (!id.has_value()) {
    return;
  }
  switch (random.below(5)) {
    case 0:
      static_cast<void>(step(Protect{*id, random.one_in(2)}));
      break;
    case 1:
      static_cast<void>(step(SetMerit{*id, {.useful_bytes = random.below(1000)}}));
      break;
    case 2:
      static_cast<void>(step(PenalizePeer{*id, 0, static_cast<double>(random.below(120))}));
      break;
    case 3:
      static_cast<void>(step(Forgive{host_text(some_address())}));
      break;
    default:
      static_cast<void>(step(Ban{host_text(some_address()), {}}));
  }
}

void World::accept_one() {
  const std::string remote =
      fmt::format("10.{}.0.{}:{}", schedule_.random.below(60), schedule_.random.below(kAcceptHosts),
                  1024 + schedule_.random.below(60'000));
  if (is_paused_) {
    return;  // it waits in the listener's queue
  }
  const Result<PeerId> id = step(Accepted{parse_endpoint(remote).value()});
  const bool is_banned = model_.is_banned(host_text(remote), schedule_.now());
  if (id.has_value() && is_banned) {
    fail_check("ban", fmt::format("{} is accepted though it is banned", remote));
  }
  if (id.has_value()) {
    lose_sometime(*id, {});
  }
}

}  // namespace trunkline::peers::sim
