// SPDX-License-Identifier: Apache-2.0
#include "hub/history.h"

#include "core/probe.h"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::hub {

std::string join_bodies(const replay::Window& window, Offset first, Offset last) {
  std::string joined;
  for (Offset offset = first; offset <= last; offset = offset.next()) {
    if (!joined.empty()) {
      joined += ',';
    }
    joined += window.body(offset);
  }
  return joined;
}

namespace {

std::string join_reversed(const replay::Window& window, Offset newest, Offset oldest,
                          std::size_t limit) {
  std::string joined;
  for (std::uint64_t offset = newest.value; offset >= oldest.value && limit > 0; --offset) {
    if (!joined.empty()) {
      joined += ',';
    }
    joined += window.body(Offset{offset});
    --limit;
  }
  return joined;
}

}  // namespace

Result<History> read_history(const replay::Log& log, Offset history_first,
                             const HistoryQuery& query) {
  History result{.publications = {}, .top = log.top()};
  if (query.since.has_value() && !query.since->epoch.empty() && query.since->epoch != log.epoch()) {
    return fail(ErrorCode::kUnrecoverablePosition,
                fmt::format("the position is of epoch '{}', the log of '{}'", query.since->epoch,
                            log.epoch()));
  }
  if (query.limit == 0) {
    return result;
  }
  const replay::Window& window = log.window();
  // The offset is the client's: nothing lies before 0 and nothing behind the head, and neither
  // neighbour may be computed.
  const bool nothing_there =
      query.since.has_value() &&
      (query.reverse ? query.since->offset == Offset{} : query.since->offset >= window.head());
  if (nothing_there) {
    return result;
  }
  if (query.reverse) {
    const Offset newest = query.since.has_value()
                              ? std::min(Offset{query.since->offset.value - 1}, window.head())
                              : window.head();
    if (newest >= history_first) {
      result.publications = join_reversed(window, newest, history_first, query.limit);
    }
    return result;
  }
  Offset first =
      query.since.has_value() ? std::max(query.since->offset.next(), history_first) : history_first;
  if (TRUNKLINE_MUTANT("history-since-off-by-one") && first > history_first) {
    first = query.since->offset;
  }
  if (first <= window.head()) {
    const std::uint64_t left = window.head().value - first.value;
    const Offset last{first.value + std::min<std::uint64_t>(left, query.limit - 1)};
    result.publications = join_bodies(window, first, last);
  }
  return result;
}

}  // namespace trunkline::hub
