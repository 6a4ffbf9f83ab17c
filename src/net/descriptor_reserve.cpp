// SPDX-License-Identifier: Apache-2.0
#include "net/descriptor_reserve.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace trunkline::net {

DescriptorReserve::~DescriptorReserve() {
  while (give_up_one()) {
  }
}

void DescriptorReserve::refill() {
  while (held_.size() < kCount) {
    const int descriptor = ::eventfd(0, EFD_CLOEXEC);
    if (descriptor < 0) {
      return;
    }
    held_.push_back(descriptor);
  }
}

bool DescriptorReserve::give_up_one() {
  if (held_.empty()) {
    return false;
  }
  ::close(held_.back());
  held_.pop_back();
  return true;
}

}  // namespace trunkline::net
