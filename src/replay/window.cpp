// SPDX-License-Identifier: Apache-2.0
#include "replay/window.h"

#include "core/assert.h"

namespace trunkline::replay {

const Record& Window::record(Offset offset) const {
  TRUNKLINE_ASSERT(offset >= first_ && offset <= head());
  return records_[offset.value - first_.value];
}

const SegmentRef& Window::segment_of(const Record& record) const {
  // Newest first: live readers stand at the end.
  for (std::size_t i = segments_.size(); i-- > 0;) {
    if (segments_[i]->begin() <= record.begin) {
      return segments_[i];
    }
  }
  assert_failed("a record's segment is in its window", __FILE__, __LINE__);
}

std::string_view Window::frame(Offset offset) const {
  const Record& found = record(offset);
  return {segment_of(found)->at(found.begin), found.frame_bytes};
}

std::string_view Window::body(Offset offset) const {
  const Record& found = record(offset);
  return {segment_of(found)->at(found.begin) + found.body_begin, found.body_bytes};
}

Run Window::run(Offset next, std::size_t bytes_max) const {
  if (next == cached_next_ && bytes_max == cached_max_) {
    return cached_;
  }
  if (next > head()) {
    return Run{{}, next};
  }
  const Record& from = record(next);
  const SegmentRef& segment = segment_of(from);
  // The last record that begins in the segment and ends within bytes_max; records are ordered by
  // position, so it is found by halving.
  std::uint64_t low = next.value;
  std::uint64_t high = head().value;
  while (low < high) {
    const std::uint64_t middle = low + (high - low + 1) / 2;
    const Record& candidate = record(Offset{middle});
    const bool fits = candidate.begin < segment->end() &&
                      candidate.begin + candidate.frame_bytes - from.begin <= bytes_max;
    if (fits) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const Record& last = record(Offset{low});
  cached_ =
      Run{{segment->at(from.begin), last.begin + last.frame_bytes - from.begin}, Offset{low + 1}};
  cached_next_ = next;
  cached_max_ = bytes_max;
  return cached_;
}

Settled Window::settle(Offset next, std::size_t taken) const {
  if (taken == 0) {
    return Settled{next, {}};
  }
  // Most often the whole of what run() gave was taken.
  if (next == cached_next_ && taken == cached_.bytes.size()) {
    return Settled{cached_.next, {}};
  }
  const std::uint64_t position = record(next).begin + taken;
  // The last record that begins before `position`: the one whose bytes were taken last.
  std::uint64_t low = next.value;
  std::uint64_t high = head().value;
  while (low < high) {
    const std::uint64_t middle = low + (high - low + 1) / 2;
    if (record(Offset{middle}).begin < position) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const Record& last = record(Offset{low});
  const std::uint64_t end = last.begin + last.frame_bytes;
  TRUNKLINE_ASSERT(position <= end);
  return Settled{Offset{low + 1}, {segment_of(last)->at(position), end - position}};
}

void Window::push(const Record& record, const SegmentRef& segment) {
  TRUNKLINE_ASSERT(record.begin >= segment->begin() &&
                   record.begin + record.frame_bytes <= segment->end());
  if (segments_.empty() || segments_.back() != segment) {
    segments_.push_back(segment);
    segment_bytes_ += segment->capacity();
  }
  records_.push_back(record);
  cached_next_ = Offset{};
}

void Window::trim_before(Offset first) {
  if (first <= first_) {
    return;
  }
  cached_next_ = Offset{};
  while (first_ < first && !records_.empty()) {
    records_.pop_front();
    first_ = first_.next();
  }
  if (records_.empty()) {
    records_.clear();
    segments_.clear();
    segment_bytes_ = 0;
    return;
  }
  while (segments_.front()->end() <= records_.front().begin) {
    segment_bytes_ -= segments_.front()->capacity();
    segments_.pop_front();
  }
}

std::uint64_t Window::frame_bytes() const {
  // Includes what was left unused at the end of full segments.
  return records_.empty()
             ? 0
             : records_.back().begin + records_.back().frame_bytes - records_.front().begin;
}

}  // namespace trunkline::replay
