// SPDX-License-Identifier: Apache-2.0
#include "net/sender.h"

#include <fmt/format.h>
#include <liburing.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <vector>

namespace trunkline::net {

namespace {

// Sends of one submission. While the next ones are gathered receivers run dry and fall asleep, and
// waking them costs more than the sends: so batches are large. Beyond some hundreds an entry has
// left the cache before its completion is read.
constexpr unsigned kEntries = 512;
// From here on one submission costs less than as many system calls.
constexpr std::size_t kWorthIt = 2;

class RingSender final : public Sender {
 public:
  RingSender() : slots_(kEntries) {}

  ~RingSender() override { close(); }

  // A negative errno when the kernel refuses.
  int open() {
    const int status = io_uring_queue_init(kEntries, &ring_,
                                           IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN);
    open_ = status == 0;
    return status;
  }

  [[nodiscard]] std::size_t batch_max() const override { return kEntries; }

  void send(std::span<Send> batch) override {
    if (!open_ || batch.size() < kWorthIt) {
      direct_->send(batch);
      return;
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      batch[i].result = kNotSent;
      prepare(batch[i], i);
    }
    submit(batch);
    for (Send& one : batch) {
      if (one.result == kNotSent || one.result == -EINTR) {
        direct_->send({&one, 1});
      }
    }
  }

 private:
  // No errno is this large.
  static constexpr ssize_t kNotSent = -1'000'000;

  struct Slot {
    msghdr message{};
    std::array<iovec, Send::kSpansMax> vectors{};
  };

  void prepare(const Send& one, std::size_t index) {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (one.spans.size() == 1) {
      io_uring_prep_send(entry, one.descriptor, one.spans[0].data(), one.spans[0].size(),
                         MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
      Slot& slot = slots_[index];
      for (std::size_t i = 0; i < one.spans.size(); ++i) {
        slot.vectors[i] = {.iov_base = const_cast<char*>(one.spans[i].data()),
                           .iov_len = one.spans[i].size()};
      }
      slot.message.msg_iov = slot.vectors.data();
      slot.message.msg_iovlen = one.spans.size();
      io_uring_prep_sendmsg(entry, one.descriptor, &slot.message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    io_uring_sqe_set_data64(entry, index);
  }

  void submit(std::span<Send> batch) {
    std::size_t submitted = 0;
    std::size_t completed = 0;
    while (completed < batch.size()) {
      const int status =
          io_uring_submit_and_wait(&ring_, static_cast<unsigned>(batch.size() - completed));
      completed += collect(batch);
      if (status > 0) {
        submitted += static_cast<std::size_t>(status);
      } else if (status < 0 && status != -EINTR) {
        give_up(batch, submitted, completed);
        return;
      }
    }
  }

  // The ring refuses work. What it took is awaited, since its buffers are ours; what it did not
  // take goes with the ring, and is sent by the caller.
  void give_up(std::span<Send> batch, std::size_t submitted, std::size_t completed) {
    while (completed < submitted) {
      io_uring_cqe* completion = nullptr;
      const int status = io_uring_wait_cqe(&ring_, &completion);
      if (status < 0 && status != -EINTR) {
        break;
      }
      completed += collect(batch);
    }
    close();
  }

  std::size_t collect(std::span<Send> batch) {
    unsigned count = 0;
    unsigned head = 0;
    io_uring_cqe* completion = nullptr;
    io_uring_for_each_cqe(&ring_, head, completion) {
      batch[completion->user_data].result = completion->res;
      ++count;
    }
    io_uring_cq_advance(&ring_, count);
    return count;
  }

  void close() {
    if (open_) {
      io_uring_queue_exit(&ring_);
      open_ = false;
    }
  }

  io_uring ring_{};
  bool open_ = false;
  std::vector<Slot> slots_;
  std::unique_ptr<Sender> direct_ = make_direct_sender();
};

}  // namespace

Result<std::unique_ptr<Sender>> make_ring_sender() {
  auto sender = std::make_unique<RingSender>();
  if (const int status = sender->open(); status < 0) {
    return fail(ErrorCode::kSystem, fmt::format("the kernel grants no io_uring: {}",
                                                std::generic_category().message(-status)));
  }
  return sender;
}

}  // namespace trunkline::net
