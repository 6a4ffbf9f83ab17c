// SPDX-License-Identifier: Apache-2.0
//
// What permessage-deflate costs the server a publication, by the number of subscribers. See
// bench/README.md.
#include "fanout/load.h"
#include "measure/process.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace {

using namespace trunkline::bench;
using trunkline::Result;

struct Arguments {
  std::vector<std::size_t> subscribers = {1, 10, 100, 1000};
  std::size_t bytes = 1024;
  std::size_t window = 4;
  int rounds = 3;
  double seconds = 2;
  bool json = false;
};

constexpr std::chrono::duration<double> kWarmUp{0.3};

// Of one publication, of one run.
struct Cost {
  double user_us = 0;
  double all_us = 0;
};

Result<Cost> measure(const Arguments& arguments, std::size_t subscribers, bool compression) {
  const Result<Process> process =
      Process::start({program("trunkline"), "serve", "--config", TRUNKLINE_BENCH_CONFIG, "--port",
                      "0", "--shards", "1"});
  if (!process.has_value()) {
    return std::unexpected(process.error());
  }
  const auto load = make_client_load({.port = process->port(),
                                      .subscribers = subscribers,
                                      .window = arguments.window,
                                      .message_bytes = arguments.bytes,
                                      .compression = compression});
  if (const auto connected = load->connect(std::chrono::seconds(60)); !connected.has_value()) {
    return std::unexpected(connected.error());
  }
  if (const auto warm = load->run(kWarmUp); !warm.has_value()) {
    return std::unexpected(warm.error());
  }
  const CpuTime before = process->cpu();
  const auto result = load->run(std::chrono::duration<double>(arguments.seconds));
  const CpuTime used = process->cpu() - before;
  if (!result.has_value()) {
    return std::unexpected(result.error());
  }
  if (const auto finished = load->finish(std::chrono::seconds(10)); !finished.has_value()) {
    return std::unexpected(finished.error());
  }
  const double publications =
      static_cast<double>(result->deliveries) / static_cast<double>(subscribers);
  return Cost{.user_us = used.user / publications * 1e6,
              .all_us = used.total() / publications * 1e6};
}

Cost median(std::vector<Cost> costs) {
  std::ranges::sort(costs, {}, &Cost::user_us);
  return costs[costs.size() / 2];
}

Result<void> run_place(const Arguments& arguments, std::size_t subscribers) {
  std::vector<Cost> plain;
  std::vector<Cost> deflate;
  for (int round = 0; round < arguments.rounds; ++round) {
    for (const bool compression : {round % 2 == 1, round % 2 == 0}) {
      const Result<Cost> cost = measure(arguments, subscribers, compression);
      if (!cost.has_value()) {
        return std::unexpected(cost.error());
      }
      (compression ? deflate : plain).push_back(*cost);
    }
  }
  const Cost without = median(plain);
  const Cost with = median(deflate);
  if (arguments.json) {
    const nlohmann::json line = {{"bench", "deflate"},
                                 {"subscribers", subscribers},
                                 {"message_bytes", arguments.bytes},
                                 {"rounds", arguments.rounds},
                                 {"plain_user_us", without.user_us},
                                 {"deflate_user_us", with.user_us},
                                 {"difference_user_us", with.user_us - without.user_us},
                                 {"plain_all_us", without.all_us},
                                 {"deflate_all_us", with.all_us}};
    fmt::print("{}\n", line.dump());
  } else {
    fmt::print("{:>6} {:>10.1f} {:>10.1f} {:>13.1f} {:>12.1f} {:>14.1f}\n", subscribers,
               without.user_us, with.user_us, with.user_us - without.user_us, without.all_us,
               with.all_us);
  }
  std::fflush(stdout);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("What permessage-deflate costs the server a publication, by subscribers");
  app.add_option("--subscribers", arguments.subscribers, "Numbers of subscribers")->delimiter(',');
  app.add_option("--bytes", arguments.bytes, "Of a publication's data")
      ->check(CLI::Range(64, 60'000));
  app.add_option("--window", arguments.window, "Publications in flight");
  app.add_option("--rounds", arguments.rounds, "Times everything is measured; medians are quoted");
  app.add_option("--seconds", arguments.seconds, "Measured time of one row");
  app.add_flag("--json", arguments.json, "One line a row");
  CLI11_PARSE(app, argc, argv);

  raise_descriptor_limit();
  if (!arguments.json) {
    fmt::print("{:>6} {:>10} {:>10} {:>13} {:>12} {:>14}\n", "subs", "plain us", "deflate us",
               "difference us", "plain all us", "deflate all us");
  }
  for (const std::size_t subscribers : arguments.subscribers) {
    if (const auto ran = run_place(arguments, subscribers); !ran.has_value()) {
      fmt::print(stderr, "{} subscribers: {}\n", subscribers, trunkline::to_string(ran.error()));
      return 1;
    }
  }
  return 0;
}
