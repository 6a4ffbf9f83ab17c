// SPDX-License-Identifier: Apache-2.0
#include "replay/log.h"

#include "core/probe.h"

#include <algorithm>

namespace trunkline::replay {

Offset Log::append(const FrameEncoder& encoder, TimePoint now) {
  const Offset offset = head().next();
  const EncodedFrame frame = encoder.encode(epoch_, offset);
  const std::size_t bytes = frame.bytes.size();
  if (!segment_ || position_ + bytes > segment_->end()) {
    const std::size_t doubled = segment_ ? segment_->capacity() * 2 : kSegmentBytesMin;
    const std::size_t capacity = std::max(bytes, std::min(doubled, kSegmentBytesMax));
    position_ = segment_ ? segment_->end() : position_;
    segment_ = std::make_shared<Segment>(position_, capacity);
  }
  std::ranges::copy(frame.bytes, segment_->at(position_));
  window_.push(Record{.begin = position_,
                      .frame_bytes = static_cast<std::uint32_t>(bytes),
                      .body_begin = frame.body_begin,
                      .body_bytes = frame.body_bytes,
                      .time = now},
               segment_);
  position_ += bytes;
  return offset;
}

Offset Log::history_first(const Retention& retention, TimePoint now) const {
  return std::max(first_within(retention, now), history_begin_);
}

Offset Log::first_within(const Retention& retention, TimePoint now) const {
  if (retention.count_max == 0) {
    return head().next();
  }
  Offset first = window_.first();
  if (window_.size() > retention.count_max) {
    first = Offset{head().value + (TRUNKLINE_MUTANT("history-one-short") ? 2 : 1) -
                   retention.count_max};
  }
  // Positions and times only grow, so both limits are found by halving. The newest publication
  // stays whatever its size.
  std::uint64_t low = first.value;
  std::uint64_t high = head().value + 1;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    const Record& record = window_.record(Offset{middle});
    const bool too_old = record.time + retention.age_max <= now;
    const bool too_far = retention.bytes_max > 0 && middle != head().value &&
                         position_ - record.begin > retention.bytes_max;
    if (too_old || too_far) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return Offset{low};
}

void Log::trim(const Retention& retention, TimePoint now) {
  window_.trim_before(std::min(history_first(retention, now), first_within(kCatchUp, now)));
  leave_segment_if_empty();
}

TimePoint Log::expires_at(const Retention& retention) const {
  const bool is_history = retention.count_max > 0 && window_.first() >= history_begin_;
  const Duration history = is_history ? retention.age_max : Duration{0};
  return window_.record(window_.first()).time + std::max(history, kCatchUp.age_max);
}

void Log::clear() {
  window_.trim_before(head().next());
  leave_segment_if_empty();
}

void Log::leave_segment_if_empty() {
  if (window_.empty() && segment_) {
    position_ = segment_->end();
    segment_.reset();
  }
}

void Log::trim_half() {
  window_.trim_before(Offset{window_.first().value + (window_.size() + 1) / 2});
  leave_segment_if_empty();
}

}  // namespace trunkline::replay
