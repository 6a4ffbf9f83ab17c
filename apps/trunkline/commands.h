// SPDX-License-Identifier: Apache-2.0
//
// The sub-commands; each file cmd_<name>.cpp adds one to the parser.
#pragma once

#include <CLI/CLI.hpp>

namespace trunkline::app {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;  // could not start, was refused, or was not acknowledged
inline constexpr int kExitUsage = 2;   // the arguments or the configuration make no sense

// The exit code of the sub-command that ran.
struct Outcome {
  int exit_code = 0;
};

void add_serve(CLI::App& app, Outcome& outcome);
void add_pub(CLI::App& app, Outcome& outcome);
void add_sub(CLI::App& app, Outcome& outcome);
void add_call(CLI::App& app, Outcome& outcome);
void add_top(CLI::App& app, Outcome& outcome);

}  // namespace trunkline::app
