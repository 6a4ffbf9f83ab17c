// SPDX-License-Identifier: Apache-2.0
//
// One channel's replay log on its home shard: the only place that gives out offsets.
#pragma once

#include <trunkline/position.h>

#include "core/time.h"
#include "replay/frame_encoder.h"
#include "replay/window.h"

#include <cstddef>
#include <string>

namespace trunkline::replay {

// How much history a log offers. All limits apply together.
struct Retention {
  std::size_t count_max = 0;  // publications
  std::size_t bytes_max = 0;  // of frames; 0: no limit of its own
  Duration age_max{0};        // since it was appended
};

// What a log keeps beside its history, for cursors that are a little behind: a channel without
// history still delivers to a subscriber whose socket was full for a moment.
inline constexpr Retention kCatchUp{
    .count_max = 4096, .bytes_max = 256UL * 1024, .age_max = std::chrono::seconds(30)};

// Thread: the channel's home shard.
class Log {
 public:
  // `epoch`: fresh random text. Offsets begin behind `head`, at 1.
  explicit Log(std::string epoch, Offset head = {}) : epoch_(std::move(epoch)), window_(head) {}

  [[nodiscard]] const std::string& epoch() const { return epoch_; }

  [[nodiscard]] Offset head() const { return window_.head(); }

  [[nodiscard]] Position top() const { return Position{epoch_, head()}; }

  [[nodiscard]] const Window& window() const { return window_; }

  // Encodes the publication behind the newest and returns its offset.
  Offset append(const FrameEncoder& encoder, TimePoint now);

  // The first offset of the history: what a reader of history, or one that resumes, may be given.
  // It is head().next() when there is none.
  [[nodiscard]] Offset history_first(const Retention& retention, TimePoint now) const;
  // Forgets what is neither history nor within kCatchUp.
  void trim(const Retention& retention, TimePoint now);

  // Nothing of what there is belongs to the history any more; it goes with the next trim after
  // kCatchUp, so that those who are connected lose nothing.
  void end_history() { history_begin_ = head().next(); }

  // Forgets all publications; the position stays (the channel goes on counting).
  void clear();
  // Forgets the older half, at least one publication.
  void trim_half();

  // When the oldest publication becomes too old to be kept. The log must not be empty.
  [[nodiscard]] TimePoint expires_at(const Retention& retention) const;

 private:
  [[nodiscard]] Offset first_within(const Retention& limits, TimePoint now) const;
  void leave_segment_if_empty();

  // Segments double from the first to the last size, so that a quiet channel stays small.
  static constexpr std::size_t kSegmentBytesMin = 1024;
  static constexpr std::size_t kSegmentBytesMax = 256UL * 1024;

  std::string epoch_;
  Window window_;
  Offset history_begin_;        // of the first publication after end_history()
  SegmentRef segment_;          // the one that is written to; absent after everything was forgotten
  std::uint64_t position_ = 0;  // in the byte stream, of the next frame
};

}  // namespace trunkline::replay
