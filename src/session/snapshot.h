// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/position.h>

#include "hub/messages.h"

#include <optional>
#include <string>
#include <string_view>

namespace trunkline::session {

// The state of a channel's subject, for a subscriber that begins.
struct Snapshot {
  std::string data;  // raw JSON
  // The last publication that the state contains. Without it, the position at which the subscriber
  // was attached is taken, which is before the snapshot was asked for.
  std::optional<Position> position;
};

// Gives snapshots. The subscriber was registered before; it gets the snapshot and then everything
// after its position, however long it took. Thread: owning shard.
class SnapshotProvider {
 public:
  SnapshotProvider() = default;
  SnapshotProvider(const SnapshotProvider&) = delete;
  SnapshotProvider& operator=(const SnapshotProvider&) = delete;
  virtual ~SnapshotProvider() = default;

  // Whether subscribers of the channel get a snapshot.
  [[nodiscard]] virtual bool covers(std::string_view channel) const = 0;
  // Calls `done` once, on this shard, at once or at any later time.
  virtual void take(const std::string& channel, const Position& attached,
                    hub::Done<Snapshot> done) = 0;
};

}  // namespace trunkline::session
