// SPDX-License-Identifier: Apache-2.0
//
// Where logs live. The memory engine keeps them in the process; an engine on disk or in Redis
// implements the same interface and answers an append when it is durable there. One engine object
// serves the channels whose home is one shard.
#pragma once

#include <trunkline/error.h>
#include <trunkline/position.h>

#include "core/time.h"
#include "replay/frame_encoder.h"
#include "replay/log.h"

#include <cstdint>
#include <functional>
#include <string_view>

namespace trunkline::replay {

struct EngineStats {
  std::uint64_t logs = 0;
  std::uint64_t memory_bytes = 0;  // held now
  std::uint64_t fixed_bytes = 0;   // of it, what is held for positions and can not be evicted
  std::uint64_t evicted_logs = 0;  // emptied because the total was reached
  std::uint64_t evicted_publications = 0;
};

// Thread: the shard whose channels it serves.
class Engine {
 public:
  using AppendDone = std::move_only_function<void(Result<Offset>)>;

  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  // The channel's log, made with a new epoch when there is none: a position exists from the first
  // subscription on, not only after a first publication. Valid until release().
  virtual const Log& open(std::string_view channel, const Retention& retention) = 0;

  // Appends to an open log and calls `done` when the publication is as durable as the
  // engine makes it; from inside the call or later, once.
  virtual void append(std::string_view channel, const FrameEncoder& encoder, TimePoint now,
                      AppendDone done) = 0;

  // Forgets what the log's retention does not allow. Called after a turn's publications have been
  // handed out, so that even a history of one loses nothing for those who are connected.
  virtual void trim(std::string_view channel, TimePoint now) = 0;

  // Ends the history of an open log: no reader is given its publications any more, and they are
  // forgotten once those who are connected had the time to take them. Its position stays.
  virtual void clear(std::string_view channel) = 0;

  // The caller needs the log no more. The engine keeps the position (and what the retention
  // allows) until `meta_ttl` has passed; 0 forgets both at once.
  virtual void release(std::string_view channel, Duration meta_ttl, TimePoint now) = 0;

  [[nodiscard]] virtual EngineStats stats() const = 0;
};

}  // namespace trunkline::replay
