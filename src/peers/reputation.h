// SPDX-License-Identifier: Apache-2.0
//
// What hosts have done wrong. A host has a score of two parts: one that lasts and one that halves
// every minute. Scores belong to hosts and not to connections, so that coming back does not wash
// them off, and they are kept in a table of bounded size.
#pragma once

#include "core/time.h"
#include "peers/address.h"

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace trunkline::peers {

struct ScoreSettings {
  Duration half_life = std::chrono::seconds(60);
  Duration forgotten_after = std::chrono::seconds(1800);
};

// Decays when it is read: an idle host costs nothing. Thread: the owner's.
class BanScore {
 public:
  // Adds to both parts; negative or not finite amounts count as 0.
  void add(double lasting, double decaying, const ScoreSettings& settings, TimePoint now);
  [[nodiscard]] double at(const ScoreSettings& settings, TimePoint now) const;

  [[nodiscard]] double lasting() const { return lasting_; }

 private:
  [[nodiscard]] double decayed(const ScoreSettings& settings, TimePoint now) const;

  double lasting_ = 0;
  double decaying_ = 0;  // as of `at_`
  TimePoint at_;
};

enum class Standing : std::uint8_t { kGood, kDiscouraged, kBanned };

struct ReputationSettings {
  ScoreSettings score;
  double discourage = 50;
  double ban = 100;
  Duration ban_duration = std::chrono::hours(24);
  std::size_t hosts_max = 10'000;
};

// Thread: the owner's.
class Reputation {
 public:
  explicit Reputation(ReputationSettings settings) : settings_(settings) {}

  // Adds a penalty; returns the standing when this changed it for the worse. Hosts that are allowed
  // have none.
  std::optional<Standing> penalize(NetKey host, std::string_view name, double lasting,
                                   double decaying, TimePoint now);
  // Bans it for so long, whatever its score; not one that is allowed. Returns whether it is banned
  // now and was not.
  bool ban(NetKey host, std::string_view name, Duration duration, TimePoint now);
  // Ends a ban and forgets the score; whether there was a ban.
  bool forgive(NetKey host, TimePoint now);

  // Never penalized or banned from now on; a ban ends.
  void allow(NetKey host) { allowed_.insert(host); }

  [[nodiscard]] bool is_allowed(NetKey host) const { return allowed_.contains(host); }

  [[nodiscard]] Standing standing(NetKey host, TimePoint now) const;
  [[nodiscard]] double score(NetKey host, TimePoint now) const;

  // Until when; nothing when it is not banned.
  [[nodiscard]] std::optional<TimePoint> banned_until(NetKey host, TimePoint now) const;

  // The names of hosts whose bans have ended since the last call.
  std::vector<std::string> take_ended(TimePoint now);
  // When the next ban ends.
  [[nodiscard]] std::optional<TimePoint> next_end() const;

  [[nodiscard]] std::size_t banned_count() const { return banned_; }

  [[nodiscard]] std::size_t size() const { return hosts_.size(); }

  struct Saved {
    std::string name;
    double lasting = 0;
    Duration ban_left{0};
  };

  // What outlives the process: lasting parts and bans.
  [[nodiscard]] std::vector<Saved> saved(TimePoint now) const;
  void restore(NetKey host, const Saved& saved, TimePoint now);

 private:
  struct Host {
    BanScore score;
    std::string name;
    std::optional<TimePoint> banned_until;
    std::list<NetKey>::iterator place;  // in `oldest_`
  };

  Host& host(NetKey key, std::string_view name);
  void forget_one();

  const ReputationSettings settings_;
  std::unordered_map<NetKey, Host, NetKeyHash> hosts_;
  std::list<NetKey> oldest_;  // by last penalty
  std::unordered_set<NetKey, NetKeyHash> allowed_;
  std::size_t banned_ = 0;
};

}  // namespace trunkline::peers
