// SPDX-License-Identifier: Apache-2.0
#include "net/refusals.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;

void Refusals::turn_away(int descriptor, std::string answer) {
  if (away_.size() >= kAtOnceMax) {
    ::close(descriptor);
    return;
  }
  const std::uint64_t id = ++last_;
  Away& away = away_.try_emplace(id, io_, descriptor, std::move(answer)).first->second;
  away.patience.expires_after(kPatience);
  away.patience.async_wait([this, id](const boost::system::error_code& error) {
    if (!error) {
      end(id);
    }
  });
  wait(id);
}

void Refusals::wait(std::uint64_t id) {
  away_.at(id).socket.async_wait(asio::ip::tcp::socket::wait_read,
                                 [this, id](const boost::system::error_code& error) {
                                   const auto found = away_.find(id);
                                   if (found == away_.end()) {
                                     return;
                                   }
                                   if (!error && exchange(found->second)) {
                                     wait(id);
                                   } else {
                                     end(id);
                                   }
                                 });
}

bool Refusals::exchange(Away& away) {
  std::array<char, 4096> thrown_away;
  const int descriptor = away.socket.native_handle();
  const ssize_t count = ::recv(descriptor, thrown_away.data(), thrown_away.size(), MSG_DONTWAIT);
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
    return false;
  }
  if (count > 0 && !away.answer.empty()) {
    // A few hundred bytes into an empty buffer: all of them or a connection not worth more.
    ::send(descriptor, away.answer.data(), away.answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::shutdown(descriptor, SHUT_WR);
    away.answer.clear();
  }
  return true;
}

void Refusals::end(std::uint64_t id) {
  if (away_.erase(id) > 0) {
    on_closed_();
  }
}

}  // namespace trunkline::net
