// SPDX-License-Identifier: Apache-2.0
//
// Fan-out: deliveries a second, server CPU a million deliveries, latency and memory a connection,
// of the server and of two programs that do nothing but the least. See bench/README.md.
#include "fanout/load.h"
#include "measure/process.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <thread>

namespace {

using namespace trunkline::bench;
using trunkline::Result;

struct Arguments {
  std::vector<std::string> subjects = {"floor_sendmsg", "floor_uring", "server"};
  std::vector<std::size_t> subscribers = {100, 1000, 10000};
  std::vector<std::size_t> windows = {1, 16, 64};
  int rounds = 1;
  double seconds = 2;
  unsigned shards = 0;
  bool json = false;
};

struct Row {
  std::string subject;
  std::size_t subscribers = 0;
  std::size_t window = 0;
  double deliveries_per_s = 0;
  double cpu_s_per_million = 0;
  double cpu_user_share = 0;
  double latency_p50_us = 0;
  double latency_p99_us = 0;
  double bytes_per_connection = 0;
  double server_busy = 0;     // cores
  double generator_busy = 0;  // cores; its one thread can fill one
  double ratio = 0;           // of CPU, to floor_sendmsg in the same round
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

std::vector<std::string> command_of(const Arguments& arguments, const std::string& subject,
                                    const std::filesystem::path& bin,
                                    const std::filesystem::path& config) {
  if (subject != "server") {
    return {bin / subject, "--port", "0"};
  }
  return {bin / "trunkline", "serve", "--config", config,
          "--port",          "0",     "--shards", std::to_string(arguments.shards)};
}

void wait(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

Result<Row> measure(const Arguments& arguments, const std::vector<std::string>& command,
                    std::size_t subscribers, std::size_t window) {
  Result<Process> process = Process::start(command);
  if (!process.has_value()) {
    return std::unexpected(process.error());
  }
  Row row;
  row.subscribers = subscribers;
  row.window = window;
  const auto before = static_cast<double>(process->resident_bytes());
  Load load(process->port(), subscribers, window);
  if (const auto connected = load.connect(std::chrono::seconds(60)); !connected.has_value()) {
    return std::unexpected(connected.error());
  }
  wait(0.3);  // what was allocated for handshakes has been given back
  const double grown = static_cast<double>(process->resident_bytes()) - before;
  row.bytes_per_connection = grown / static_cast<double>(subscribers + 1);
  load.begin();
  wait(0.5);
  load.reset();
  const CpuTime server_before = process->cpu();
  const CpuTime own_before = own_cpu();
  wait(arguments.seconds);
  const CpuTime server_after = process->cpu();
  const CpuTime own_after = own_cpu();
  const Result<LoadResult> result = load.result();
  if (!result.has_value()) {
    return std::unexpected(result.error());
  }
  const auto deliveries = static_cast<double>(result->deliveries);
  const double cpu = server_after.total() - server_before.total();
  row.deliveries_per_s = deliveries / result->seconds;
  row.cpu_s_per_million = cpu / deliveries * 1e6;
  row.cpu_user_share = cpu > 0 ? (server_after.user - server_before.user) / cpu : 0;
  row.latency_p50_us = static_cast<double>(result->p50_ns) / 1e3;
  row.latency_p99_us = static_cast<double>(result->p99_ns) / 1e3;
  row.server_busy = cpu / result->seconds;
  row.generator_busy = (own_after.total() - own_before.total()) / result->seconds;
  return row;
}

void print(const Row& row, bool json) {
  if (json) {
    const nlohmann::json line = {{"bench", "fanout"},
                                 {"subject", row.subject},
                                 {"subscribers", row.subscribers},
                                 {"window", row.window},
                                 {"deliveries_per_s", row.deliveries_per_s},
                                 {"cpu_s_per_million", row.cpu_s_per_million},
                                 {"cpu_user_share", row.cpu_user_share},
                                 {"ratio_to_floor", row.ratio},
                                 {"latency_us_p50", row.latency_p50_us},
                                 {"latency_us_p99", row.latency_p99_us},
                                 {"bytes_per_connection", row.bytes_per_connection},
                                 {"server_busy_cores", row.server_busy},
                                 {"generator_busy_cores", row.generator_busy}};
    fmt::print("{}\n", line.dump());
  } else {
    // With its one thread full and the server not, the generator sets the pace: the rate is then
    // the generator's, the CPU a delivery is still the server's.
    const bool bound = row.generator_busy > 0.95 && row.server_busy < 0.9;
    fmt::print(
        "{:<14} {:>7} {:>4} {:>12.0f} {:>8.3f} {:>6.2f} {:>9.0f} {:>9.0f} {:>8.0f} "
        "{:>6.2f} {:>6.2f}{}\n",
        row.subject, row.subscribers, row.window, row.deliveries_per_s, row.cpu_s_per_million,
        row.ratio, row.latency_p50_us, row.latency_p99_us, row.bytes_per_connection,
        row.server_busy, row.generator_busy, bound ? "  generator-bound" : "");
  }
  std::fflush(stdout);
}

// The rounds of one place in the matrix, subjects in turn, so that the machine's drift meets all.
bool run_place(const Arguments& arguments, std::size_t subscribers, std::size_t window,
               const std::filesystem::path& bin, const std::filesystem::path& config) {
  std::map<std::string, std::vector<Row>> rows;
  for (int round = 0; round < arguments.rounds; ++round) {
    double floor = 0;
    for (const std::string& subject : arguments.subjects) {
      Result<Row> row =
          measure(arguments, command_of(arguments, subject, bin, config), subscribers, window);
      if (!row.has_value()) {
        fmt::print(stderr, "{} with {} subscribers, window {}: {}\n", subject, subscribers, window,
                   trunkline::to_string(row.error()));
        return false;
      }
      row->subject = subject;
      floor = subject == "floor_sendmsg" ? row->cpu_s_per_million : floor;
      row->ratio = floor > 0 ? row->cpu_s_per_million / floor : 0;
      rows[subject].push_back(*row);
    }
  }
  for (const std::string& subject : arguments.subjects) {
    std::vector<Row>& all = rows[subject];
    std::vector<double> ratios;
    for (const Row& row : all) {
      ratios.push_back(row.ratio);
    }
    std::ranges::sort(all, {}, &Row::cpu_s_per_million);
    Row quoted = all[all.size() / 2];
    quoted.ratio = median(ratios);
    print(quoted, arguments.json);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Fan-out of 128-byte messages to many subscribers: the server and two floors");
  app.add_option("--subjects", arguments.subjects, "floor_sendmsg, floor_uring, server")
      ->delimiter(',')
      ->check(CLI::IsMember({"floor_sendmsg", "floor_uring", "server"}));
  app.add_option("--subscribers", arguments.subscribers, "Numbers of subscribers")->delimiter(',');
  app.add_option("--windows", arguments.windows, "Publications in flight")->delimiter(',');
  app.add_option("--rounds", arguments.rounds, "Times everything is measured; medians are quoted");
  app.add_option("--seconds", arguments.seconds, "Measured time of one row");
  app.add_option("--shards", arguments.shards, "The server's threads; 0: one a core");
  app.add_flag("--json", arguments.json, "One line a row");
  CLI11_PARSE(app, argc, argv);

  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  const std::filesystem::path bin = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const std::filesystem::path config = TRUNKLINE_BENCH_CONFIG;
  if (!arguments.json) {
    fmt::print("{:<14} {:>7} {:>4} {:>12} {:>8} {:>6} {:>9} {:>9} {:>8} {:>6} {:>6}\n", "subject",
               "subs", "win", "deliveries/s", "cpu s/M", "ratio", "p50 us", "p99 us", "B/conn",
               "server", "gen");
  }
  bool good = true;
  for (const std::size_t subscribers : arguments.subscribers) {
    for (const std::size_t window : arguments.windows) {
      good = run_place(arguments, subscribers, window, bin, config) && good;
    }
  }
  return good ? 0 : 1;
}
