// SPDX-License-Identifier: Apache-2.0
#include "tail/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace tail {

namespace {

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw std::runtime_error(path.string() + ": " + std::generic_category().message(errno));
}

std::string file_name(std::string source) {
  std::ranges::replace(source, '/', '_');
  return source;
}

}  // namespace

Copy::Copy(const std::filesystem::path& folder, const std::string& source)
    : source_(source),
      path_(folder / file_name(source)),
      state_path_(folder / (file_name(source) + ".state")),
      descriptor_(::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) {
  struct stat status{};
  if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) {
    fail(path_);
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  std::uint64_t file = 0;
  std::uint64_t base = 0;
  if (std::ifstream(state_path_) >> file >> base && base <= size_) {
    file_ = file;
    base_ = base;
  }
}

Copy::~Copy() {
  ::close(descriptor_);
}

Position Copy::position() const {
  Position position{.file = file_, .offset = file_ == 0 ? 0 : size_ - base_};
  std::string head(std::min(position.offset, kHeadBytesMax), '\0');
  if (::pread(descriptor_, head.data(), head.size(), static_cast<off_t>(base_)) !=
      static_cast<ssize_t>(head.size())) {
    fail(path_);
  }
  position.head_bytes = head.size();
  position.head_hash = hash(head);
  return position;
}

// Before anything of the file is in the copy, and at once: killed in between, it still begins here.
void Copy::begin(std::uint64_t file) {
  const std::filesystem::path fresh = state_path_.string() + ".new";
  std::ofstream out(fresh);
  out << file << ' ' << size_ << '\n';
  out.close();
  if (!out || std::rename(fresh.c_str(), state_path_.c_str()) != 0) {
    fail(state_path_);
  }
  file_ = file;
  base_ = size_;
}

bool Copy::take(const Piece& piece) {
  if (piece.kind != PieceKind::kNext) {
    begin(piece.file);
  }
  if (piece.file != file_ || piece.offset != size_ - base_) {
    return false;
  }
  for (std::string_view rest = piece.data; !rest.empty();) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno != EINTR) {
      fail(path_);
    }
    if (written > 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
      size_ += static_cast<std::uint64_t>(written);
    }
  }
  return true;
}

}  // namespace tail
