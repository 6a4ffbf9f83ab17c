// SPDX-License-Identifier: Apache-2.0
//
// One connection's write side: what goes out next, and what is too much.
//
// There is one writer: only the owning shard touches an outbox, and only the connection's flush
// takes bytes from it. A producer gets a verdict, never blocks and never waits. The order on the
// wire: the rest of a frame that was written in part; control frames; replies and pushes in their
// order; then the sources (cursors), one run each and in turn; last the Close frame. So a ping
// waits for at most one frame, whatever is queued.
//
// Sources are the reason why a slow client costs nothing: what it is owed stays in the shared logs,
// the outbox holds at most the rest of one frame of it.
#pragma once

#include "core/intrusive_list.h"
#include "core/ring.h"
#include "core/time.h"
#include "outbox/source.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline::outbox {

enum class Verdict : std::uint8_t {
  kAccepted,
  kFull,    // the budget is used up: nothing was queued
  kClosed,  // the Close frame has been queued: nothing was queued
};

struct OutboxOptions {
  // Bytes of replies and pushes that may wait; a single one may be larger when nothing waits.
  std::size_t high_water_bytes = 256UL * 1024;
  // How long the oldest byte handed over may wait for the socket.
  Duration write_deadline = std::chrono::seconds(10);

  friend bool operator==(const OutboxOptions&, const OutboxOptions&) = default;
};

struct OutboxStats {
  std::uint64_t refused = 0;     // verdicts kFull
  std::uint64_t high_water = 0;  // times that the mark was reached

  OutboxStats& operator+=(const OutboxStats& other) {
    refused += other.refused;
    high_water += other.high_water;
    return *this;
  }
};

// What one flush writes: spans in wire order and where each came from. One object serves all
// connections of a shard, since no plan outlives a flush.
class Plan {
 public:
  static constexpr std::size_t kSpansMax = 64;

  [[nodiscard]] std::span<const std::string_view> spans() const { return {spans_.data(), count_}; }

  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  [[nodiscard]] bool empty() const { return count_ == 0; }

 private:
  friend class Outbox;
  enum class Part : std::uint8_t { kRest, kControl, kData, kSource, kClose };

  void clear() { count_ = bytes_ = 0; }

  [[nodiscard]] bool full() const { return count_ == kSpansMax; }

  void add(Part part, std::string_view span, Source* source = nullptr) {
    spans_[count_] = span;
    parts_[count_] = part;
    sources_[count_] = source;
    bytes_ += span.size();
    ++count_;
  }

  std::array<std::string_view, kSpansMax> spans_;
  std::array<Part, kSpansMax> parts_{};
  std::array<Source*, kSpansMax> sources_{};
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

// Thread: owning shard.
class Outbox {
 public:
  // What one flush takes from one source, so that channels take turns on a busy connection.
  static constexpr std::size_t kRunBytesMax = 256UL * 1024;
  // Of the object's beginning: all that a flush reads when only sources have something.
  static constexpr std::size_t kHotBytes = 80;

  // The options must outlive the outbox (they are one object for all connections).
  explicit Outbox(const OutboxOptions& options) : options_(options) {}

  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;
  ~Outbox() = default;

  // Whole frames that nobody asked for.
  [[nodiscard]] Verdict push(std::string frames);
  // Whole frames that answer the peer. Never refused: whoever reads the peer's requests stops
  // reading while above_high_water(), so the peer's own pace bounds them. Dropped when closing.
  void push_reply(std::string frames);
  // A whole control frame, or a protocol ping: overtakes everything at the next frame boundary.
  [[nodiscard]] Verdict push_control(std::string frame);

  // The source is asked at the next flush; it leaves by unlink() or by having nothing.
  void add_source(Source& source) {
    if (!source.is_linked()) {
      sources_.push_back(source);
    }
  }

  // Queues the Close frame behind everything that waits, and refuses what comes later.
  void close(std::string frame);

  // Fills the plan with the next bytes to write, of sources about `bytes_max` at most; it is valid
  // until written() or the next call that changes the outbox.
  void gather(Plan& plan, std::size_t bytes_max = kRunBytesMax);
  // The first `bytes` of the plan were written; the rest could not be.
  void written(const Plan& plan, std::size_t bytes, TimePoint now);

  // Nothing waits and no source is in line.
  [[nodiscard]] bool idle() const {
    return sources_.empty() && rest_.empty() && control_bytes_ == 0 && data_bytes_ == 0 &&
           (!closing_ || close_frame_.empty());
  }

  [[nodiscard]] bool closing() const { return closing_; }

  // The Close frame has been written completely.
  [[nodiscard]] bool close_written() const { return closing_ && close_frame_.empty() && idle(); }

  // Bytes held here: replies, pushes, control frames and the rest of a frame.
  [[nodiscard]] std::size_t pending_bytes() const {
    return rest_.size() - rest_written_ + control_bytes_ + data_bytes_;
  }

  // Whether producers of replies should stop for now.
  [[nodiscard]] bool above_high_water() const { return data_bytes_ >= options_.high_water_bytes; }

  // Sources in line: what they are owed waits in the logs. Counts by walking.
  [[nodiscard]] std::size_t source_count();
  // When the oldest unsent byte has waited too long; nothing while nothing is stuck. A socket that
  // takes a little now and then is held to it all the same.
  [[nodiscard]] std::optional<TimePoint> write_deadline() const;

  [[nodiscard]] const OutboxStats& stats() const { return stats_; }

  // … which begin again.
  [[nodiscard]] OutboxStats take_stats() { return std::exchange(stats_, {}); }

 private:
  void gather_queued(Plan& plan) const;
  void take(const Plan& plan, std::size_t index, std::size_t bytes);
  void note_progress(std::size_t bytes, bool all, TimePoint now);
  void set_rest(std::string_view rest);
  static void pop(Ring<std::string>& queue);

  // First, and together, what a flush of nothing but sources touches: kHotBytes of it.
  IntrusiveList<Source, Source> sources_;
  std::string rest_;  // of a frame that was written in part; always first
  std::size_t rest_written_ = 0;
  std::size_t control_bytes_ = 0;
  std::size_t data_bytes_ = 0;
  bool closing_ = false;
  bool stuck_ = false;
  // … and what it does not.
  const OutboxOptions& options_;
  Ring<std::string> control_;
  Ring<std::string> data_;
  std::string close_frame_;
  TimePoint stuck_since_;
  std::uint64_t stuck_bytes_left_ = 0;  // until the bytes that waited at stuck_since_ are out
  OutboxStats stats_;
};

}  // namespace trunkline::outbox
