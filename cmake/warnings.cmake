# SPDX-License-Identifier: Apache-2.0
# Warnings of every target of ours. Errors only for developers, so that a user's newer compiler
# does not break the user's build.
add_library(trunkline_warnings INTERFACE)
target_compile_options(trunkline_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual -Wcast-align -Wextra-semi
  -Wimplicit-fallthrough -Wformat=2 -Wundef -Wdouble-promotion -Wmissing-declarations)
if(TRUNKLINE_DEVELOPER)
  target_compile_options(trunkline_warnings INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(trunkline_warnings INTERFACE -Wthread-safety)
elseif(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 reports a false overlap inside std::string concatenation once it inlines, and the value
  # of a std::expected that was checked as perhaps uninitialized.
  target_compile_options(trunkline_warnings INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()
