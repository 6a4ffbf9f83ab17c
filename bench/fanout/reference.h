// SPDX-License-Identifier: Apache-2.0
//
// The frames of the publications in flight, as the first subscriber got them,
// in one contiguous piece: what every other subscriber must get too, byte by
// byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace trunkline::bench {

class Reference {
 public:
  struct Match {
    std::size_t frames = 0;
    std::size_t bytes = 0;
  };

  // How many whole frames at the front of `bytes` are those of publication
  // `number` and its successors. Nothing when that publication is not held.
  [[nodiscard]] Match match(std::uint64_t number, std::span<const char> bytes) const;

  // The frame of a publication, empty when it is not held. Valid until the next
  // call.
  [[nodiscard]] std::string_view frame(std::uint64_t number) const;

  // Adds the text frame with this payload, when the publication is the next. An
  // empty payload says that it came together with other messages: then it has
  // no frame of its own, and what is held is given up, since frames must be of
  // successive publications.
  void learn(std::uint64_t number, std::string_view payload);

  // Everybody has all publications before this number. Memory is given back now
  // and then.
  void release(std::uint64_t number);

 private:
  std::uint64_t first_ = 0;             // number of the first frame held
  std::vector<std::size_t> starts_{0};  // of each frame in bytes_, and behind them the end
  std::vector<char> bytes_;
};

}  // namespace trunkline::bench
