// SPDX-License-Identifier: Apache-2.0
#include "core/assert.h"

#include <cstdio>
#include <cstdlib>

namespace trunkline {

namespace {

void print_line(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "trunkline: broken invariant '%s' at %s:%d\n", expression, file, line);
}

AssertHandler g_handler = print_line;

}  // namespace

void set_assert_handler(AssertHandler handler) {
  g_handler = handler;
}

void assert_failed(const char* expression, const char* file, int line) {
  g_handler(expression, file, line);
  std::abort();
}

}  // namespace trunkline
