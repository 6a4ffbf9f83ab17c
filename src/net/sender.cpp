// SPDX-License-Identifier: Apache-2.0
#include "net/sender.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace trunkline::net {

namespace {

class DirectSender final : public Sender {
 public:
  // One after the other anyway: what is gathered for a socket is still in the cache when it goes.
  [[nodiscard]] std::size_t batch_max() const override { return 1; }

  void send(std::span<Send> batch) override {
    for (Send& one : batch) {
      do {
        one.result = send_one(one);
      } while (one.result == -EINTR);
    }
  }

 private:
  ssize_t send_one(const Send& one) {
    ssize_t sent = 0;
    if (one.spans.size() == 1) {
      const std::string_view bytes = one.spans[0];
      sent = ::send(one.descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
      for (std::size_t i = 0; i < one.spans.size(); ++i) {
        // sendmsg takes a pointer to non-const and does not write through it.
        vectors_[i] = {.iov_base = const_cast<char*>(one.spans[i].data()),
                       .iov_len = one.spans[i].size()};
      }
      msghdr message{};
      message.msg_iov = vectors_.data();
      message.msg_iovlen = one.spans.size();
      sent = ::sendmsg(one.descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    return sent < 0 ? -errno : sent;
  }

  std::array<iovec, Send::kSpansMax> vectors_{};
};

}  // namespace

std::unique_ptr<Sender> make_direct_sender() {
  return std::make_unique<DirectSender>();
}

}  // namespace trunkline::net
