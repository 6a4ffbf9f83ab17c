// SPDX-License-Identifier: Apache-2.0
//
// TRUNKLINE_ASSERT is always on: for cheap invariants of delivery, where going on would lose or
// repeat data. TRUNKLINE_DCHECK is for expensive ones and for debug builds. Neither is ever used on
// anything that the network, the disk or the configuration decides.
#pragma once

namespace trunkline {

// Called with the text of a broken invariant; must not return. The default aborts after one line
// on standard error. Set it once, before the first thread starts.
using AssertHandler = void (*)(const char* expression, const char* file, int line);
void set_assert_handler(AssertHandler handler);

[[noreturn]] void assert_failed(const char* expression, const char* file, int line);

}  // namespace trunkline

#define TRUNKLINE_ASSERT(expression)   \
  ((expression) ? static_cast<void>(0) \
                : ::trunkline::assert_failed(#expression, __FILE__, __LINE__))

#ifdef NDEBUG
#define TRUNKLINE_DCHECK(expression) static_cast<void>(0)
#else
#define TRUNKLINE_DCHECK(expression) TRUNKLINE_ASSERT(expression)
#endif
