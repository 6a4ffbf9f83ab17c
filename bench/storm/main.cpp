// SPDX-License-Identifier: Apache-2.0
//
// All clients lose their connections at once and come back at once to recover what they missed.
// See bench/README.md.
#include "measure/process.h"
#include "storm/storm_load.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

namespace {

using namespace trunkline::bench;
using trunkline::Result;

struct Arguments {
  std::size_t clients = 10000;
  std::vector<std::size_t> channels = {1, 100};
  std::size_t missed = 100;
  std::size_t bytes = 128;
  int rounds = 3;
  unsigned shards = 0;
  bool json = false;
};

struct Row {
  std::size_t channels = 0;
  double p50_ms = 0;  // of a client, until it has all that it missed
  double p99_ms = 0;
  double all_ms = 0;      // until the last has
  double server_cpu = 0;  // seconds
  double own_cpu = 0;
  double waiting = 0;             // thread seconds of both that were ready and had no core
  std::uint64_t turned_away = 0;  // connections that the kernel let try again later
};

// Live publications before the storm, so that everybody stands somewhere, and after it.
constexpr std::size_t kBefore = 3;
constexpr std::size_t kAfter = 2;
constexpr std::chrono::milliseconds kForgetting{500};

// Of the whole machine: connects that found the listener's queue full. Each tries again after a
// second.
std::uint64_t listen_overflows() {
  std::ifstream file("/proc/net/netstat");
  std::string names;
  std::string values;
  while (std::getline(file, names) && std::getline(file, values)) {
    std::istringstream name_fields(names);
    std::istringstream value_fields(values);
    std::string name;
    std::string value;
    while (name_fields >> name && value_fields >> value) {
      if (name == "ListenOverflows") {
        return std::stoull(value);
      }
    }
  }
  return 0;
}

Result<Row> storm(const Process& process, StormLoad& load) {
  const CpuTime server_before = process.cpu();
  const CpuTime own_before = own_cpu();
  const std::uint64_t overflows_before = listen_overflows();
  const auto began = Clock::now();
  const auto times = load.come_back();
  if (!times.has_value()) {
    return std::unexpected(times.error());
  }
  Row row;
  row.all_ms = std::chrono::duration<double, std::milli>(Clock::now() - began).count();
  const CpuTime server = process.cpu() - server_before;
  const CpuTime own = own_cpu() - own_before;
  row.p50_ms = static_cast<double>(times->percentile(0.5)) / 1e6;
  row.p99_ms = static_cast<double>(times->percentile(0.99)) / 1e6;
  row.server_cpu = server.total();
  row.own_cpu = own.total();
  row.waiting = server.waiting + own.waiting;
  row.turned_away = listen_overflows() - overflows_before;
  // Once more to all: who got anything twice, or is not there, shows now.
  if (const auto live = load.publish_live(kAfter); !live.has_value()) {
    return std::unexpected(live.error());
  }
  return row;
}

Result<Row> measure(const Arguments& arguments, std::size_t channels) {
  const Result<Process> process =
      Process::start({program("trunkline"), "serve", "--config", TRUNKLINE_BENCH_CONFIG, "--port",
                      "0", "--shards", std::to_string(arguments.shards)});
  if (!process.has_value()) {
    return std::unexpected(process.error());
  }
  StormLoad load({process->port(), arguments.clients, channels, arguments.bytes});
  if (const auto connected = load.connect(); !connected.has_value()) {
    return std::unexpected(connected.error());
  }
  if (const auto live = load.publish_live(kBefore); !live.has_value()) {
    return std::unexpected(live.error());
  }
  load.drop();
  if (const auto missed = load.publish_missed(arguments.missed); !missed.has_value()) {
    return std::unexpected(missed.error());
  }
  // That the server forgets ten thousand connections is not what is measured.
  std::this_thread::sleep_for(kForgetting);
  Result<Row> row = storm(*process, load);
  if (row.has_value()) {
    row->channels = channels;
  }
  return row;
}

void print(const Arguments& arguments, const Row& row) {
  const auto clients = static_cast<double>(arguments.clients);
  if (!arguments.json) {
    fmt::print(
        "{:>7} {:>8} {:>6} {:>8.0f} {:>8.0f} {:>8.0f} {:>9.0f} {:>8.2f} {:>8.2f} {:>6.2f} {:>6}\n",
        arguments.clients, row.channels, arguments.missed, row.p50_ms, row.p99_ms, row.all_ms,
        row.server_cpu / clients * 1e6, row.server_cpu, row.own_cpu, row.waiting, row.turned_away);
  } else {
    const nlohmann::json line = {{"bench", "storm"},
                                 {"clients", arguments.clients},
                                 {"channels", row.channels},
                                 {"missed", arguments.missed},
                                 {"time_ms_p50", row.p50_ms},
                                 {"time_ms_p99", row.p99_ms},
                                 {"all_ms", row.all_ms},
                                 {"server_cpu_us_per_client", row.server_cpu / clients * 1e6},
                                 {"server_cpu_s", row.server_cpu},
                                 {"generator_cpu_s", row.own_cpu},
                                 {"waiting_s", row.waiting},
                                 {"turned_away", row.turned_away}};
    fmt::print("{}\n", line.dump());
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Everybody reconnects at once and recovers");
  app.add_option("--clients", arguments.clients, "Clients");
  app.add_option("--channels", arguments.channels, "Numbers of channels that they share")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  app.add_option("--missed", arguments.missed, "Publications of each channel meanwhile")
      ->check(CLI::Range(1, 990));
  app.add_option("--bytes", arguments.bytes, "Of a publication's data");
  app.add_option("--rounds", arguments.rounds, "Times everything is measured");
  app.add_option("--shards", arguments.shards, "The server's threads; 0: one a core");
  app.add_flag("--json", arguments.json, "One line a row");
  CLI11_PARSE(app, argc, argv);
  raise_descriptor_limit();
  if (!arguments.json) {
    fmt::print("{:>7} {:>8} {:>6} {:>8} {:>8} {:>8} {:>9} {:>8} {:>8} {:>6} {:>6}\n", "clients",
               "channels", "missed", "p50 ms", "p99 ms", "all ms", "us/client", "server s", "gen s",
               "wait s", "retry");
    std::fflush(stdout);
  }
  for (const std::size_t channels : arguments.channels) {
    for (int round = 0; round < arguments.rounds; ++round) {
      const Result<Row> row = measure(arguments, channels);
      if (!row.has_value()) {
        fmt::print(stderr, "{} channels: {}\n", channels, trunkline::to_string(row.error()));
        return 1;
      }
      print(arguments, *row);
    }
  }
  return 0;
}
