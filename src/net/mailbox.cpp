// SPDX-License-Identifier: Apache-2.0
#include "net/mailbox.h"

#include "core/assert.h"
#include "net/shard.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <iterator>
#include <utility>

namespace trunkline::net {

Mailbox::Mailbox() : descriptor_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  TRUNKLINE_ASSERT(descriptor_ >= 0);
}

Mailbox::~Mailbox() {
  ::close(descriptor_);
}

void Mailbox::wake() const {
  const std::uint64_t one = 1;
  // It can fail only when the counter is full, and then the reader is awake anyway.
  [[maybe_unused]] const auto written = ::write(descriptor_, &one, sizeof one);
}

bool Mailbox::post(Mail mail) {
  bool was_empty = false;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) {
      return false;
    }
    was_empty = waiting_.empty();
    waiting_.push_back(std::move(mail));
  }
  if (was_empty) {
    wake();
  }
  return true;
}

bool Mailbox::post_all(std::vector<Mail>& mails) {
  if (mails.empty()) {
    return true;
  }
  bool was_empty = false;
  bool open = false;
  {
    const std::lock_guard lock(mutex_);
    open = !closed_;
    if (open) {
      was_empty = waiting_.empty();
      std::move(mails.begin(), mails.end(), std::back_inserter(waiting_));
    }
  }
  mails.clear();
  if (was_empty) {
    wake();
  }
  return open;
}

void Mailbox::take(std::vector<Mail>& into) {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto read = ::read(descriptor_, &count, sizeof count);
  const std::lock_guard lock(mutex_);
  into.swap(waiting_);
}

void Mailbox::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

}  // namespace trunkline::net
