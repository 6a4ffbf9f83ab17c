// SPDX-License-Identifier: Apache-2.0
#include <trunkline/version.h>

#include "commands.h"

int main(int argc, char** argv) {
  CLI::App app("Trunkline: a realtime WebSocket server that loses nothing");
  app.set_version_flag("--version", TRUNKLINE_VERSION);
  app.require_subcommand(1);
  trunkline::app::Outcome outcome;
  trunkline::app::add_serve(app, outcome);
  trunkline::app::add_pub(app, outcome);
  trunkline::app::add_sub(app, outcome);
  trunkline::app::add_call(app, outcome);
  trunkline::app::add_top(app, outcome);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version come this way too, with 0.
    return app.exit(error) == 0 ? trunkline::app::kExitDone : trunkline::app::kExitUsage;
  }
  return outcome.exit_code;
}
