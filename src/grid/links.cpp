// SPDX-License-Identifier: Apache-2.0
#include "grid/links.h"

#include "core/probe.h"
#include "core/random.h"
#include "core/string_map.h"

#include <string>

namespace trunkline::grid {

namespace {

// FNV-1a alone leaves names that differ in their last letter close together.
std::uint64_t pair_hash(std::string_view first, std::string_view second) {
  std::string text(first);
  text += '\n';
  text += second;
  // SplitMix64's finalizer; its generator adds the golden ratio first.
  return Random(stable_hash(text) - 0x9e3779b97f4a7c15U).next();
}

}  // namespace

bool is_designated(std::string_view self, std::string_view peer) {
  const std::uint64_t ours = pair_hash(self, peer);
  const std::uint64_t theirs = pair_hash(peer, self);
  return ours == theirs ? self < peer : ours < theirs;
}

LinkVerdict judge(const Link& old_one, const Link& new_one, bool is_designated) {
  const bool is_welcomed = new_one.side == Side::kDialler;
  if (old_one.instance != new_one.instance) {
    return is_welcomed ? LinkVerdict::kReplace : LinkVerdict::kProbeOld;
  }
  if (old_one.side == new_one.side) {
    return LinkVerdict::kReplace;
  }
  const bool new_stays = (new_one.side == Side::kDialler) == is_designated;
  if (TRUNKLINE_MUTANT("both-survive-differently")) {
    return LinkVerdict::kReplace;
  }
  if (new_stays) {
    return LinkVerdict::kMoveOld;
  }
  return is_welcomed ? LinkVerdict::kMoveNew : LinkVerdict::kProbeOld;
}

}  // namespace trunkline::grid
