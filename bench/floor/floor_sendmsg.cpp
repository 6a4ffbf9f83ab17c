// SPDX-License-Identifier: Apache-2.0
//
// The floor with one system call a subscriber and turn. A slice is one buffer,
// so send() does: the kernel makes the same message of it as of a sendmsg()
// with one element, less a copy of the header.
#include "floor/floor.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace {

class SystemCallSender final : public trunkline::bench::SliceSender {
 public:
  [[nodiscard]] std::size_t slices_max() const override { return 64; }

  void send(std::span<trunkline::bench::Slice> slices) override {
    for (auto& slice : slices) {
      const ssize_t sent = ::send(slice.fd, slice.bytes, slice.size, MSG_NOSIGNAL | MSG_DONTWAIT);
      slice.result = sent < 0 ? -errno : sent;
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  SystemCallSender sender;
  return trunkline::bench::run_floor(argc, argv, sender);
}
