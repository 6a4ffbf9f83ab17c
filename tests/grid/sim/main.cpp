// SPDX-License-Identifier: Apache-2.0
#include "core/assert.h"
#include "grid/sim/marks.h"
#include "grid/sim/world.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using trunkline::grid::sim::Outcome;
using trunkline::grid::sim::World;

constexpr std::uint64_t kMutantSeedsMax = 500;
constexpr std::uint64_t kCompareEvery = 50;
constexpr std::uint64_t kFailuresMax = 10;

struct Arguments {
  std::uint64_t seeds = 2000;
  std::uint64_t first = 1;
  std::uint64_t seed = 0;
  std::string mutant;
  bool report = false;
  bool trace = false;
};

Arguments g_arguments;
std::uint64_t g_seed = 0;  // the one that runs
Outcome g_outcome;         // of it, while it is being taken down

void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

void say_failure(std::string_view check, std::string_view detail) {
  const std::string mutant =
      g_arguments.mutant.empty() ? "" : fmt::format(" --mutant {}", g_arguments.mutant);
  say(fmt::format("FAILED seed {}: {}: {}\n  replay: grid_sim --seed {}{} --trace", g_seed, check,
                  detail, g_seed, mutant));
}

// The program ends here: what is broken inside can not be taken down in order. What was seen before
// says more.
void on_assert(const char* expression, const char* file, int line) {
  if (g_outcome.check.empty()) {
    g_outcome = {.check = "assertion", .detail = fmt::format("{} ({}:{})", expression, file, line)};
  }
  say_failure(g_outcome.check, g_outcome.detail);
  say("0 passed, 1 failed");
  std::_Exit(1);
}

Outcome run(std::uint64_t seed, bool print_trace) {
  g_seed = seed;
  g_outcome = {};
  World world(seed, print_trace);
  g_outcome = world.run();
  return g_outcome;
}

// False when something was violated, or a second run is another one.
bool passes(std::uint64_t seed, bool twice) {
  const Outcome outcome = run(seed, g_arguments.trace);
  if (!outcome.check.empty()) {
    say_failure(outcome.check, outcome.detail);
    return false;
  }
  if (twice && run(seed, false).trace_hash != outcome.trace_hash) {
    say_failure("determinism", "a second run of the seed was another");
    return false;
  }
  if (g_arguments.seed != 0) {
    say(fmt::format("seed {}: {} steps, trace {:016x}", seed, outcome.steps, outcome.trace_hash));
  }
  return true;
}

int run_seeds() {
  const bool one = g_arguments.seed != 0;
  const std::uint64_t first = one ? g_arguments.seed : g_arguments.first;
  const std::uint64_t end = one ? first + 1 : first + g_arguments.seeds;
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;
  for (std::uint64_t seed = first; seed < end && failed < kFailuresMax; ++seed) {
    ++(passes(seed, one || seed % kCompareEvery == 0) ? passed : failed);
  }
  say(fmt::format("{} passed, {} failed", passed, failed));
  return failed == 0 ? 0 : 1;
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
    if (!trunkline::grid::sim::plant(mutant)) {
      std::_Exit(2);
    }
    for (std::uint64_t seed = 1; seed <= kMutantSeedsMax; ++seed) {
      if (const Outcome outcome = run(seed, false); !outcome.check.empty()) {
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

// Every fault has to be found, every situation reached.
int report() {
  std::uint64_t failed = 0;
  say("mutant                          caught by");
  for (const char* mutant : trunkline::grid::sim::mutant_names()) {
    const std::string said = hunt(mutant);
    const bool caught = said.starts_with("FAILED ");
    failed += caught ? 0U : 1U;
    say(fmt::format("{:31} {}", mutant, caught ? said.substr(7) : "SURVIVED"));
  }
  constexpr std::uint64_t kSeeds = 400;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    failed += passes(seed, false) ? 0U : 1U;
  }
  say(fmt::format("\nsometimes point, over {} seeds                       reached", kSeeds));
  for (const char* point : trunkline::grid::sim::point_names()) {
    const std::uint64_t count = trunkline::grid::sim::reached_count(point);
    failed += count > 0 ? 0U : 1U;
    say(fmt::format("{:52} {}", point, count > 0 ? std::to_string(count) : "NEVER"));
  }
  say(fmt::format("{} failed", failed));
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"A grid of nodes on virtual time, from seeds."};
  app.add_option("--seeds", g_arguments.seeds, "how many seeds");
  app.add_option("--first", g_arguments.first, "the first of them");
  app.add_option("--seed", g_arguments.seed, "one seed, run twice, its hash printed");
  app.add_option("--mutant", g_arguments.mutant, "plant this fault");
  app.add_flag("--report", g_arguments.report, "which faults are caught, which points are reached");
  app.add_flag("--trace", g_arguments.trace, "print the events");
  CLI11_PARSE(app, argc, argv);
  trunkline::set_assert_handler(on_assert);
  if (!trunkline::grid::sim::plant(g_arguments.mutant)) {
    say("no such mutant; --report lists them");
    return 2;
  }
  return g_arguments.report ? report() : run_seeds();
}
