// SPDX-License-Identifier: Apache-2.0
#include "sim/mutants.h"

#include "core/assert.h"
#include "core/probe.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace trunkline::sim {

namespace {

constexpr std::array kMutants = {
    "attach-overtakes-updates",
    "behind-forgotten",
    "catch-up-starves",
    "close-drops-replies",
    "close-overtakes-data",
    "connect-begins-at-head",
    "cursor-stays-after-write",
    "detach-keeps-member",
    "disconnect-forgets-subscribing",
    "epoch-not-checked",
    "feed-update-twice",
    "gap-not-told",
    "gone-subscriber-stays",
    "history-one-short",
    "history-since-off-by-one",
    "key-forgotten",
    "late-unsubscribe-ignored",
    "live-repeats-recovered",
    "lost-cursor-skips",
    "lost-not-told",
    "memory-not-given-back",
    "mirror-trimmed-too-far",
    "ping-timer-lost",
    "pong-not-awaited",
    "remainder-lost",
    "rest-behind-data",
    "resume-after-trim-off-by-one",
    "shard-ends-alone",
    "snapshot-reads-head-after",
    "unsubscribe-keeps-cursor",
    "waiting-commands-lost",
    "waiting-publication-lost",
};

constexpr std::array kPoints = {
    "a client is disconnected later than the stop",
    "a drained shard is asked",
    "a gap was told",
    "a turn ends before all caught up",
    "answer for a session that has gone",
    "close behind a frame written in part",
    "commands wait for the outbox",
    "compressed frames",
    "connection after the stop",
    "connection for a shard that is going down",
    "event does not fit",
    "frame written in part",
    "live subscriber lost its place",
    "a late one begins with the newest",
    "log trimmed during a snapshot",
    "mail for a shard that has ended",
    "no pong",
    "position forgotten",
    "publication key repeated",
    "publications behind a connect reply",
    "publications during a snapshot",
    "publisher waited in vain",
    "publisher waits for the fastest subscriber",
    "too many publications wait",
    "quiet log evicted",
    "recovery goes on behind its reply",
    "resume after a trim",
    "resume at the oldest that is kept",
    "resume from beyond the top",
    "resume into another epoch",
    "snapshot for a shard that has ended",
    "stop before connect",
    "stop drops a stalled reader",
    "stop drops one that does not answer",
    "stop during a Close",
    "stop during a catch-up",
    "stop during a handshake",
    "stop during a resync",
    "stop during an API call",
    "stop of a blocked reader",
    "stop while a history is on its way",
    "stop while a publish is on its way",
    "stop while a snapshot is taken",
    "stop while commands wait",
    "stop while subscribing",
    "stop while the door is asked",
    "stop while unsubscribing",
    "unsubscribe while subscribing",
    "update from before the attach",
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
  g_planted = nullptr;
  if (name.empty()) {
    return true;
  }
  const auto found = std::ranges::find(kMutants, name);
  g_planted = found == kMutants.end() ? nullptr : *found;
  return g_planted != nullptr;
}

std::uint64_t reached_count(std::string_view point) {
  const auto found = std::ranges::find(kPoints, point);
  return found == kPoints.end() ? 0 : g_counts[static_cast<std::size_t>(found - kPoints.begin())];
}

}  // namespace trunkline::sim

namespace trunkline::probe {

void reached(const char* name) {
  const auto found = std::ranges::find(sim::kPoints, std::string_view(name));
  TRUNKLINE_ASSERT(found != sim::kPoints.end());
  ++sim::g_counts[static_cast<std::size_t>(found - sim::kPoints.begin())];
}

bool planted(const char* name) {
  return sim::g_planted != nullptr && std::strcmp(sim::g_planted, name) == 0;
}

}  // namespace trunkline::probe
