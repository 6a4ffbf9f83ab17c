// SPDX-License-Identifier: Apache-2.0
//
// Where a connection's calls are: in blocks, so that an idle one costs little more than its own
// bytes. A call stays where it is for as long as it is in use, and its index says where that is.
#pragma once

#include "core/assert.h"
#include "grid/call.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace trunkline::grid {

// Thread: the owner's.
class CallTable {
 public:
  // The first block stays when a few calls are over, so it is small.
  static constexpr std::uint32_t kBlockCalls = 4;

  explicit CallTable(Mux& mux) : mux_(mux) {}

  // Places there are, calls in use or not. Their indexes are below it.
  [[nodiscard]] std::size_t size() const { return blocks_.size() * kBlockCalls; }

  // In use.
  [[nodiscard]] std::size_t live() const { return live_; }

  // The index must be below size().
  [[nodiscard]] Call& operator[](std::size_t index) {
    return (*blocks_[index / kBlockCalls])[index % kBlockCalls];
  }

  [[nodiscard]] const Call& operator[](std::size_t index) const {
    return (*blocks_[index / kBlockCalls])[index % kBlockCalls];
  }

  // A new call, in a place that was given back lately or in a new block.
  [[nodiscard]] Call& take() {
    if (free_.empty()) {
      add_block();
    }
    Call& call = (*this)[free_.back()];
    free_.pop_back();
    // Over all places, so that no call of a later burst can be taken for one of an earlier.
    last_generation_ = last_generation_ == UINT32_MAX ? 1 : last_generation_ + 1;
    call.generation = last_generation_;
    ++live_;
    return call;
  }

  // It must be in no line and have no timer.
  void give_back(Call& call) {
    TRUNKLINE_ASSERT(call.in_use());
    static_cast<CallState&>(call) = CallState{};
    call.generation = 0;
    free_.push_back(call.index);
    --live_;
  }

  // Lets go of everything when a burst is over. False when there was none, or it is not over.
  [[nodiscard]] bool shed() {
    if (live_ > 0 || blocks_.size() <= 1) {
      return false;
    }
    blocks_.clear();
    blocks_.shrink_to_fit();
    free_.clear();
    free_.shrink_to_fit();
    return true;
  }

 private:
  using Block = std::array<Call, kBlockCalls>;

  void add_block() {
    const auto first = static_cast<std::uint32_t>(size());
    Block& block = *blocks_.emplace_back(std::make_unique<Block>());
    for (std::uint32_t at = kBlockCalls; at-- > 0;) {  // the lowest is taken first
      block[at].mux = &mux_;
      block[at].index = first + at;
      free_.push_back(first + at);
    }
  }

  Mux& mux_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<std::uint32_t> free_;
  std::uint32_t last_generation_ = 0;
  std::size_t live_ = 0;
};

}  // namespace trunkline::grid
