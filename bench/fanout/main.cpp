// SPDX-License-Identifier: Apache-2.0
//
// Fan-out: deliveries a second, server CPU a million deliveries, latency and
// memory a connection, of the server and of two programs that do nothing but
// the least. See bench/README.md.
#include "fanout/load.h"
#include "measure/process.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <thread>

namespace {

using namespace trunkline::bench;
using trunkline::Result;

struct Arguments {
  std::vector<std::string> subjects = {"floor_sendmsg", "server_direct", "floor_uring", "server"};
  std::vector<std::size_t> subscribers = {100, 1000, 10000};
  std::vector<std::size_t> windows = {1, 16, 64};
  int rounds = 3;
  double seconds = 1;
  unsigned shards = 0;
  std::string load = "raw";
  bool json = false;
};

struct Row {
  std::string subject;
  std::size_t subscribers = 0;
  std::size_t window = 0;
  double deliveries_per_s = 0;
  double cpu_s_per_million = 0;
  double cpu_user_s_per_million = 0;
  double latency_p50_us = 0;
  double latency_p99_us = 0;
  double bytes_per_connection = 0;
  double server_busy = 0;     // cores
  double generator_busy = 0;  // cores; its one thread can fill one
  double waiting = 0;         // threads of both that were ready and had no core, on average
  double ratio = 0;           // of CPU, to its floor in the same round
};

constexpr std::chrono::duration<double> kWarmUp{0.5};
constexpr std::chrono::duration<double> kSettling{0.1};

// With its one thread full and the subject not, the generator sets the pace.
bool is_generator_bound(const Row& row) {
  return row.generator_busy > 0.95 && row.server_busy < 0.9;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

std::vector<std::string> command_of(const Arguments& arguments, const std::string& subject,
                                    const std::string& config) {
  if (subject.starts_with("floor")) {
    return {program(subject), "--port", "0"};
  }
  std::vector<std::string> command = {program("trunkline"),
                                      "serve",
                                      "--config",
                                      config,
                                      "--port",
                                      "0",
                                      "--shards",
                                      std::to_string(arguments.shards)};
  if (subject == "server_direct") {
    command.emplace_back("--no-io-uring");
  }
  return command;
}

// What a subject is held against: the floor that sends in the same way.
std::string floor_of(const std::string& subject) {
  return subject == "server" ? "floor_uring" : "floor_sendmsg";
}

std::unique_ptr<Load> make_load(const Arguments& arguments, const LoadOptions& options) {
  return arguments.load == "raw" ? make_raw_load(options) : make_client_load(options);
}

// Touches what a subject has once and not for each connection (buffers, the
// log, a heap), which would else be counted with the connections.
Result<void> settle(const Arguments& arguments, std::uint16_t port) {
  const auto load = make_load(arguments, {.port = port, .subscribers = 4, .window = 16});
  if (auto connected = load->connect(std::chrono::seconds(10)); !connected.has_value()) {
    return connected;
  }
  if (const auto ran = load->run(kSettling); !ran.has_value()) {
    return std::unexpected(ran.error());
  }
  return load->finish(std::chrono::seconds(10));
}

Result<double> connect(const Process& process, Load& load, std::size_t subscribers) {
  const auto before = static_cast<double>(process.resident_bytes());
  if (const auto connected = load.connect(std::chrono::seconds(60)); !connected.has_value()) {
    return std::unexpected(connected.error());
  }
  std::this_thread::sleep_for(kSettling);  // what handshakes took has then been given back
  const double grown = static_cast<double>(process.resident_bytes()) - before;
  return grown / static_cast<double>(subscribers + 1);
}

// Warms up, measures, and sees that everything arrives in the end.
Result<Row> drive(const Arguments& arguments, const Process& process, Load& load) {
  if (const auto warm = load.run(kWarmUp); !warm.has_value()) {
    return std::unexpected(warm.error());
  }
  const CpuTime subject_before = process.cpu();
  const CpuTime own_before = own_cpu();
  const auto result = load.run(std::chrono::duration<double>(arguments.seconds));
  const CpuTime subject = process.cpu() - subject_before;
  const CpuTime own = own_cpu() - own_before;
  if (!result.has_value()) {
    return std::unexpected(result.error());
  }
  if (const auto finished = load.finish(std::chrono::seconds(10)); !finished.has_value()) {
    return std::unexpected(finished.error());
  }
  const auto deliveries = static_cast<double>(result->deliveries);
  Row row;
  row.deliveries_per_s = deliveries / result->seconds;
  row.cpu_s_per_million = subject.total() / deliveries * 1e6;
  row.cpu_user_s_per_million = subject.user / deliveries * 1e6;
  row.latency_p50_us = static_cast<double>(result->p50_ns) / 1e3;
  row.latency_p99_us = static_cast<double>(result->p99_ns) / 1e3;
  row.server_busy = subject.total() / result->seconds;
  row.generator_busy = own.total() / result->seconds;
  row.waiting = (subject.waiting + own.waiting) / result->seconds;
  return row;
}

Result<Row> measure(const Arguments& arguments, const std::vector<std::string>& command,
                    std::size_t subscribers, std::size_t window) {
  const Result<Process> process = Process::start(command);
  if (!process.has_value()) {
    return std::unexpected(process.error());
  }
  if (const auto settled = settle(arguments, process->port()); !settled.has_value()) {
    return std::unexpected(settled.error());
  }
  const auto load =
      make_load(arguments, {.port = process->port(), .subscribers = subscribers, .window = window});
  const Result<double> memory = connect(*process, *load, subscribers);
  if (!memory.has_value()) {
    return std::unexpected(memory.error());
  }
  Result<Row> row = drive(arguments, *process, *load);
  if (row.has_value()) {
    row->subscribers = subscribers;
    row->window = window;
    row->bytes_per_connection = *memory;
  }
  return row;
}

void print_json(const Row& row, const Arguments& arguments) {
  const nlohmann::json line = {{"bench", "fanout"},
                               {"load", arguments.load},
                               {"subject", row.subject},
                               {"subscribers", row.subscribers},
                               {"window", row.window},
                               {"rounds", arguments.rounds},
                               {"deliveries_per_s", row.deliveries_per_s},
                               {"cpu_s_per_million", row.cpu_s_per_million},
                               {"cpu_user_s_per_million", row.cpu_user_s_per_million},
                               {"ratio_to_floor", row.ratio},
                               {"latency_us_p50", row.latency_p50_us},
                               {"latency_us_p99", row.latency_p99_us},
                               {"bytes_per_connection", row.bytes_per_connection},
                               {"server_busy_cores", row.server_busy},
                               {"generator_busy_cores", row.generator_busy},
                               {"waiting_threads", row.waiting},
                               {"generator_bound", is_generator_bound(row)}};
  fmt::print("{}\n", line.dump());
}

void print_line(const Row& row) {
  fmt::print(
      "{:<14} {:>7} {:>4} {:>12.0f} {:>8.3f} {:>8.3f} {:>6.2f} {:>9.0f} "
      "{:>9.0f} {:>7.0f} {:>6.2f} "
      "{:>6.2f} {:>6.2f}{}\n",
      row.subject, row.subscribers, row.window, row.deliveries_per_s, row.cpu_s_per_million,
      row.cpu_user_s_per_million, row.ratio, row.latency_p50_us, row.latency_p99_us,
      row.bytes_per_connection, row.server_busy, row.generator_busy, row.waiting,
      is_generator_bound(row) ? "  generator-bound" : "");
}

// The rounds of one place in the matrix, the subjects in turn and every other
// round backwards, so that the machine's drift meets all. A ratio is of two
// rows of the same round.
bool run_place(const Arguments& arguments, std::size_t subscribers, std::size_t window,
               const std::string& config) {
  std::map<std::string, std::vector<Row>> rows;
  std::vector<std::string> order = arguments.subjects;
  for (int round = 0; round < arguments.rounds; ++round) {
    for (const std::string& subject : order) {
      Result<Row> row =
          measure(arguments, command_of(arguments, subject, config), subscribers, window);
      if (!row.has_value()) {
        fmt::print(stderr, "{} with {} subscribers, window {}: {}\n", subject, subscribers, window,
                   trunkline::to_string(row.error()));
        return false;
      }
      row->subject = subject;
      rows[subject].push_back(*row);
    }
    std::ranges::reverse(order);
  }
  const std::map<std::string, std::vector<Row>> by_round = rows;
  for (const std::string& subject : arguments.subjects) {
    std::vector<Row>& all = rows[subject];
    std::vector<double> ratios;
    if (const auto floor = by_round.find(floor_of(subject)); floor != by_round.end()) {
      for (std::size_t round = 0; round < all.size(); ++round) {
        ratios.push_back(all[round].cpu_s_per_million / floor->second[round].cpu_s_per_million);
      }
    }
    std::ranges::sort(all, {}, &Row::cpu_s_per_million);
    Row quoted = all[all.size() / 2];
    quoted.ratio = median(ratios);
    if (arguments.json) {
      print_json(quoted, arguments);
    } else {
      print_line(quoted);
    }
    std::fflush(stdout);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Fan-out of 128-byte messages to many subscribers: the server "
      "and two floors");
  app.add_option("--subjects", arguments.subjects,
                 "floor_sendmsg, server_direct (no io_uring), floor_uring, server")
      ->delimiter(',')
      ->check(CLI::IsMember({"floor_sendmsg", "server_direct", "floor_uring", "server"}));
  app.add_option("--subscribers", arguments.subscribers, "Numbers of subscribers")->delimiter(',');
  app.add_option("--windows", arguments.windows, "Publications in flight")->delimiter(',');
  app.add_option("--rounds", arguments.rounds, "Times everything is measured; medians are quoted");
  app.add_option("--seconds", arguments.seconds, "Measured time of one row");
  app.add_option("--shards", arguments.shards, "The server's threads; 0: one a core");
  app.add_option("--load", arguments.load, "raw, or client: the public client library")
      ->check(CLI::IsMember({"raw", "client"}));
  app.add_flag("--json", arguments.json, "One line a row");
  CLI11_PARSE(app, argc, argv);

  raise_descriptor_limit();
  const std::string config = TRUNKLINE_BENCH_CONFIG;
  if (!arguments.json) {
    fmt::print(
        "{:<14} {:>7} {:>4} {:>12} {:>8} {:>8} {:>6} {:>9} {:>9} {:>7} "
        "{:>6} {:>6} {:>6}\n",
        "subject", "subs", "win", "deliveries/s", "cpu s/M", "user s/M", "ratio", "p50 us",
        "p99 us", "B/conn", "server", "gen", "wait");
  }
  std::fflush(stdout);
  bool good = true;
  for (const std::size_t subscribers : arguments.subscribers) {
    for (const std::size_t window : arguments.windows) {
      good = run_place(arguments, subscribers, window, config) && good;
    }
  }
  return good ? 0 : 1;
}
