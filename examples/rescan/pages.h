// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/server.h>

#include <vector>

namespace rescan {

// The files of page/, built into the program.
[[nodiscard]] std::vector<trunkline::Page> pages();

}  // namespace rescan
