// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/position.h>

#include "hub/publication.h"
#include "replay/frame_encoder.h"

#include <string>
#include <string_view>

namespace trunkline::hub {

// What the hub puts on the wire by itself, as whole WebSocket frames. The hub moves bytes and knows
// no protocol; session/ implements this. Immutable: one codec serves all shards.
class Codec {
 public:
  Codec() = default;
  Codec(const Codec&) = delete;
  Codec& operator=(const Codec&) = delete;
  virtual ~Codec() = default;

  struct Publish {
    std::string_view channel;
    const NewPublication& publication;
    bool with_offset;  // the channel has history, so the position means something to the client
  };

  // A publication of the log.
  [[nodiscard]] virtual replay::EncodedFrame publication_frame(const Publish& publish,
                                                               std::string_view epoch,
                                                               Offset offset) const = 0;
  // A publication that passes the log by.
  [[nodiscard]] virtual std::string unlogged_frame(std::string_view channel,
                                                   const NewPublication& publication) const = 0;
  [[nodiscard]] virtual std::string join_frame(std::string_view channel,
                                               const ClientInfo& info) const = 0;
  [[nodiscard]] virtual std::string leave_frame(std::string_view channel,
                                                const ClientInfo& info) const = 0;
};

}  // namespace trunkline::hub
