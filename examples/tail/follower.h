// SPDX-License-Identifier: Apache-2.0
//
// Reads a file that grows, is renamed and begun anew (rotated), or emptied. A rotated file is read
// to its end before the new one; also when that happened while nobody was reading, as long as it is
// still in the same folder.
//
// What cannot be seen: a file that was emptied and has grown beyond where it was, all between two
// looks at it; and of several rotations while nobody was reading, those in the middle.
#pragma once

#include "tail/messages.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace tail {

// Thread: one at a time.
class Follower {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  Follower(std::filesystem::path path, const Position& from)
      : path_(std::move(path)), from_(from) {}

  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;
  ~Follower();

  // What comes next; none: nothing for now.
  [[nodiscard]] std::optional<Piece> next(TimePoint now);

 private:
  [[nodiscard]] bool open_where_it_stood();
  [[nodiscard]] bool open_current();
  [[nodiscard]] bool take_over(const std::filesystem::path& file, bool as_it_stood);
  [[nodiscard]] std::optional<Piece> read();
  [[nodiscard]] bool is_emptied() const;
  [[nodiscard]] bool is_rotated() const;
  void close();

  const std::filesystem::path path_;
  const Position from_;
  int descriptor_ = -1;
  std::uint64_t file_ = 0;
  std::uint64_t offset_ = 0;
  bool was_open_ = false;
  // How the next piece begins.
  PieceKind kind_ = PieceKind::kNext;
  std::optional<TimePoint> rotated_at_;
};

}  // namespace tail
