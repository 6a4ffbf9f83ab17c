// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace trunkline::bench {

// Counts of values in buckets that grow with the value: 32 to every power of
// two, so a percentile is right to 3 %.
class Histogram {
 public:
  void add(std::uint64_t value) {
    ++counts_[index_of(value)];
    ++total_;
  }

  void add(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      counts_[i] += other.counts_[i];
    }
    total_ += other.total_;
  }

  [[nodiscard]] std::uint64_t total() const { return total_; }

  void clear() { *this = Histogram{}; }

  // The value below which the given share (0 to 1) of all values lies.
  [[nodiscard]] std::uint64_t percentile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(total_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > wanted) {
        return upper_of(i);
      }
    }
    return 0;
  }

 private:
  static constexpr unsigned kBits = 5;

  static std::size_t index_of(std::uint64_t value) {
    if (value < (1U << kBits)) {
      return value;
    }
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - kBits - 1;
    return ((shift + 1) << kBits) + ((value >> shift) & ((1U << kBits) - 1));
  }

  static std::uint64_t upper_of(std::size_t index) {
    if (index < (1U << kBits)) {
      return index;
    }
    const std::size_t shift = (index >> kBits) - 1;
    return ((std::uint64_t{1} << kBits) + (index & ((1U << kBits) - 1)) + 1) << shift;
  }

  std::array<std::uint64_t, 64U << kBits> counts_{};
  std::uint64_t total_ = 0;
};

}  // namespace trunkline::bench
