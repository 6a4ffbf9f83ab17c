// SPDX-License-Identifier: Apache-2.0
#include "sim/pipe.h"

#include <algorithm>
#include <utility>

namespace trunkline::sim {

void Pipe::send(std::string_view bytes) {
  in_flight_ += bytes.size();
  const TimePoint arrival =
      std::max(last_arrival_, schedule_.now() + schedule_.between(0ms, shape_.delay_max));
  last_arrival_ = arrival;
  chunks_.push_back(Chunk{arrival, std::string(bytes)});
  schedule_.at(arrival, [this] { pump(); });
}

std::size_t Pipe::write(std::string_view bytes) {
  if (cut_) {
    return bytes.size();
  }
  const std::size_t room = shape_.window > in_flight_ ? shape_.window - in_flight_ : 0;
  std::size_t count = std::min(bytes.size(), room);
  if (shape_.ragged && count > 0 && schedule_.random.one_in(3)) {
    count = schedule_.random.below(count + 1);
  }
  if (count > 0) {
    send(bytes.substr(0, count));
  }
  if (count < bytes.size()) {
    wants_writable_ = true;
    if (in_flight_ == 0) {
      schedule_.after(schedule_.between(0ms, 5ms), [this] { pump(); });
    }
  }
  return count;
}

void Pipe::write_all(std::string_view bytes) {
  if (!cut_ && !bytes.empty()) {
    send(bytes);
  }
}

void Pipe::finish() {
  if (!cut_) {
    send({});
  }
}

void Pipe::deliver(std::string_view bytes) {
  if (!on_bytes) {
    return;
  }
  while (shape_.ragged && bytes.size() > 1 && schedule_.random.one_in(3)) {
    const std::size_t part = 1 + schedule_.random.below(bytes.size() - 1);
    on_bytes(bytes.substr(0, part));
    bytes.remove_prefix(part);
  }
  on_bytes(bytes);
}

void Pipe::pump() {
  if (cut_) {
    return;
  }
  if (schedule_.now() < stalled_until_) {
    schedule_.at(stalled_until_, [this] { pump(); });
    return;
  }
  while (!cut_ && !chunks_.empty() && chunks_.front().arrival <= schedule_.now()) {
    const Chunk chunk = std::move(chunks_.front());
    chunks_.pop_front();
    in_flight_ -= chunk.bytes.size();
    deliver(chunk.bytes);
  }
  if (wants_writable_ && in_flight_ < shape_.window && on_writable) {
    wants_writable_ = false;
    on_writable();
  }
}

void Pipe::cut(Duration notice) {
  if (cut_) {
    return;
  }
  std::string all;
  for (const Chunk& chunk : chunks_) {
    all += chunk.bytes;
  }
  chunks_.clear();
  const std::size_t part = schedule_.random.below(all.size() + 1);
  if (part > 0) {
    deliver(std::string_view(all).substr(0, part));
  }
  cut_ = true;
  in_flight_ = 0;
  schedule_.after(notice, [this] { deliver({}); });
  if (wants_writable_ && on_writable) {
    on_writable();
  }
}

void Pipe::relax() {
  shape_ = PipeShape{};
  stalled_until_ = schedule_.now();
  schedule_.after(1ms, [this] { pump(); });
}

}  // namespace trunkline::sim
