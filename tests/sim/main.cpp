// SPDX-License-Identifier: Apache-2.0
#include "core/assert.h"
#include "sim/mutants.h"
#include "sim/world.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

namespace {

using trunkline::sim::Outcome;
using trunkline::sim::Script;
using trunkline::sim::World;

constexpr std::uint64_t kMutantSeedsMax = 500;
constexpr std::uint64_t kCompareEvery = 20;
constexpr std::uint64_t kFailuresMax = 10;

struct Arguments {
  std::uint64_t seeds = 2000;
  std::uint64_t first = 1;
  std::uint64_t seed = 0;
  std::optional<std::uint64_t> stop_at;
  std::string mutant;
  bool brief = false;
  bool every_step = false;
  bool report = false;
  bool trace = false;
};

Arguments g_arguments;
Script g_script;  // the one that runs

void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

std::string replay_command() {
  const std::string mutant =
      g_arguments.mutant.empty() ? "" : fmt::format(" --mutant {}", g_arguments.mutant);
  const std::string stop = g_script.stop_at.has_value()
                               ? fmt::format(" --stop-at {}", *g_script.stop_at)
                           : g_script.brief ? " --brief"
                                            : "";
  return fmt::format("trunkline_sim --seed {}{}{} --trace", g_script.seed, stop, mutant);
}

void say_failure(std::string_view check, std::string_view detail) {
  const std::string step =
      g_script.stop_at.has_value() ? fmt::format(" step {}", *g_script.stop_at) : "";
  say(fmt::format("FAILED seed {}{}: {}: {}\n  replay: {}", g_script.seed, step, check, detail,
                  replay_command()));
}

// The program ends here: what is broken inside can not be taken down in order.
void on_assert(const char* expression, const char* file, int line) {
  const std::string_view path = file;
  say_failure("assertion",
              fmt::format("{} ({}:{})", expression, path.substr(path.find_last_of('/') + 1), line));
  say("0 passed, 1 failed");
  std::_Exit(1);
}

Outcome run(const Script& script) {
  g_script = script;
  World world(script);
  return world.run();
}

// Runs it, a second time to compare when `twice`; false when something was violated.
bool passes(const Script& script, bool twice) {
  const Outcome outcome = run(script);
  if (!outcome.check.empty()) {
    say_failure(outcome.check, outcome.detail);
    return false;
  }
  Script again = script;
  again.print_trace = false;
  if (twice && run(again).trace_hash != outcome.trace_hash) {
    say_failure("determinism", "a second run of the seed was another");
    return false;
  }
  if (g_arguments.seed != 0 && !g_arguments.every_step) {
    say(fmt::format("seed {}: {} events, {} publications, trace {:016x}", script.seed,
                    outcome.events, outcome.published, outcome.trace_hash));
  }
  return true;
}

struct Tally {
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;

  void count(bool good) { ++(good ? passed : failed); }

