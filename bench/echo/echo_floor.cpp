// SPDX-License-Identifier: Apache-2.0
//
// The least that an echo can do: receive, unmask in place, send. It believes everything: that a
// receive brings whole frames, that they are small, masked and final, and that the socket takes
// them.
#include "echo/sockets.h"
#include "ws/frame.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <span>
#include <vector>

namespace trunkline::bench {
namespace {

// Turns each masked frame into an unmasked one, in place, and sends it.
void echo(int fd, std::span<char> bytes) {
  constexpr std::size_t kKeyBytes = 4;
  while (bytes.size() > 2 + kKeyBytes) {
    const std::size_t small = static_cast<unsigned char>(bytes[1]) & 0x7F;
    const bool is_long = small == 126;
    const std::size_t size =
        is_long ? static_cast<std::size_t>(static_cast<unsigned char>(bytes[2])) << 8 |
                      static_cast<unsigned char>(bytes[3])
                : small;
    const std::size_t header = (is_long ? 4U : 2U) + kKeyBytes;
    if (header + size > bytes.size()) {
      return;
    }
    ws::MaskingKey key{};
    std::memcpy(key.data(), bytes.data() + header - kKeyBytes, kKeyBytes);
    ws::apply_mask(bytes.subspan(header, size), key);
    char* frame = bytes.data() + kKeyBytes;
    ws::write_frame_header(frame, static_cast<ws::Opcode>(bytes[0] & 0x0F), size);
    ::send(fd, frame, header - kKeyBytes + size, MSG_NOSIGNAL | MSG_DONTWAIT);
    bytes = bytes.subspan(header + size);
  }
}

void run() {
  const int listener = listen_on_loopback();
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  watch(poll, listener, EPOLLIN, EPOLL_CTL_ADD);
  std::vector<char> buffer(64UL * 1024);
  std::vector<bool> upgraded;  // by descriptor
  std::array<epoll_event, 256> events;
  while (true) {
    const int count = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener) {
        const int accepted = accept_one(listener);
        const auto index = static_cast<std::size_t>(accepted);
        upgraded.resize(std::max(upgraded.size(), index + 1));
        upgraded[index] = false;
        watch(poll, accepted, EPOLLIN, EPOLL_CTL_ADD);
        continue;
      }
      const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
      const std::span bytes(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      if (got <= 0) {
        ::close(fd);
      } else if (upgraded[static_cast<std::size_t>(fd)]) {
        echo(fd, bytes);
      } else {
        upgraded[static_cast<std::size_t>(fd)] = true;
        const std::string answer = answer_upgrade({bytes.data(), bytes.size()});
        ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
      }
    }
  }
}

}  // namespace
}  // namespace trunkline::bench

int main() {
  trunkline::bench::run();
}
