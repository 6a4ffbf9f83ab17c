// SPDX-License-Identifier: Apache-2.0
//
// Logs in memory: bounded a channel by count, bytes and age, and in total; the log that was quiet
// for longest is emptied first. Nothing survives a restart: every log then has another epoch, so an
// old position is answered "insufficient" and never with a silent gap.
#pragma once

#include "core/intrusive_list.h"
#include "core/random.h"
#include "core/string_map.h"
#include "core/timer_wheel.h"
#include "replay/engine.h"

#include <cstddef>
#include <memory>
#include <string>

namespace trunkline::replay {

struct MemoryEngineOptions {
  // Memory of all logs of this engine (segments and indexes), bytes.
  std::size_t total_bytes_max = 256UL * 1024 * 1024;
};

class MemoryEngine final : public Engine {
 public:
  // The wheel and the random source must outlive the engine.
  MemoryEngine(MemoryEngineOptions options, TimerWheel& timers, Random& random);
  ~MemoryEngine() override;

  const Log& open(std::string_view channel, const Retention& retention) override;
  void append(std::string_view channel, const FrameEncoder& encoder, TimePoint now,
              AppendDone done) override;
  void trim(std::string_view channel, TimePoint now) override;
  void clear(std::string_view channel) override;
  void release(std::string_view channel, Duration meta_ttl, TimePoint now) override;
  [[nodiscard]] EngineStats stats() const override;

  // Forgets publications, those of the quietest log first, until `bytes` less are held or there are
  // none left; positions stay. To be called after a turn's publications have been handed out.
  void shrink(std::size_t bytes);

 private:
  struct Entry;
  struct ByUse;

  Entry& entry(std::string_view channel);
  void account(Entry& entry);
  void evict(Entry& keep);
  void clear(Entry& entry);
  void arm(Entry& entry);
  void erase(Entry& entry);

  const MemoryEngineOptions options_;
  TimerWheel& timers_;
  Random& random_;
  EngineStats stats_;
  StringMap<std::unique_ptr<Entry>> entries_;
  IntrusiveList<Entry, ByUse> by_use_;  // of those with publications, quietest first
};

}  // namespace trunkline::replay
