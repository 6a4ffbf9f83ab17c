// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/intrusive_list.h"

#include <cstddef>
#include <string_view>

namespace trunkline::outbox {

class Outbox;

// Wire bytes that a connection is owed and that live somewhere else: a subscription's cursor into
// its channel's log. The outbox asks for them when it can write and keeps none of them.
class Source : public ListHook<Source> {
 public:
  Source() = default;
  virtual ~Source() = default;

  // Contiguous whole frames, at most `bytes_max` bytes but at least one frame; empty when nothing
  // is owed now. Valid until taken() or the end of the turn.
  virtual std::string_view peek(std::size_t bytes_max) = 0;

  // What follows once some bytes were written.
  struct Taken {
    std::string_view rest;  // of the frame that was written in part: the outbox copies it
    bool more = false;      // something is owed still, apart from that rest
  };

  // The first `bytes` of what peek() returned were written; frames not begun stay owed.
  virtual Taken taken(std::size_t bytes) = 0;
};

}  // namespace trunkline::outbox
