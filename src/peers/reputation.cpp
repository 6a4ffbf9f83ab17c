// SPDX-License-Identifier: Apache-2.0
#include "peers/reputation.h"

#include "core/probe.h"

#include <algorithm>
#include <cmath>

namespace trunkline::peers {

namespace {

double amount(double given) {
  return std::isfinite(given) ? std::max(given, 0.0) : 0.0;
}

// Looked at when a full table has to forget somebody; the oldest ones that are not banned.
constexpr int kLookedAt = 32;

}  // namespace

double BanScore::decayed(const ScoreSettings& settings, TimePoint now) const {
  const Duration age = now - at_;
  if (age <= Duration{0}) {
    return decaying_;
  }
  if (age >= settings.forgotten_after) {
    return 0;
  }
  return decaying_ * std::exp2(-static_cast<double>(age.count()) /
                               static_cast<double>(settings.half_life.count()));
}

void BanScore::add(double lasting, double decaying, const ScoreSettings& settings, TimePoint now) {
  lasting_ += amount(lasting);
  decaying_ = decayed(settings, now) + amount(decaying);
  at_ = std::max(at_, now);
}

double BanScore::at(const ScoreSettings& settings, TimePoint now) const {
  return lasting_ + decayed(settings, now);
}

Reputation::Host& Reputation::host(NetKey key, std::string_view name) {
  const auto found = hosts_.find(key);
  if (found != hosts_.end()) {
    oldest_.splice(oldest_.end(), oldest_, found->second.place);
    return found->second;
  }
  if (hosts_.size() >= settings_.hosts_max) {
    forget_one();
  }
  Host& made = hosts_[key];
  made.name = name;
  made.place = oldest_.insert(oldest_.end(), key);
  return made;
}

// Somebody who is not banned, if there is one among the oldest.
void Reputation::forget_one() {
  auto victim = oldest_.begin();
  int looked_at = 0;
  for (auto it = oldest_.begin(); it != oldest_.end() && looked_at < kLookedAt; ++it, ++looked_at) {
    if (!hosts_.at(*it).banned_until.has_value()) {
      victim = it;
      break;
    }
  }
  if (victim != oldest_.end()) {
    banned_ -= hosts_.at(*victim).banned_until.has_value() ? 1U : 0U;
    hosts_.erase(*victim);
    oldest_.erase(victim);
  }
}

std::optional<Standing> Reputation::penalize(NetKey key, std::string_view name, double lasting,
                                             double decaying, TimePoint now) {
  if (is_allowed(key)) {
    return std::nullopt;
  }
  Host& one = host(key, name);
  const Standing before = standing(key, now);
  one.score.add(lasting, decaying, settings_.score, now);
  if (one.score.at(settings_.score, now) >= settings_.ban) {
    return ban(key, name, settings_.ban_duration, now) ? std::optional(Standing::kBanned)
                                                       : std::nullopt;
  }
  const Standing after = standing(key, now);
  return after > before ? std::optional(after) : std::nullopt;
}

bool Reputation::ban(NetKey key, std::string_view name, Duration duration, TimePoint now) {
  if (is_allowed(key)) {
    return false;
  }
  Host& one = host(key, name);
  const bool was = one.banned_until.has_value();
  one.banned_until = std::max(one.banned_until.value_or(now), now + duration);
  banned_ += was ? 0U : 1U;
  return !was;
}

bool Reputation::forgive(NetKey key, TimePoint now) {
  const auto found = hosts_.find(key);
  if (found == hosts_.end()) {
    return false;
  }
  const bool was = standing(key, now) == Standing::kBanned;
  banned_ -= found->second.banned_until.has_value() ? 1U : 0U;
  oldest_.erase(found->second.place);
  hosts_.erase(found);
  return was;
}

Standing Reputation::standing(NetKey key, TimePoint now) const {
  const auto found = hosts_.find(key);
  if (found == hosts_.end() || is_allowed(key)) {
    return Standing::kGood;
  }
  const Host& one = found->second;
  if (one.banned_until.has_value() && *one.banned_until > now) {
    return TRUNKLINE_MUTANT("ban-ignored") ? Standing::kDiscouraged : Standing::kBanned;
  }
  return one.score.at(settings_.score, now) >= settings_.discourage ? Standing::kDiscouraged
                                                                    : Standing::kGood;
}

double Reputation::score(NetKey key, TimePoint now) const {
  const auto found = hosts_.find(key);
  return found == hosts_.end() ? 0 : found->second.score.at(settings_.score, now);
}

std::optional<TimePoint> Reputation::banned_until(NetKey key, TimePoint now) const {
  return standing(key, now) == Standing::kBanned ? hosts_.at(key).banned_until : std::nullopt;
}

std::vector<std::string> Reputation::take_ended(TimePoint now) {
  std::vector<std::string> ended;
  for (auto it = oldest_.begin(); it != oldest_.end();) {
    Host& one = hosts_.at(*it);
    const NetKey key = *it++;
    if (!one.banned_until.has_value() || *one.banned_until > now) {
      continue;
    }
    ended.push_back(one.name);
    // The sentence is served: the score that led to it would ban again at the next trifle.
    oldest_.erase(one.place);
    hosts_.erase(key);
    --banned_;
  }
  return ended;
}

std::optional<TimePoint> Reputation::next_end() const {
  std::optional<TimePoint> next;
  if (banned_ > 0) {
    for (const auto& [key, one] : hosts_) {
      if (one.banned_until.has_value()) {
        next = std::min(next.value_or(*one.banned_until), *one.banned_until);
      }
    }
  }
  return next;
}

std::vector<Reputation::Saved> Reputation::saved(TimePoint now) const {
  std::vector<Saved> all;
  for (const NetKey& key : oldest_) {
    const Host& one = hosts_.at(key);
    const Duration left =
        one.banned_until.has_value() ? std::max(*one.banned_until - now, Duration{0}) : Duration{0};
    if (one.score.lasting() > 0 || left > Duration{0}) {
      all.push_back({one.name, one.score.lasting(), left});
    }
  }
  return all;
}

void Reputation::restore(NetKey key, const Saved& saved, TimePoint now) {
  host(key, saved.name).score.add(saved.lasting, 0, settings_.score, now);
  if (saved.ban_left > Duration{0}) {
    ban(key, saved.name, saved.ban_left, now);
  }
}

}  // namespace trunkline::peers
