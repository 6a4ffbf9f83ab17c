// SPDX-License-Identifier: Apache-2.0
#include "peers/eviction.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace trunkline::peers {

namespace {

constexpr std::size_t kSharePerMerit = 8;
constexpr std::size_t kSparedPerMeritMax = 8;

std::ptrdiff_t distance(std::size_t count) {
  return static_cast<std::ptrdiff_t>(count);
}

// Takes out the `count` for which `better` says so. Ids decide between equals, so that the choice
// does not depend on the order.
template <class Better>
void spare(std::vector<Candidate>& candidates, std::size_t count, Better better) {
  count = std::min(count, candidates.size());
  std::ranges::partial_sort(candidates, candidates.begin() + distance(count), better);
  candidates.erase(candidates.begin(), candidates.begin() + distance(count));
}

std::uint64_t mixed(const NetKey& group, std::uint64_t salt) {
  std::uint64_t bits = (group.bits ^ salt) * 0x9e3779b97f4a7c15U;
  bits = (bits ^ (bits >> 29U)) * 0xbf58476d1ce4e5b9U;
  return bits ^ (bits >> 32U);
}

std::int64_t round_trip_or_worst(const Candidate& one) {
  return one.merit.round_trip.count() > 0 ? one.merit.round_trip.count() : INT64_MAX;
}

void spare_by_merit(std::vector<Candidate>& candidates, std::uint64_t salt) {
  const std::size_t share =
      std::min((candidates.size() + kSharePerMerit - 1) / kSharePerMerit, kSparedPerMeritMax);
  spare(candidates, share, [](const Candidate& a, const Candidate& b) {
    return std::tuple(-static_cast<std::int64_t>(a.merit.value), a.id) <
           std::tuple(-static_cast<std::int64_t>(b.merit.value), b.id);
  });
  spare(candidates, share, [](const Candidate& a, const Candidate& b) {
    return std::tuple(b.merit.useful_bytes, a.id) < std::tuple(a.merit.useful_bytes, b.id);
  });
  spare(candidates, share, [](const Candidate& a, const Candidate& b) {
    return std::tuple(round_trip_or_worst(a), a.id) < std::tuple(round_trip_or_worst(b), b.id);
  });
  spare(candidates, share, [salt](const Candidate& a, const Candidate& b) {
    return std::tuple(mixed(a.group, salt), a.id) < std::tuple(mixed(b.group, salt), b.id);
  });
  spare(candidates, candidates.size() / 2, [](const Candidate& a, const Candidate& b) {
    return std::tuple(a.since, a.id) < std::tuple(b.since, b.id);
  });
}

// The younger one, by the id where they came at one moment.
bool is_younger(const Candidate& a, const Candidate& b) {
  return std::tuple(a.since, a.id) > std::tuple(b.since, b.id);
}

const Candidate* youngest_of_the_most_crowded(const std::vector<Candidate>& candidates) {
  std::map<NetKey, std::size_t> crowds;
  for (const Candidate& one : candidates) {
    ++crowds[one.group];
  }
  const Candidate* victim = nullptr;
  for (const Candidate& one : candidates) {
    const std::size_t crowd = crowds[one.group];
    if (victim == nullptr || crowd > crowds[victim->group] ||
        (crowd == crowds[victim->group] && is_younger(one, *victim))) {
      victim = &one;
    }
  }
  return victim;
}

}  // namespace

std::optional<PeerId> choose_victim(std::vector<Candidate> candidates, std::uint64_t salt) {
  std::optional<Candidate> discouraged;
  for (const Candidate& one : candidates) {
    if (one.is_discouraged && (!discouraged.has_value() || is_younger(one, *discouraged))) {
      discouraged = one;
    }
  }
  if (discouraged.has_value()) {
    return discouraged->id;
  }
  spare_by_merit(candidates, salt);
  const Candidate* victim = youngest_of_the_most_crowded(candidates);
  return victim == nullptr ? std::nullopt : std::optional(victim->id);
}

std::vector<PeerId> choose_trimmed(std::vector<Candidate> candidates, std::size_t count) {
  count = std::min(count, candidates.size());
  std::ranges::partial_sort(
      candidates, candidates.begin() + distance(count), [](const Candidate& a, const Candidate& b) {
        return std::tuple(!a.is_discouraged, a.merit.value, a.merit.useful_bytes, b.since, b.id) <
               std::tuple(!b.is_discouraged, b.merit.value, b.merit.useful_bytes, a.since, a.id);
      });
  std::vector<PeerId> chosen;
  for (std::size_t i = 0; i < count; ++i) {
    chosen.push_back(candidates[i].id);
  }
  return chosen;
}

}  // namespace trunkline::peers
