// SPDX-License-Identifier: Apache-2.0
#include "net/grid_fixture.h"

#include <algorithm>
#include <cerrno>

namespace trunkline::net {

namespace {

constexpr int kPollMs = 1;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

}  // namespace

Relay::Relay(std::uint16_t listen_on, std::uint16_t target)
    : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)), target_(target) {
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = loopback(listen_on);
  EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener_, 16), 0);
  thread_ = std::thread([this] { work(); });
}

Relay::~Relay() {
  ends_ = true;
  thread_.join();
  for (Pair& pair : pairs_) {
    close(pair);
  }
  ::close(listener_);
}

void Relay::close(Pair& pair) {
  ::close(pair.ends[0]);
  ::close(pair.ends[1]);
}

void Relay::accept_one() {
  const int caller = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (caller < 0) {
    return;
  }
  ++accepted_;
  const int target = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(target_);
  if (::connect(target, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(caller);
    ::close(target);
    return;
  }
  pairs_.push_back({.ends = {caller, target}});
}

void Relay::falsify(std::array<char, 65536>& bytes, std::size_t count, std::size_t from) {
  std::atomic<std::int64_t>& after = falsify_after_[from];
  if (after < 0) {
    return;
  }
  if (static_cast<std::size_t>(after) < count) {
    bytes[static_cast<std::size_t>(after)] ^= 1;
    after = -1;
  } else {
    after -= static_cast<std::int64_t>(count);
  }
}

// Some of what one end has sent; false when the pair is over.
bool Relay::forward(Pair& pair, std::size_t from) {
  if (from == 1 && pair.has_target_ended) {
    return true;
  }
  std::array<char, 65536> buffer{};
  const std::size_t slow = bytes_per_ms_;
  std::size_t wanted = slow == 0 ? buffer.size() : std::min(slow, buffer.size());
  if (cut_after_[from] >= 0) {
    wanted = std::min(wanted, static_cast<std::size_t>(cut_after_[from].load()));
    if (wanted == 0) {
      for (const std::size_t each : {0U, 1U}) {
        cut_after_[each] = cut_next_after_[each].exchange(-1);
      }
      return false;
    }
  }
  const ssize_t got = ::recv(pair.ends[from], buffer.data(), wanted, MSG_DONTWAIT);
  if (got < 0) {
    return errno == EAGAIN || errno == EINTR;
  }
  if (got == 0) {
    return false;
  }
  if (cut_after_[from] >= 0) {
    cut_after_[from] -= got;
  }
  falsify(buffer, static_cast<std::size_t>(got), from);
  // Blocks when the other end is slow, which is what a slow link does.
  std::size_t sent = 0;
  while (sent < static_cast<std::size_t>(got)) {
    const ssize_t more = ::send(pair.ends[1 - from], buffer.data() + sent,
                                static_cast<std::size_t>(got) - sent, MSG_NOSIGNAL);
    if (more < 0) {
      return false;
    }
    sent += static_cast<std::size_t>(more);
  }
  return true;
}

void Relay::work() {
  while (!ends_) {
    std::vector<pollfd> polled{{listener_, POLLIN, 0}};
    for (const Pair& pair : pairs_) {
      // A slow relay goes by the clock alone.
      const short events = is_stalled_ || bytes_per_ms_ > 0 ? short{0} : short{POLLIN};
      polled.push_back({pair.ends[0], events, 0});
      polled.push_back({pair.ends[1], events, 0});
    }
    ::poll(polled.data(), polled.size(), kPollMs);
    if (is_stalled_) {
      continue;
    }
    if (targets_end_.exchange(false)) {
      for (Pair& pair : pairs_) {
        pair.has_target_ended = true;
        ::shutdown(pair.ends[0], SHUT_WR);
      }
    }
    accept_one();
    std::erase_if(pairs_, [this](Pair& pair) {
      const bool goes_on = forward(pair, 0) && forward(pair, 1);
      if (!goes_on) {
        close(pair);
      }
      return !goes_on;
    });
  }
}

}  // namespace trunkline::net
