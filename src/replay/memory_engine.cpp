// SPDX-License-Identifier: Apache-2.0
#include "replay/memory_engine.h"

#include "core/assert.h"
#include "core/probe.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace trunkline::replay {

struct MemoryEngine::Entry final : Timer, ListHook<MemoryEngine::ByUse> {
  Entry(MemoryEngine& owner, std::string name, std::string epoch, const Retention& keep)
      : engine(owner), channel(std::move(name)), log(std::move(epoch)), retention(keep) {}

  // The oldest publication has become too old, or the time of the position is over.
  void on_timer(TimePoint now) override {
    log.trim(retention, now);
    engine.account(*this);
    if (forget_at.has_value() && *forget_at <= now) {
      TRUNKLINE_SOMETIMES("position forgotten");
      engine.erase(*this);
      return;
    }
    engine.arm(*this);
  }

  MemoryEngine& engine;
  std::string channel;
  Log log;
  Retention retention;
  std::size_t accounted_bytes = 0;
  std::optional<TimePoint> forget_at;  // set while released
};

MemoryEngine::MemoryEngine(MemoryEngineOptions options, TimerWheel& timers, Random& random)
    : options_(options), timers_(timers), random_(random) {}

MemoryEngine::~MemoryEngine() = default;

MemoryEngine::Entry& MemoryEngine::entry(std::string_view channel) {
  const auto found = entries_.find(channel);
  TRUNKLINE_ASSERT(found != entries_.end());
  return *found->second;
}

const Log& MemoryEngine::open(std::string_view channel, const Retention& retention) {
  auto found = entries_.find(channel);
  if (found == entries_.end()) {
    // Eight letters: two epochs of one channel are the same once in 2·10^14. "_" is the protocol's
    // sentinel that matches nothing and can not come out.
    auto made = std::make_unique<Entry>(*this, std::string(channel), random_.text(8), retention);
    found = entries_.emplace(made->channel, std::move(made)).first;
    account(*found->second);
  }
  Entry& opened = *found->second;
  opened.retention = retention;
  opened.forget_at.reset();
  arm(opened);
  return opened.log;
}

void MemoryEngine::append(std::string_view channel, const FrameEncoder& encoder, TimePoint now,
                          AppendDone done) {
  Entry& target = entry(channel);
  const Offset offset = target.log.append(encoder, now);
  static_cast<ListHook<ByUse>&>(target).unlink();
  by_use_.push_back(target);
  account(target);
  if (!target.is_armed()) {
    arm(target);
  }
  done(offset);
}

void MemoryEngine::trim(std::string_view channel, TimePoint now) {
  Entry& target = entry(channel);
  target.log.trim(target.retention, now);
  account(target);
  // Not at the append: what was appended in this turn was not handed out then.
  evict(target);
}

void MemoryEngine::clear(std::string_view channel) {
  Entry& target = entry(channel);
  target.log.end_history();
  arm(target);
}

void MemoryEngine::release(std::string_view channel, Duration meta_ttl, TimePoint now) {
  Entry& target = entry(channel);
  if (meta_ttl <= Duration{0}) {
    erase(target);
    return;
  }
  target.forget_at = now + meta_ttl;
  arm(target);
}

EngineStats MemoryEngine::stats() const {
  EngineStats result = stats_;
  result.logs = entries_.size();
  result.fixed_bytes = entries_.size() * sizeof(Entry);
  return result;
}

void MemoryEngine::account(Entry& entry) {
  const std::size_t bytes = entry.log.window().memory_bytes() + sizeof(Entry);
  stats_.memory_bytes += bytes;
  stats_.memory_bytes -= std::exchange(entry.accounted_bytes, bytes);
  if (entry.log.window().empty()) {
    static_cast<ListHook<ByUse>&>(entry).unlink();
  }
}

void MemoryEngine::evict(Entry& keep) {
  while (stats_.memory_bytes > options_.total_bytes_max) {
    Entry* quietest = by_use_.front();
    if (quietest == nullptr) {
      return;
    }
    if (quietest != &keep) {
      TRUNKLINE_SOMETIMES("quiet log evicted");
      clear(*quietest);
      continue;
    }
    const std::size_t held = quietest->log.window().size();
    if (held <= 1) {
      return;
    }
    // The last one with anything to give: its newest publication is still to be delivered.
    quietest->log.trim_half();
    stats_.evicted_publications += held - quietest->log.window().size();
    account(*quietest);
  }
}

void MemoryEngine::clear(Entry& entry) {
  ++stats_.evicted_logs;
  stats_.evicted_publications += entry.log.window().size();
  entry.log.clear();
  account(entry);
}

void MemoryEngine::shrink(std::size_t bytes) {
  const std::uint64_t before = stats_.memory_bytes;
  while (Entry* quietest = by_use_.front()) {
    if (before - stats_.memory_bytes >= bytes) {
      return;
    }
    clear(*quietest);
  }
}

void MemoryEngine::arm(Entry& entry) {
  std::optional<TimePoint> due = entry.forget_at;
  if (!entry.log.window().empty()) {
    const TimePoint expires = entry.log.expires_at(entry.retention);
    due = due.has_value() ? std::min(*due, expires) : expires;
  }
  if (due.has_value()) {
    timers_.arm(entry, *due);
  } else {
    timers_.disarm(entry);
  }
}

void MemoryEngine::erase(Entry& entry) {
  if (!TRUNKLINE_MUTANT("memory-not-given-back")) {
    stats_.memory_bytes -= entry.accounted_bytes;
  }
  entries_.erase(entries_.find(entry.channel));
}

}  // namespace trunkline::replay
