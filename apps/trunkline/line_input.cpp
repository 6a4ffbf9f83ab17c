// SPDX-License-Identifier: Apache-2.0
#include "line_input.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

namespace trunkline::app {

namespace {

constexpr std::size_t kReadBytes = 64UL * 1024;

}  // namespace

LineInput::LineInput(int descriptor)
    : descriptor_(descriptor), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

LineInput::~LineInput() {
  ::close(wake_);
}

void LineInput::end() const {
  const std::uint64_t one = 1;
  static_cast<void>(::write(wake_, &one, sizeof one));
}

bool LineInput::read_more() {
  std::array<pollfd, 2> waits{pollfd{descriptor_, POLLIN, 0}, pollfd{wake_, POLLIN, 0}};
  while (::poll(waits.data(), waits.size(), -1) < 0) {
    if (errno != EINTR) {
      return false;
    }
  }
  if (waits[1].revents != 0) {
    return false;
  }
  read_.erase(0, taken_);
  taken_ = 0;
  const std::size_t had = read_.size();
  read_.resize(had + kReadBytes);
  const ssize_t got = ::read(descriptor_, read_.data() + had, kReadBytes);
  read_.resize(had + (got > 0 ? static_cast<std::size_t>(got) : 0));
  return got > 0 || (got < 0 && errno == EINTR);
}

std::optional<std::string> LineInput::next() {
  for (std::size_t searched = taken_;;) {
    if (const std::size_t end = read_.find('\n', searched); end != std::string::npos) {
      std::string line = read_.substr(taken_, end - taken_);
      taken_ = end + 1;
      return line;
    }
    searched = read_.size() - taken_;
    if (!read_more()) {
      break;
    }
  }
  // The last one may have no newline.
  std::string rest = read_.substr(taken_);
  taken_ = read_.size();
  return rest.empty() ? std::nullopt : std::optional(std::move(rest));
}

}  // namespace trunkline::app
