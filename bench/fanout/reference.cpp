// SPDX-License-Identifier: Apache-2.0
#include "fanout/reference.h"

#include "ws/frame.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace trunkline::bench {

Reference::Match Reference::match(std::uint64_t number, std::span<const char> bytes) const {
  const std::size_t held = starts_.size() - 1;
  if (number < first_ || number - first_ >= held) {
    return {};
  }
  const std::size_t index = number - first_;
  const std::size_t from = starts_[index];
  // The last start that the received bytes reach: frames before it have come
  // whole.
  const auto end = std::upper_bound(starts_.begin() + static_cast<std::ptrdiff_t>(index),
                                    starts_.end(), from + bytes.size()) -
                   1;
  Match match{static_cast<std::size_t>(end - starts_.begin()) - index, *end - from};
  if (std::memcmp(bytes.data(), bytes_.data() + from, match.bytes) == 0) {
    return match;
  }
  // Something else came in between; take what is before it.
  match = {};
  while (std::memcmp(bytes.data() + match.bytes, bytes_.data() + from + match.bytes,
                     starts_[index + match.frames + 1] - from - match.bytes) == 0) {
    match.bytes = starts_[index + ++match.frames] - from;
  }
  return match;
}

std::string_view Reference::frame(std::uint64_t number) const {
  if (number < first_ || number - first_ >= starts_.size() - 1) {
    return {};
  }
  const std::size_t index = number - first_;
  return {bytes_.data() + starts_[index], starts_[index + 1] - starts_[index]};
}

void Reference::learn(std::uint64_t number, std::string_view payload) {
  if (number != first_ + starts_.size() - 1) {
    return;
  }
  if (payload.empty()) {
    first_ = number + 1;
    starts_.assign(1, 0);
    bytes_.clear();
    return;
  }
  const std::string frame = ws::make_frame(ws::Opcode::kText, payload);
  bytes_.insert(bytes_.end(), frame.begin(), frame.end());
  starts_.push_back(bytes_.size());
}

void Reference::release(std::uint64_t number) {
  if (number <= first_) {
    return;
  }
  const std::size_t count = std::min<std::uint64_t>(number - first_, starts_.size() - 1);
  const std::size_t unused = starts_[count];
  // Seldom while some of it is in use, at once when nothing is: a small
  // reference stays in the cache.
  if (unused != bytes_.size() && unused < 256UL * 1024) {
    return;
  }
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(unused));
  starts_.erase(starts_.begin(), starts_.begin() + static_cast<std::ptrdiff_t>(count));
  for (std::size_t& start : starts_) {
    start -= unused;
  }
  first_ += count;
}

}  // namespace trunkline::bench
