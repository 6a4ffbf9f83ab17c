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
#include <string>

namespace {

using trunkline::sim::Outcome;
using trunkline::sim::World;

constexpr std::uint64_t kMutantSeedsMax = 500;
constexpr std::uint64_t kCompareEvery = 20;

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

void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

std::string replay_command() {
  const std::string mutant =
      g_arguments.mutant.empty() ? "" : fmt::format(" --mutant {}", g_arguments.mutant);
  return fmt::format("trunkline_sim --seed {}{} --trace", g_seed, mutant);
}

void say_failure(std::string_view check, std::string_view detail) {
  say(fmt::format("FAILED seed {}: {}: {}\n  replay: {}", g_seed, check, detail, replay_command()));
}

// The program ends here: what is broken inside can not be taken down in order.
void on_assert(const char* expression, const char* file, int line) {
  const std::string_view path = file;
  say_failure("assertion",
              fmt::format("{} ({}:{})", expression, path.substr(path.find_last_of('/') + 1), line));
  say("0 passed, 1 failed");
  std::_Exit(1);
}

Outcome run_seed(std::uint64_t seed, bool trace) {
  g_seed = seed;
  World world(seed, trace);
  return world.run();
}

// Runs the seed, a second time to compare when `twice`; false when something was violated.
bool passes(std::uint64_t seed, bool twice) {
  const Outcome outcome = run_seed(seed, g_arguments.trace);
  if (!outcome.check.empty()) {
    say_failure(outcome.check, outcome.detail);
    return false;
  }
  if (twice && run_seed(seed, false).trace_hash != outcome.trace_hash) {
    say_failure("determinism", "a second run of the seed was another");
    return false;
  }
  if (g_arguments.seed != 0) {
    say(fmt::format("seed {}: {} events, {} publications, trace {:016x}", seed, outcome.events,
                    outcome.published, outcome.trace_hash));
  }
  return true;
}

int run_many() {
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;
  const bool one = g_arguments.seed != 0;
  const std::uint64_t first = one ? g_arguments.seed : g_arguments.first;
  const std::uint64_t end = one ? first + 1 : first + g_arguments.seeds;
  for (std::uint64_t seed = first; seed < end && failed < 10; ++seed) {
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
    if (!trunkline::sim::plant(mutant)) {
      std::_Exit(2);
    }
    for (std::uint64_t seed = 1; seed <= kMutantSeedsMax; ++seed) {
      const Outcome outcome = run_seed(seed, false);
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
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;
  say("mutant                          caught by");
  for (const char* mutant : trunkline::sim::mutant_names()) {
    const std::string said = hunt(mutant);
    const bool caught = said.starts_with("FAILED ");
    ++(caught ? passed : failed);
    say(fmt::format("{:31} {}", mutant, caught ? said.substr(7) : "SURVIVED"));
  }
  const std::uint64_t seeds = g_arguments.seeds;
  for (std::uint64_t seed = g_arguments.first; seed < g_arguments.first + seeds; ++seed) {
    ++(passes(seed, false) ? passed : failed);
  }
  say(fmt::format("\nsometimes point, over {} seeds           reached", seeds));
  for (const char* point : trunkline::sim::point_names()) {
    const std::uint64_t count = trunkline::sim::reached_count(point);
    ++(count > 0 ? passed : failed);
    say(fmt::format("{:40} {}", point, count > 0 ? std::to_string(count) : "NEVER"));
  }
  say(fmt::format("{} passed, {} failed", passed, failed));
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"The hub, its shards and its clients on virtual time, from seeds."};
  app.add_option("--seeds", g_arguments.seeds, "how many seeds");
  app.add_option("--first", g_arguments.first, "the first of them");
  app.add_option("--seed", g_arguments.seed, "one seed, run twice, its hash printed");
  app.add_option("--mutant", g_arguments.mutant, "plant this fault");
  app.add_flag("--report", g_arguments.report, "which faults are caught, which points are reached");
  app.add_flag("--trace", g_arguments.trace, "print what clients send and are sent");
  CLI11_PARSE(app, argc, argv);
  trunkline::set_assert_handler(on_assert);
  if (!trunkline::sim::plant(g_arguments.mutant)) {
    say("no such mutant; --report lists them");
    return 2;
  }
  return g_arguments.report ? report() : run_many();
}
