// SPDX-License-Identifier: Apache-2.0
#include "grid/sim/marks.h"

#include "core/assert.h"
#include "core/probe.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace trunkline::grid::sim {

namespace {

constexpr std::array kMutants = {
    "always-not-run",            // a lost call says that nobody has seen it
    "both-survive-differently",  // of two connections each side keeps another one
    "cancel-not-told",           // a cancel stays on this side
    "cancelled-not-counted",     // a cancelled call's handler does not count any more
    "chunk-in-front",            // a message is put together backwards
    "credit-not-told",           // a stream's limit grows in secret
    "credit-returned-twice",     // what the program takes is granted twice
    "deadline-not-kept-there",   // the handler is not stopped when the time is up
    "duplicate-cut",             // the connection that goes is cut instead of finished
    "end-overtakes-the-last",    // a stream ends without its last message
    "loss-is-an-end",            // a stream whose connection is lost looks complete
    "never-the-other-way",       // nobody dials when the designated dialler cannot
    "no-pong",                   // pings are not answered
    "reservation-kept",          // memory of a message that was given up stays reserved
    "silence-ignored",           // a peer that says nothing is never gone
    "waiters-forgotten",         // who waits for a peer is not told that it came
};

constexpr std::array kPoints = {
    "a connection is replaced",
    "a deadline passes",
    "a handler runs on",
    "a handshake takes too long",
    "a late result is dropped",
    "a newcomer waits for the old connection's answer",
    "a peer is silent",
    "a stream waits for credit",
    "both connect at once, and the newer one stays",
    "both connect at once, and the older one stays",
    "both ends wait for credit",
    "no memory to put a message together",
    "no memory to put a stream's message together",
    "the old connection does not answer",
    "the pool is used up",
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

}  // namespace trunkline::grid::sim

namespace trunkline::probe {

void reached(const char* name) {
  namespace sim = grid::sim;
  const auto found = std::ranges::find(sim::kPoints, std::string_view(name));
  TRUNKLINE_ASSERT(found != sim::kPoints.end());
  ++sim::g_counts[static_cast<std::size_t>(found - sim::kPoints.begin())];
}

bool planted(const char* name) {
  return grid::sim::g_planted != nullptr && std::strcmp(grid::sim::g_planted, name) == 0;
}

}  // namespace trunkline::probe
