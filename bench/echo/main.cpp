// SPDX-License-Identifier: Apache-2.0
//
// Round trips: a bare WebSocket echo on the server's own parts, by Boost.Beast and by a program
// that checks nothing, and a small command to the server itself. See bench/README.md.
#include "echo/echo_load.h"
#include "measure/process.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace trunkline::bench;
using trunkline::Result;

const std::vector<std::string> kSubjects = {"trunkline", "trunkline_direct", "beast", "floor",
                                            "serve_publish"};

struct Arguments {
  std::vector<std::string> subjects = kSubjects;
  std::vector<std::size_t> connections = {1, 200};
  std::size_t bytes = 128;
  int rounds = 5;
  double seconds = 1;
  bool json = false;
};

struct Row {
  std::string subject;
  std::size_t connections = 0;
  double per_s = 0;
  double cpu_s_per_million = 0;
  double cpu_user_s_per_million = 0;
  double p50_us = 0;
  double p99_us = 0;
  double server_busy = 0;  // cores
  double generator_busy = 0;
  double waiting = 0;
  double rate_ratio = 0;  // to Beast in the same round, both so that more is better
  double cpu_ratio = 0;
};

constexpr std::chrono::duration<double> kWarmUp{0.3};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

// One shard: the others have one thread, too.
std::vector<std::string> command_of(const std::string& subject) {
  if (subject == "serve_publish") {
    return {program("trunkline"), "serve", "--config", TRUNKLINE_BENCH_CONFIG, "--port", "0",
            "--shards",           "1"};
  }
  if (subject == "trunkline_direct") {
    return {program("echo_trunkline"), "--no-io-uring"};
  }
  return {program("echo_" + subject)};
}

Exchange exchange_of(const Arguments& arguments, const std::string& subject) {
  const std::string number(Exchange::kNumber);
  if (subject == "serve_publish") {
    std::string command =
        fmt::format(R"({{"id":{},"publish":{{"channel":"empty","data":")", number);
    command.resize(std::max(command.size(), arguments.bytes - 3), 'x');
    return {.hello = R"({"id":1,"connect":{}})",
            .request = command + "\"}}",
            .reply = fmt::format(R"({{"id":{},"publish":{{}}}})", number)};
  }
  std::string text = number;
  text.resize(std::max(text.size(), arguments.bytes), 'x');
  return {.hello = "", .request = text, .reply = text};
}

Result<Row> measure(const Arguments& arguments, const std::string& subject,
                    std::size_t connections) {
  const Result<Process> process = Process::start(command_of(subject));
  if (!process.has_value()) {
    return std::unexpected(process.error());
  }
  EchoLoad load(process->port(), exchange_of(arguments, subject));
  if (const auto connected = load.connect(connections); !connected.has_value()) {
    return std::unexpected(connected.error());
  }
  if (const auto warm = load.run(kWarmUp); !warm.has_value()) {
    return std::unexpected(warm.error());
  }
  const CpuTime subject_before = process->cpu();
  const CpuTime own_before = own_cpu();
  const auto result = load.run(std::chrono::duration<double>(arguments.seconds));
  const CpuTime used = process->cpu() - subject_before;
  const CpuTime own = own_cpu() - own_before;
  if (!result.has_value()) {
    return std::unexpected(result.error());
  }
  const auto trips = static_cast<double>(std::max<std::uint64_t>(result->round_trips, 1));
  Row row;
  row.subject = subject;
  row.connections = connections;
  row.per_s = trips / result->seconds;
  row.cpu_s_per_million = used.total() / trips * 1e6;
  row.cpu_user_s_per_million = used.user / trips * 1e6;
  row.p50_us = static_cast<double>(result->latency.percentile(0.5)) / 1e3;
  row.p99_us = static_cast<double>(result->latency.percentile(0.99)) / 1e3;
  row.server_busy = used.total() / result->seconds;
  row.generator_busy = own.total() / result->seconds;
  row.waiting = (used.waiting + own.waiting) / result->seconds;
  return row;
}

