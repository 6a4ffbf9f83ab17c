// SPDX-License-Identifier: Apache-2.0
//
// What subscribers that stop reading cost those who go on, and what becomes of the stalled ones.
// See bench/README.md.
#include "measure/process.h"
#include "slow/slow_load.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <thread>

namespace {

using namespace trunkline::bench;
using trunkline::Result;

struct Arguments {
  std::size_t healthy = 1000;
  std::size_t stalled = 1000;
  double rate = 100;
  std::size_t bytes = 1024;
  double seconds = 60;
  double settle = 5;
  std::size_t history_bytes = 0;
  int receive_bytes = 0;
  unsigned shards = 0;
  int rounds = 1;
  bool json = false;
};

struct Row {
  std::size_t stalled = 0;
  std::uint64_t published = 0;
  double blocked = 0;  // connections whose socket is full, when the measuring began
  double p50_us = 0;
  double p99_us = 0;
  double server_cpu = 0;    // cores
  double waiting = 0;       // threads of both that were ready and had no core, on average
  double growth = 0;        // bytes of resident memory, from connected to published
  double growth_after = 0;  // … to the end
  Caught caught;
};

constexpr std::chrono::milliseconds kGivingBack{300};
constexpr std::chrono::seconds kCatchingUp{60};

// The figures of the time in which publications are measured.
Result<void> measure(const Arguments& arguments, const Process& process, SlowLoad& load, Row& row) {
  row.blocked = read_metric(process.port(), "trunkline_connections_blocked").value_or(-1);
  const CpuTime server_before = process.cpu();
  const CpuTime own_before = own_cpu();
  const auto latency = load.run(std::chrono::duration<double>(arguments.seconds));
  if (!latency.has_value()) {
    return std::unexpected(latency.error());
  }
  const CpuTime server = process.cpu() - server_before;
  const CpuTime own = own_cpu() - own_before;
  row.p50_us = static_cast<double>(latency->percentile(0.5)) / 1e3;
  row.p99_us = static_cast<double>(latency->percentile(0.99)) / 1e3;
  row.server_cpu = server.total() / arguments.seconds;
  row.waiting = (server.waiting + own.waiting) / arguments.seconds;
  return {};
}

Result<Row> run(const Arguments& arguments, std::size_t stalled) {
  const Result<Process> process =
      Process::start({program("trunkline"), "serve", "--config", TRUNKLINE_BENCH_CONFIG, "--port",
                      "0", "--shards", std::to_string(arguments.shards)});
  if (!process.has_value()) {
    return std::unexpected(process.error());
  }
  SlowLoad load({process->port(), arguments.healthy, stalled, arguments.rate, arguments.bytes,
                 arguments.receive_bytes});
  if (const auto connected = load.connect(); !connected.has_value()) {
    return std::unexpected(connected.error());
  }
  std::this_thread::sleep_for(kGivingBack);
  const auto resident = static_cast<double>(process->resident_bytes());
  if (const auto settled = load.run(std::chrono::duration<double>(arguments.settle));
      !settled.has_value()) {
    return std::unexpected(settled.error());
  }
  Row row;
  row.stalled = stalled;
  if (const auto measured = measure(arguments, *process, load, row); !measured.has_value()) {
    return std::unexpected(measured.error());
  }
  row.published = load.published();
  row.growth = static_cast<double>(process->resident_bytes()) - resident;
  const auto caught = load.release(kCatchingUp);
  if (!caught.has_value()) {
    return std::unexpected(caught.error());
  }
  row.caught = *caught;
  row.growth_after = static_cast<double>(process->resident_bytes()) - resident;
  return row;
}

// What the server may have grown by: the log's bound and 4 KiB a stalled client.
double bound_of(const Arguments& arguments, const Row& row) {
  std::ifstream file(TRUNKLINE_BENCH_CONFIG);
  const nlohmann::json config = nlohmann::json::parse(file);
  const double log =
      arguments.history_bytes > 0
          ? static_cast<double>(arguments.history_bytes)
          : config.at("/channel/without_namespace/history_bytes"_json_pointer).get<double>();
  return log + 4096 * static_cast<double>(row.stalled);
}

void print(const Arguments& arguments, const Row& row, const Row& baseline) {
  const double ratio50 = row.p50_us / baseline.p50_us;
  const double ratio99 = row.p99_us / baseline.p99_us;
  const double bound = bound_of(arguments, row);
  const double per_stalled =
      (row.growth - baseline.growth) / static_cast<double>(std::max<std::size_t>(row.stalled, 1));
  if (!arguments.json) {
    fmt::print(
        "{:>7} {:>7} {:>7} {:>7} {:>9.0f} {:>9.0f} {:>6.2f} {:>6.2f} {:>6.2f} {:>6.2f} {:>9.0f} "
        "{:>9.0f} {:>9.0f} {:>8.0f} {:>8} {:>6} {:>7} {:>8.2f}\n",
        arguments.healthy, row.stalled, row.published, row.blocked, row.p50_us, row.p99_us, ratio50,
        ratio99, row.server_cpu, row.waiting, row.growth / 1024, row.growth_after / 1024,
        bound / 1024, per_stalled, row.caught.complete, row.caught.told, row.caught.lost_max,
        row.caught.seconds);
  } else {
    const nlohmann::json line = {{"bench", "slow"},
                                 {"healthy", arguments.healthy},
                                 {"stalled", row.stalled},
                                 {"rate_per_s", arguments.rate},
                                 {"message_bytes", arguments.bytes},
                                 {"published", row.published},
                                 {"blocked", row.blocked},
                                 {"latency_us_p50", row.p50_us},
                                 {"latency_us_p99", row.p99_us},
                                 {"ratio_p50", ratio50},
                                 {"ratio_p99", ratio99},
                                 {"server_cores", row.server_cpu},
                                 {"waiting", row.waiting},
                                 {"growth_bytes", row.growth},
                                 {"growth_bytes_after_release", row.growth_after},
                                 {"bound_bytes", bound},
                                 {"bytes_per_stalled", per_stalled},
                                 {"complete", row.caught.complete},
                                 {"told", row.caught.told},
                                 {"lost_publications_max", row.caught.lost_max},
                                 {"release_s", row.caught.seconds}};
    fmt::print("{}\n", line.dump());
  }
  std::fflush(stdout);
}

bool run_round(const Arguments& arguments) {
  Row baseline;
  for (const std::size_t stalled : {std::size_t{0}, arguments.stalled}) {
    const Result<Row> row = run(arguments, stalled);
    if (!row.has_value()) {
      fmt::print(stderr, "{} stalled: {}\n", stalled, trunkline::to_string(row.error()));
      return false;
    }
    baseline = stalled == 0 ? *row : baseline;
    print(arguments, *row, baseline);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Subscribers that stop reading: what they cost the others, and what they get");
  app.add_option("--healthy", arguments.healthy, "Subscribers that read");
  app.add_option("--stalled", arguments.stalled, "Subscribers that stop reading");
  app.add_option("--rate", arguments.rate, "Publications a second");
  app.add_option("--bytes", arguments.bytes, "Of a publication's data");
  app.add_option("--seconds", arguments.seconds, "Measured time of a run");
  app.add_option("--settle", arguments.settle,
                 "Seconds of publishing before, in which the stalled fill their sockets");
  app.add_option("--history-bytes", arguments.history_bytes,
                 "The log's bound; 0: that of bench/slow/server.json, which holds the default run");
  app.add_option("--stalled-receive-bytes", arguments.receive_bytes,
                 "SO_RCVBUF of the stalled; 0: the system's");
  app.add_option("--shards", arguments.shards, "The server's threads; 0: one a core");
  app.add_option("--rounds", arguments.rounds, "Times everything is measured");
  app.add_flag("--json", arguments.json, "One line a row");
  CLI11_PARSE(app, argc, argv);
  raise_descriptor_limit();
  if (arguments.history_bytes > 0) {
    // The server inherits it; this is the only thread.
    ::setenv("TRUNKLINE_CHANNEL_WITHOUT_NAMESPACE_HISTORY_BYTES",
             std::to_string(arguments.history_bytes).c_str(), 1);
  }
  if (!arguments.json) {
    fmt::print(
        "{:>7} {:>7} {:>7} {:>7} {:>9} {:>9} {:>6} {:>6} {:>6} {:>6} {:>9} {:>9} {:>9} {:>8} {:>8} "
        "{:>6} "
        "{:>7} {:>8}\n",
        "healthy", "stalled", "msgs", "blocked", "p50 us", "p99 us", "r p50", "r p99", "server",
        "wait", "grow KiB", "after KiB", "bound KiB", "B/stall", "complete", "told", "lost",
        "read s");
    std::fflush(stdout);
  }
  bool good = true;
  for (int round = 0; round < arguments.rounds && good; ++round) {
    good = run_round(arguments);
  }
  return good ? 0 : 1;
}
