// SPDX-License-Identifier: Apache-2.0
//
// Sends for many sockets at once, never waiting for any of them. Two ways: a system call each, or
// all of a batch in one submission to an io_uring. MSG_DONTWAIT makes each complete inside the
// submission, so that no buffer outlives the call and nothing is ever in flight; a socket that
// takes a part or nothing says so in its result, and its owner waits until it is writable.
#pragma once

#include <trunkline/error.h>

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace trunkline::net {

// One socket's share of a batch.
struct Send {
  static constexpr std::size_t kSpansMax = 64;

  int descriptor = -1;
  // In this order, at least one and at most kSpansMax; the bytes stay until the call returns.
  std::span<const std::string_view> spans;
  // Bytes that the socket took, or a negative errno. -EAGAIN: none, wait until it is writable.
  ssize_t result = 0;
};

// Thread: the one that made it.
class Sender {
 public:
  Sender() = default;
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;
  virtual ~Sender() = default;

  // How many sends it takes at once.
  [[nodiscard]] virtual std::size_t batch_max() const = 0;
  // Fills in all results. At most batch_max() sends, each of another socket.
  virtual void send(std::span<Send> batch) = 0;
};

// One send() or sendmsg() a socket.
[[nodiscard]] std::unique_ptr<Sender> make_direct_sender();

// One io_uring submission a batch; kSystem with the reason when the kernel does not allow it.
// Should a submission fail later, what it did not take is sent directly, and so is all that
// follows.
[[nodiscard]] Result<std::unique_ptr<Sender>> make_ring_sender();

}  // namespace trunkline::net
