// SPDX-License-Identifier: Apache-2.0
#include "tail/follower.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

namespace tail {

namespace {

constexpr std::size_t kPieceBytes = 32UL * 1024;

// Who writes may go on for a moment in a file that was renamed under it.
constexpr std::chrono::milliseconds kLinger{500};

// As far as it goes, up to so much.
std::string read_at(int descriptor, std::uint64_t offset, std::size_t bytes_max) {
  std::string bytes(bytes_max, '\0');
  const ssize_t got = ::pread(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return bytes;
}

}  // namespace

Follower::~Follower() {
  close();
}

void Follower::close() {
  if (descriptor_ >= 0) {
    ::close(std::exchange(descriptor_, -1));
  }
}

// With `as_it_stood` only the file of the position, otherwise from its beginning.
bool Follower::take_over(const std::filesystem::path& file, bool as_it_stood) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status{};
  if (descriptor < 0 || ::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) ||
      (as_it_stood &&
       (status.st_ino != from_.file || static_cast<std::uint64_t>(status.st_size) < from_.offset ||
        hash(read_at(descriptor, 0, from_.head_bytes)) != from_.head_hash))) {
    if (descriptor >= 0) {
      ::close(descriptor);
    }
    return false;
  }
  close();
  descriptor_ = descriptor;
  file_ = status.st_ino;
  offset_ = as_it_stood ? from_.offset : 0;
  was_open_ = true;
  rotated_at_.reset();
  return true;
}

// Under its name, or under whatever name it has got.
bool Follower::open_where_it_stood() {
  if (from_.file == 0) {
    return false;
  }
  if (take_over(path_, true)) {
    return true;
  }
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(path_.parent_path(), ignored)) {
    struct stat status{};
    if (::stat(entry.path().c_str(), &status) == 0 && status.st_ino == from_.file &&
        take_over(entry.path(), true)) {
      return true;
    }
  }
  return false;
}

bool Follower::open_current() {
  const bool is_first = !was_open_;
  if (!take_over(path_, false)) {
    return false;
  }
  kind_ = is_first && from_.file != 0 ? PieceKind::kGap : PieceKind::kBegins;
  return true;
}

bool Follower::is_emptied() const {
  struct stat status{};
  return ::fstat(descriptor_, &status) == 0 && static_cast<std::uint64_t>(status.st_size) < offset_;
}

bool Follower::is_rotated() const {
  struct stat status{};
  return ::stat(path_.c_str(), &status) == 0 && status.st_ino != file_;
}

std::optional<Piece> Follower::read() {
  std::string data = read_at(descriptor_, offset_, kPieceBytes);
  if (data.empty() && kind_ == PieceKind::kNext) {
    return std::nullopt;
  }
  Piece piece{std::exchange(kind_, PieceKind::kNext), file_, offset_, std::move(data)};
  offset_ += piece.data.size();
  return piece;
}

std::optional<Piece> Follower::next(TimePoint now) {
  if (descriptor_ < 0 && !open_where_it_stood() && !open_current()) {
    return std::nullopt;
  }
  if (std::optional<Piece> piece = read(); piece.has_value()) {
    return piece;
  }
  if (is_emptied()) {
    offset_ = 0;
    kind_ = PieceKind::kGap;  // how much was written before, nobody knows
    return read();
  }
  if (!is_rotated()) {
    return std::nullopt;
  }
  if (!rotated_at_.has_value()) {
    rotated_at_ = now;
  }
  if (now < *rotated_at_ + kLinger || !open_current()) {
    return std::nullopt;
  }
  return read();
}

}  // namespace tail
