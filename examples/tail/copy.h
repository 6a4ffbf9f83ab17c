// SPDX-License-Identifier: Apache-2.0
//
// A copy of what a source has said, on disk: FOLDER/NAME, and beside it NAME.state, with the
// source's file and where in the copy it begins. How far the copy is, its size alone says. So
// whenever the program is killed, no byte is missed afterwards and none comes twice. (Nothing is
// synced: that the whole machine is lost is another matter.)
#pragma once

#include "tail/messages.h"

#include <cstdint>
#include <filesystem>
#include <string>

namespace tail {

// Thread: one at a time. Throws std::runtime_error when the disk does not do.
class Copy {
 public:
  Copy(const std::filesystem::path& folder, const std::string& source);
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  ~Copy();

  [[nodiscard]] Position position() const;
  // False: this is not what comes next.
  [[nodiscard]] bool take(const Piece& piece);

  [[nodiscard]] const std::string& source() const { return source_; }

  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  void begin(std::uint64_t file);

  const std::string source_;
  const std::filesystem::path path_;
  const std::filesystem::path state_path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t file_ = 0;
  std::uint64_t base_ = 0;  // where the file begins in the copy
};

}  // namespace tail
