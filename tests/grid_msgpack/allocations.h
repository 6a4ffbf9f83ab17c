// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace trunkline {

// By operator new, of this thread so far.
[[nodiscard]] std::size_t allocations();

}  // namespace trunkline
