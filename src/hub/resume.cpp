// SPDX-License-Identifier: Apache-2.0
#include "hub/resume.h"

#include "core/probe.h"

namespace trunkline::hub {

std::optional<Offset> resume_from(const Attached& attached, const Position& since) {
  const bool same_epoch = since.epoch.empty() || since.epoch == attached.top.epoch;
  if (!same_epoch && !TRUNKLINE_MUTANT("epoch-not-checked")) {
    TRUNKLINE_SOMETIMES("resume into another epoch");
    return std::nullopt;
  }
  const Offset next = since.offset.next();
  const Offset allowed = TRUNKLINE_MUTANT("resume-after-trim-off-by-one") ? next.next() : next;
  if (since.offset > attached.top.offset) {
    TRUNKLINE_SOMETIMES("resume from beyond the top");
    return std::nullopt;
  }
  if (allowed < attached.history_first) {
    TRUNKLINE_SOMETIMES("resume after a trim");
    return std::nullopt;
  }
  if (next == attached.history_first && next <= attached.top.offset) {
    TRUNKLINE_SOMETIMES("resume at the oldest that is kept");
  }
  return next;
}

}  // namespace trunkline::hub
