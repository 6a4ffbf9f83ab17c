// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <trunkline/server.h>

namespace rescan {

class Ledger;

// A client that watches the blocks, has a rescan done that takes about so many seconds, and is
// thrown out half-way. False when it missed something or got it twice, or when the result is not
// what a plain query says; stderr tells which.
[[nodiscard]] bool visit(trunkline::Server& server, Ledger& ledger, int seconds);

}  // namespace rescan