  int say_it() const {
    say(fmt::format("{} passed, {} failed", passed, failed));
    return failed == 0 ? 0 : 1;
  }
};

// Calls `each` with every seed that was asked for, until much has failed.
template <class Each>
int run_seeds(Each each) {
  Tally tally;
  const bool one = g_arguments.seed != 0;
  const std::uint64_t first = one ? g_arguments.seed : g_arguments.first;
  const std::uint64_t end = one ? first + 1 : first + g_arguments.seeds;
  for (std::uint64_t seed = first; seed < end && tally.failed < kFailuresMax; ++seed) {
    each(tally, seed);
  }
  return tally.say_it();
}

int run_many() {
  return run_seeds([](Tally& tally, std::uint64_t seed) {
    tally.count(passes(Script{.seed = seed,
                              .brief = g_arguments.brief || g_arguments.stop_at.has_value(),
                              .stop_at = g_arguments.stop_at,
                              .print_trace = g_arguments.trace},
                       g_arguments.seed != 0 || seed % kCompareEvery == 0));
  });
}

// A brief run of each seed, and again with a stop before each of its events.
int stop_at_every_step() {
  std::uint64_t runs = 0;
  const int result = run_seeds([&runs](Tally& tally, std::uint64_t seed) {
    const Outcome undisturbed = run(Script{.seed = seed, .brief = true});
    tally.count(undisturbed.check.empty());
    if (!undisturbed.check.empty()) {
      say_failure(undisturbed.check, undisturbed.detail);
    }
    for (std::uint64_t step = 0; step < undisturbed.steps && tally.failed < kFailuresMax; ++step) {
      tally.count(passes(Script{.seed = seed, .brief = true, .stop_at = step},
                         ++runs % kCompareEvery == 0));
    }
  });
  say(fmt::format("\n{} stops, which found            clients so often", runs));
  for (const std::string_view point : trunkline::sim::point_names()) {
    if (point.starts_with("stop ")) {
      say(fmt::format("{:31} {}", point, trunkline::sim::reached_count(point)));
    }
  }
  return result;
}

// In a process of its own, since a fault may break an assertion. Returns what the process wrote.
std::string hunt(const char* mutant) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) {
    return {};
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    if (!trunkline::sim::plant(mutant)) {
      std::_Exit(2);
    }
    for (std::uint64_t seed = 1; seed <= kMutantSeedsMax; ++seed) {
      const Outcome outcome = run(Script{.seed = seed});
      if (!outcome.check.empty()) {
        say_failure(outcome.check, outcome.detail);
        break;
      }
    }
    std::_Exit(0);
  }
  ::close(ends[1]);
  std::string said;
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    said.append(buffer.data(), static_cast<std::size_t>(count));
  }
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return said.substr(0, said.find('\n'));
}

int report() {
  Tally tally;
  say("mutant                          caught by");
  for (const char* mutant : trunkline::sim::mutant_names()) {
    const std::string said = hunt(mutant);
    const bool caught = said.starts_with("FAILED ");
    tally.count(caught);
    say(fmt::format("{:31} {}", mutant, caught ? said.substr(7) : "SURVIVED"));
  }
  const std::uint64_t seeds = g_arguments.seeds;
  for (std::uint64_t seed = g_arguments.first; seed < g_arguments.first + seeds; ++seed) {
    tally.count(passes(Script{.seed = seed}, false));
  }
  say(fmt::format("\nsometimes point, over {} seeds           reached", seeds));
  for (const char* point : trunkline::sim::point_names()) {
    const std::uint64_t count = trunkline::sim::reached_count(point);
    tally.count(count > 0);
    say(fmt::format("{:40} {}", point, count > 0 ? std::to_string(count) : "NEVER"));
  }
  return tally.say_it();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"The hub, its shards and its clients on virtual time, from seeds."};
  app.add_option("--seeds", g_arguments.seeds, "how many seeds");
  app.add_option("--first", g_arguments.first, "the first of them");
  app.add_option("--seed", g_arguments.seed, "one seed, run twice, its hash printed");
  app.add_flag("--brief", g_arguments.brief, "a second in which much happens");
  app.add_option("--stop-at", g_arguments.stop_at,
                 "a brief run whose server is stopped before the event of this number");
  app.add_flag("--stop-at-every-step", g_arguments.every_step,
               "brief runs, each again and again with a stop before each of its events");
  app.add_option("--mutant", g_arguments.mutant, "plant this fault");
  app.add_flag("--report", g_arguments.report, "which faults are caught, which points are reached");
  app.add_flag("--trace", g_arguments.trace, "print what clients send and are sent");
  CLI11_PARSE(app, argc, argv);
  trunkline::set_assert_handler(on_assert);
  if (!trunkline::sim::plant(g_arguments.mutant)) {
    say("no such mutant; --report lists them");
    return 2;
  }
  return g_arguments.report ? report() : g_arguments.every_step ? stop_at_every_step() : run_many();
}
