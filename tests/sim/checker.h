// SPDX-License-Identifier: Apache-2.0
//
// What is true, and who is told something else. The truth is what each home shard's engine
// appended, in its order (RecordingEngine looks on); clients hand in everything that they are told.
#pragma once

#include <trunkline/position.h>

#include "core/time.h"
#include "replay/engine.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trunkline::sim {

// A publication as its home ordered it, and the state of the channel's subject after it.
struct Published {
  std::string body;
  TimePoint time;
  std::uint64_t bytes_before = 0;  // of the frames of all earlier ones of the epoch
  std::uint64_t frame_bytes = 0;
  std::uint64_t sum = 0;
};

// One epoch of one channel's log.
struct EpochLog {
  std::string epoch;
  Offset floor;                      // the first offset that was never cleared or evicted
  std::vector<Published> published;  // published[0] has offset 1

  [[nodiscard]] Offset head() const { return Offset{published.size()}; }

  [[nodiscard]] const Published& at(Offset offset) const { return published[offset.value - 1]; }
};

// Where a publication went, by the serial number inside its data.
struct Placed {
  std::string channel;
  const EpochLog* log = nullptr;  // none: it passed the log by
  Offset offset;
};

// The state of a channel's subject as a snapshot shows it: {"sum":…,"count":…}.
[[nodiscard]] std::string fold_text(std::uint64_t sum, std::uint64_t count);

class Checker {
 public:
  // The clock of the simulation.
  explicit Checker(const TimePoint& now) : now_(now) {}

  Checker(const Checker&) = delete;
  Checker& operator=(const Checker&) = delete;
  ~Checker() = default;

  // The first thing that went wrong counts.
  void violated(std::string_view check, std::string detail);

  [[nodiscard]] bool failed() const { return !check_.empty(); }

  [[nodiscard]] const std::string& check() const { return check_; }

  [[nodiscard]] const std::string& detail() const { return detail_; }

  // — what the engines report —
  void opened(std::string_view channel, const std::string& epoch);
  void appended(std::string_view channel, Offset offset, std::string_view body,
                std::uint64_t frame_bytes, std::uint64_t serial, std::uint64_t value);
  void cleared(std::string_view channel, const std::string& epoch, Offset first);

  // — questions —
  [[nodiscard]] const EpochLog* current(std::string_view channel) const;
  [[nodiscard]] const EpochLog* find(std::string_view channel, std::string_view epoch) const;
  [[nodiscard]] const Placed* placed(std::uint64_t serial) const;
  void note_unlogged(std::uint64_t serial, std::string channel);

  // Whether everything after `seen` has been within the retention until now, so that nobody may be
  // told otherwise.
  [[nodiscard]] bool certainly_held(std::string_view channel, const Position& seen,
                                    const replay::Retention& retention) const;
  // Whether something after `seen` was beyond the retention's count when the head was `head`.
  [[nodiscard]] static bool certainly_gone(const Position& seen, Offset head,
                                           const replay::Retention& retention);

  // The publication that a client was given as `offset` is the one of the log.
  bool check_body(std::string_view who, std::string_view channel, std::string_view epoch,
                  Offset offset, std::string_view body);

 private:
  const TimePoint& now_;
  std::string check_;
  std::string detail_;
  // Epochs in their order; a map and single allocations, so that pointers stay.
  std::map<std::string, std::vector<std::unique_ptr<EpochLog>>, std::less<>> channels_;
  std::unordered_map<std::uint64_t, Placed> placed_;
};

// Looks on while another engine works. Thread: as the other.
class RecordingEngine final : public replay::Engine {
 public:
  RecordingEngine(replay::Engine& engine, Checker& checker) : engine_(engine), checker_(checker) {}

  const replay::Log& open(std::string_view channel, const replay::Retention& retention) override;
  void append(std::string_view channel, const replay::FrameEncoder& encoder, TimePoint now,
              AppendDone done) override;
  void trim(std::string_view channel, TimePoint now) override;
  void clear(std::string_view channel) override;
  void release(std::string_view channel, Duration meta_ttl, TimePoint now) override;

  [[nodiscard]] replay::EngineStats stats() const override { return engine_.stats(); }

 private:
  replay::Engine& engine_;
  Checker& checker_;
  std::map<std::string, const replay::Log*, std::less<>> open_;
  std::map<std::string, Position, std::less<>> released_;
};

// The number behind "name": in a publication's data; 0 when there is none.
[[nodiscard]] std::uint64_t number_of(std::string_view body, std::string_view name);

}  // namespace trunkline::sim
