// SPDX-License-Identifier: Apache-2.0
#include "peers/sim/marks.h"

#include "core/assert.h"
#include "core/probe.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace trunkline::peers::sim {

namespace {

constexpr std::array kMutants = {
    "address-twice",        // the target takes an address that is in use
    "always-good",          // a connection counts as good at once
    "backoff-one-ahead",    // a retry waits by the next failure's ceiling
    "ban-ignored",          // a banned host is merely discouraged
    "dials-without-limit",  // more dials in flight than allowed
    "duplicate-taken",      // a second request for an address is taken
    "group-kept",           // a place in a group is not given back
    "group-overfull",       // the target forgets a group's share
    "inbound-without-limit",
    "late-success-taken",  // the success of a dial that was given up
    "listeners-stay-paused",
    "never-slow",       // failures in a row do not space dials
    "retry-forgotten",  // a retry's timer is sometimes not armed
    "stale-close",      // the end of an earlier connection ends a later one
    "target-overshot",  // one automatic peer too many
    "two-probes",       // a half-open address is dialled by everybody
};

constexpr std::array kPoints = {
    "a ban of a host that is being dialled",
    "a dial is given up",
    "a feeler",
    "a feeler gives way",
    "a probe is under way",
    "a second attempt overtakes",
    "a success comes too late",
    "an address from before the restart",
    "an inbound connection makes room",
    "dials are spaced",
    "no address is fit",
    "the high watermark",
};

std::array<std::uint64_t, kPoints.size()> g_counts{};
const char* g_planted = nullptr;

}  // namespace

std::span<const char* const> mutant_names() {
  return kMutants;
}

std::span<const char* const> point_names() {
  return kPoints;
}

bool plant(std::string_view name) {
  const auto found = std::ranges::find(kMutants, name);
  g_planted = found == kMutants.end() ? nullptr : *found;
  return g_planted != nullptr || name.empty();
}

std::uint64_t reached_count(std::string_view point) {
  const auto found = std::ranges::find(kPoints, point);
  return found == kPoints.end() ? 0 : g_counts[static_cast<std::size_t>(found - kPoints.begin())];
}

}  // namespace trunkline::peers::sim

namespace trunkline::probe {

void reached(const char* name) {
  namespace sim = peers::sim;
  const auto found = std::ranges::find(sim::kPoints, std::string_view(name));
  TRUNKLINE_ASSERT(found != sim::kPoints.end());
  ++sim::g_counts[static_cast<std::size_t>(found - sim::kPoints.begin())];
}

bool planted(const char* name) {
  return peers::sim::g_planted != nullptr && std::strcmp(peers::sim::g_planted, name) == 0;
}

}  // namespace trunkline::probe
