// SPDX-License-Identifier: Apache-2.0
#include "outbox/outbox.h"

#include "core/assert.h"
#include "core/probe.h"

#include <algorithm>
#include <utility>

namespace trunkline::outbox {

Verdict Outbox::push(std::string frames) {
  if (closing_) {
    return Verdict::kClosed;
  }
  if (data_bytes_ > 0 && data_bytes_ + frames.size() > options_.high_water_bytes) {
    ++stats_.refused;
    return Verdict::kFull;
  }
  push_reply(std::move(frames));
  return Verdict::kAccepted;
}

void Outbox::push_reply(std::string frames) {
  if (!closing_) {
    const bool was_below = !above_high_water();
    data_bytes_ += frames.size();
    data_.push_back(std::move(frames));
    stats_.high_water += was_below && above_high_water() ? 1U : 0U;
  }
}

Verdict Outbox::push_control(std::string frame) {
  if (closing_) {
    return Verdict::kClosed;
  }
  // A peer that floods pings gets the newest pongs only (RFC 6455, section 5.5.3).
  static constexpr std::size_t kControlFramesMax = 8;
  if (control_.size() == kControlFramesMax) {
    ++stats_.refused;
    return Verdict::kFull;
  }
  control_bytes_ += frame.size();
  control_.push_back(std::move(frame));
  return Verdict::kAccepted;
}

void Outbox::close(std::string frame) {
  if (!closing_) {
    closing_ = true;
    close_frame_ = std::move(frame);
    if (!rest_.empty()) {
      TRUNKLINE_SOMETIMES("close behind a frame written in part");
    }
    if (TRUNKLINE_MUTANT("close-drops-replies")) {
      data_.clear();
    }
  }
}

void Outbox::gather_queued(Plan& plan) const {
  for (std::size_t i = 0; i < control_.size() && !plan.full(); ++i) {
    plan.add(Plan::Part::kControl, control_[i]);
  }
  for (std::size_t i = 0; i < data_.size() && !plan.full(); ++i) {
    plan.add(Plan::Part::kData, data_[i]);
  }
}

void Outbox::gather(Plan& plan, std::size_t bytes_max) {
  plan.clear();
  if (!rest_.empty() && (data_bytes_ == 0 || !TRUNKLINE_MUTANT("rest-behind-data"))) {
    plan.add(Plan::Part::kRest, std::string_view(rest_).substr(rest_written_));
  }
  if (TRUNKLINE_MUTANT("close-overtakes-data") && !close_frame_.empty()) {
    plan.add(Plan::Part::kClose, close_frame_);
  }
  if (control_bytes_ + data_bytes_ > 0) {
    gather_queued(plan);
  }
  bool owed = false;
  for (Source* source = sources_.front(); source != nullptr && !plan.full();) {
    Source* next = sources_.after(*source);
    const std::string_view run = source->peek(bytes_max);
    if (run.empty()) {
      source->unlink();
    } else {
      owed = true;
      plan.add(Plan::Part::kSource, run, source);
      if (plan.bytes() >= bytes_max) {
        break;
      }
    }
    source = next;
  }
  if (closing_ && !owed && !close_frame_.empty() && !plan.full() && sources_.empty() &&
      !TRUNKLINE_MUTANT("close-overtakes-data")) {
    plan.add(Plan::Part::kClose, close_frame_);
  }
}

void Outbox::set_rest(std::string_view rest) {
  rest_.assign(rest);
  rest_written_ = 0;
}

// An empty queue gives its block back: most connections are idle most of the time.
void Outbox::pop(Ring<std::string>& queue) {
  queue.pop_front();
  if (queue.empty()) {
    queue.clear();
  }
}

void Outbox::take(const Plan& plan, std::size_t index, std::size_t bytes) {
  const std::string_view span = plan.spans_[index];
  const bool whole = bytes == span.size();
  switch (plan.parts_[index]) {
    case Plan::Part::kRest:
      rest_written_ += bytes;
      if (whole) {
        rest_ = std::string{};
        rest_written_ = 0;
      }
      break;
    case Plan::Part::kControl:
      if (!whole) {
        set_rest(span.substr(bytes));
      }
      control_bytes_ -= span.size();
      pop(control_);
      break;
    case Plan::Part::kData:
      // An item may be several frames; what is left of it goes first all the same, so that no
      // second kind of "written in part" is needed. Items are bounded by the high-water mark.
      if (!whole) {
        set_rest(span.substr(bytes));
      }
      data_bytes_ -= span.size();
      pop(data_);
      break;
    case Plan::Part::kSource: {
      Source& source = *plan.sources_[index];
      const Source::Taken taken = source.taken(bytes);
      if (!taken.rest.empty() && !TRUNKLINE_MUTANT("remainder-lost")) {
        TRUNKLINE_SOMETIMES("frame written in part");
        set_rest(taken.rest);
      }
      source.unlink();
      if (taken.more && !TRUNKLINE_MUTANT("behind-forgotten")) {
        sources_.push_back(source);  // to the end of the line: sources take turns
      }
      break;
    }
    case Plan::Part::kClose:
      if (!whole) {
        set_rest(span.substr(bytes));
      }
      close_frame_ = std::string{};
      break;
  }
}

void Outbox::written(const Plan& plan, std::size_t bytes, TimePoint now) {
  TRUNKLINE_ASSERT(bytes <= plan.bytes());
  std::size_t left = bytes;
  for (std::size_t i = 0; i < plan.count_ && left > 0; ++i) {
    const std::size_t part = std::min(left, plan.spans_[i].size());
    take(plan, i, part);
    left -= part;
  }
  note_progress(bytes, bytes == plan.bytes(), now);
}

void Outbox::note_progress(std::size_t bytes, bool all, TimePoint now) {
  if (all) {
    stuck_ = false;
    return;
  }
  if (stuck_ && bytes < stuck_bytes_left_) {
    stuck_bytes_left_ -= bytes;
    return;
  }
  // Everything that waited when the clock started is out: what waits now is the oldest.
  stuck_ = true;
  stuck_since_ = now;
  stuck_bytes_left_ = std::max<std::size_t>(pending_bytes(), 1);
}

std::size_t Outbox::source_count() {
  std::size_t count = 0;
  for (Source* source = sources_.front(); source != nullptr; source = sources_.after(*source)) {
    ++count;
  }
  return count;
}

std::optional<TimePoint> Outbox::write_deadline() const {
  if (!stuck_) {
    return std::nullopt;
  }
  return stuck_since_ + options_.write_deadline;
}

}  // namespace trunkline::outbox
