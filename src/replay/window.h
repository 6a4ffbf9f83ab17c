// SPDX-License-Identifier: Apache-2.0
//
// What a shard can read of a channel's log: the newest publications as wire frames that lie one
// behind the other in memory, and an index over them. The home shard's log has one; every other
// shard with subscribers has one that refers to the same bytes.
//
// Terms: the window holds the offsets first() … head(), without a hole; it is empty when first() is
// head().next(). What a reader at `next` is owed is the run of bytes from the frame of `next` to
// the end of the newest: one slice, whether it is one message or sixty.
#pragma once

#include <trunkline/position.h>

#include "core/ring.h"
#include "core/time.h"
#include "replay/segment.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace trunkline::replay {

// Where a publication's parts lie.
struct Record {
  std::uint64_t begin = 0;  // of its frame in the channel's byte stream
  std::uint32_t frame_bytes = 0;
  std::uint32_t body_begin = 0;  // of the publication alone, from the frame's first byte
  std::uint32_t body_bytes = 0;
  TimePoint time;  // when it was appended
};

// Contiguous frames.
struct Run {
  std::string_view bytes;  // valid until the window is trimmed
  Offset next;             // the offset that follows the last frame of the run
};

// Where a reader stands after a number of bytes of a run were taken.
struct Settled {
  Offset next;                 // the first offset of which not a single byte was taken
  std::string_view remainder;  // what is left of the frame that was taken in part
};

// Thread: owning shard (each shard has its own; segments are shared).
class Window {
 public:
  // An empty window behind `head`.
  explicit Window(Offset head = {}) : first_(head.next()) {}

  [[nodiscard]] Offset first() const { return first_; }

  [[nodiscard]] Offset head() const { return Offset{first_.value + records_.size() - 1}; }

  [[nodiscard]] bool empty() const { return records_.empty(); }

  [[nodiscard]] std::size_t size() const { return records_.size(); }

  // Whether a reader that needs `next` can go on: it is in the window or just behind its head.
  [[nodiscard]] bool holds(Offset next) const { return next >= first_; }

  // `offset` must be in the window.
  [[nodiscard]] const Record& record(Offset offset) const;
  [[nodiscard]] std::string_view frame(Offset offset) const;
  [[nodiscard]] std::string_view body(Offset offset) const;

  // The frames from `next` on that lie together, at most `bytes_max` but at least one; empty when
  // `next` is behind the head. `next` must not be before first().
  [[nodiscard]] Run run(Offset next, std::size_t bytes_max) const;
  // `next` as given to run(), `taken` at most the size of what it returned.
  [[nodiscard]] Settled settle(Offset next, std::size_t taken) const;

  // The record follows the head; the segment is the last one pushed or a new one.
  void push(const Record& record, const SegmentRef& segment);
  // Forgets everything before `first`; at most all of it.
  void trim_before(Offset first);

  // Memory that the window keeps alive, bytes.
  [[nodiscard]] std::size_t memory_bytes() const {
    return segment_bytes_ + records_.capacity_bytes();
  }

  // Bytes of the frames in the window.
  [[nodiscard]] std::uint64_t frame_bytes() const;
  // The segments from the one that holds `offset` on, for a copy of the window's end.
  [[nodiscard]] const SegmentRef& segment_of(const Record& record) const;

 private:
  Offset first_;
  Ring<Record> records_;
  Ring<SegmentRef> segments_;
  std::size_t segment_bytes_ = 0;

  // Subscribers of a channel mostly stand at the same place: the last answer of run() is kept.
  mutable Run cached_;
  mutable Offset cached_next_;
  mutable std::size_t cached_max_ = 0;
};

}  // namespace trunkline::replay
