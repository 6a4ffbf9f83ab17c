// SPDX-License-Identifier: Apache-2.0
//
// Randomness comes in as an argument: seeded from the operating system in net/, from the seed in
// the simulation. Not for secrets.
#pragma once

#include <cstdint>
#include <string>

namespace trunkline {

// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): one word
// of state, so every session can afford its own.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }

  // Uniform in [0, bound); bound must not be 0. The bias of the remainder is below 2^-32 for the
  // bounds used here.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

  // True once in `n` calls on average.
  bool one_in(std::uint64_t n) { return below(n) == 0; }

  // `length` letters and digits.
  std::string text(std::size_t length);

  // A version 4 UUID (RFC 9562, section 5.4) in its 36-character form.
  std::string uuid();

 private:
  std::uint64_t state_;
};

}  // namespace trunkline