void print(const Arguments& arguments, const Row& row) {
  if (!arguments.json) {
    fmt::print(
        "{:<17} {:>6} {:>9.0f} {:>8.3f} {:>8.3f} {:>7.2f} {:>7.2f} {:>8.1f} {:>8.1f} {:>6.2f} "
        "{:>6.2f} {:>6.2f}\n",
        row.subject, row.connections, row.per_s, row.cpu_s_per_million, row.cpu_user_s_per_million,
        row.rate_ratio, row.cpu_ratio, row.p50_us, row.p99_us, row.server_busy, row.generator_busy,
        row.waiting);
  } else {
    const nlohmann::json line = {{"bench", "echo"},
                                 {"subject", row.subject},
                                 {"connections", row.connections},
                                 {"payload_bytes", arguments.bytes},
                                 {"rounds", arguments.rounds},
                                 {"round_trips_per_s", row.per_s},
                                 {"cpu_s_per_million", row.cpu_s_per_million},
                                 {"cpu_user_s_per_million", row.cpu_user_s_per_million},
                                 {"rate_to_beast", row.rate_ratio},
                                 {"beast_cpu_to_own", row.cpu_ratio},
                                 {"latency_us_p50", row.p50_us},
                                 {"latency_us_p99", row.p99_us},
                                 {"server_cores", row.server_busy},
                                 {"generator_cores", row.generator_busy},
                                 {"waiting", row.waiting}};
    fmt::print("{}\n", line.dump());
  }
  std::fflush(stdout);
}

// The subjects in turn and every other round backwards, so that the machine's drift meets all.
bool run_place(const Arguments& arguments, std::size_t connections) {
  std::map<std::string, std::vector<Row>> rows;
  std::vector<std::string> order = arguments.subjects;
  for (int round = 0; round < arguments.rounds; ++round) {
    for (const std::string& subject : order) {
      const Result<Row> row = measure(arguments, subject, connections);
      if (!row.has_value()) {
        fmt::print(stderr, "{} with {} connections: {}\n", subject, connections,
                   trunkline::to_string(row.error()));
        return false;
      }
      rows[subject].push_back(*row);
    }
    std::ranges::reverse(order);
  }
  const std::vector<Row> beast = rows["beast"];
  for (const std::string& subject : arguments.subjects) {
    std::vector<Row>& all = rows[subject];
    std::vector<double> rates;
    std::vector<double> costs;
    for (std::size_t round = 0; round < beast.size(); ++round) {
      rates.push_back(all[round].per_s / beast[round].per_s);
      costs.push_back(beast[round].cpu_s_per_million / all[round].cpu_s_per_million);
    }
    std::ranges::sort(all, {}, &Row::cpu_s_per_million);
    Row quoted = all[all.size() / 2];
    quoted.rate_ratio = median(rates);
    quoted.cpu_ratio = median(costs);
    print(arguments, quoted);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Round trips over WebSocket: bare echoes, and a small command to the server");
  app.add_option("--subjects", arguments.subjects,
                 "trunkline, trunkline_direct (no io_uring), beast, floor, serve_publish")
      ->delimiter(',')
      ->check(CLI::IsMember(kSubjects));
  app.add_option("--connections", arguments.connections, "Each with one request on its way")
      ->delimiter(',');
  app.add_option("--bytes", arguments.bytes, "Of a request's payload")
      ->check(CLI::Range(80, 16000));
  app.add_option("--rounds", arguments.rounds, "Times everything is measured; medians are quoted");
  app.add_option("--seconds", arguments.seconds, "Measured time of one row");
  app.add_flag("--json", arguments.json, "One line a row");
  CLI11_PARSE(app, argc, argv);
  raise_descriptor_limit();
  if (!arguments.json) {
    fmt::print("{:<17} {:>6} {:>9} {:>8} {:>8} {:>7} {:>7} {:>8} {:>8} {:>6} {:>6} {:>6}\n",
               "subject", "conns", "trips/s", "cpu s/M", "user s/M", "r rate", "r cpu", "p50 us",
               "p99 us", "server", "gen", "wait");
    std::fflush(stdout);
  }
  for (const std::size_t connections : arguments.connections) {
    if (!run_place(arguments, connections)) {
      return 1;
    }
  }
  return 0;
}
