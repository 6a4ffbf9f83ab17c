// SPDX-License-Identifier: Apache-2.0
//
// As many idle subscribers as descriptors allow: what one costs in memory, and how long one
// publication takes to reach them all. See bench/README.md.
#include "idle/generator.h"
#include "load/wire.h"
#include "measure/clock.h"
#include "measure/process.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace trunkline::bench;
using trunkline::Result;

struct Arguments {
  std::size_t connections = 0;
  std::size_t processes = 1;
  std::size_t publications = 10;
  std::size_t bytes = 128;
  unsigned shards = 0;
  bool json = false;
};

struct Row {
  std::size_t limit = 0;
  std::size_t connections = 0;
  double connect_s = 0;
  double bytes_per_connection = 0;
  double p50_ms = 0;  // medians of the publications
  double p99_ms = 0;
  double last_ms = 0;
  double last_ms_max = 0;
  double cpu_ms = 0;  // of the server, a publication
};

constexpr std::chrono::milliseconds kQuiet{500};
// Descriptors that a process has beside its connections: the server's are the listener, and for
// each shard an epoll, a timer, a mailbox and a ring; a reserve; the standard streams.
constexpr std::size_t kOthers = 250;

// Of user and kernel memory, both ends of a connection together: a generous guess, so that a limit
// of a million descriptors does not take a small machine down.
constexpr std::size_t kBytesOfAConnection = 16UL * 1024;

// What half of the memory that is free serves.
std::size_t connections_by_memory() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::size_t kib = 0;
  while (file >> name && name != "MemAvailable:") {
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  file >> kib;
  return kib * 1024 / 2 / kBytesOfAConnection;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

// Touches what the server has once and not for each connection.
Result<void> settle(std::uint16_t port) {
  const auto opened = open_group({.port = port}, std::vector<std::string>(4, "settle"));
  if (!opened.has_value()) {
    return std::unexpected(opened.error());
  }
  std::string frames;
  for (std::uint64_t i = 0; i < 16; ++i) {
    append_publish(frames, "settle", i, now_ns(), 128);
  }
  const auto published = publish_all(port, frames, 16);
  for (const Opened& one : *opened) {
    ::close(one.fd);
  }
  std::this_thread::sleep_for(kQuiet);
  return published;
}

Result<std::vector<Generator>> connect(const Arguments& arguments, std::uint16_t port,
                                       std::size_t connections) {
  std::vector<Generator> generators;
  std::size_t first = 0;
  for (std::size_t i = 0; i < arguments.processes; ++i) {
    const std::size_t end = connections * (i + 1) / arguments.processes;
    auto generator = Generator::start({port, first, end - first, connections});
    if (!generator.has_value()) {
      return std::unexpected(generator.error());
    }
    generators.push_back(std::move(*generator));
    first = end;
  }
  for (Generator& generator : generators) {
    if (const auto connected = generator.connected(); !connected.has_value()) {
      return std::unexpected(connected.error());
    }
  }
  return generators;
}

// Through a connection of its own, so that none needs to answer pings meanwhile; the time is taken
// when that is open.
Result<void> publish_one(std::uint16_t port, std::uint64_t number, std::size_t bytes) {
  const auto publisher = open_group({.port = port}, std::vector<std::string>(1));
  if (!publisher.has_value()) {
    return std::unexpected(publisher.error());
  }
  const int fd = publisher->front().fd;
  std::string frame;
  append_publish(frame, Generator::kChannel, number, now_ns(), bytes);
  std::array<char, 4096> reply;
  const bool answered = send_all(fd, frame).has_value() && receive(fd, reply) > 0;
  ::close(fd);
  return answered ? Result<void>{}
                  : trunkline::fail(trunkline::ErrorCode::kSystem, "the server took nothing");
}

// One publication to everybody, another when all have it.
Result<void> publish(const Arguments& arguments, const Process& process,
                     std::vector<Generator>& generators, Row& row) {
  std::vector<double> p50;
  std::vector<double> p99;
  std::vector<double> last;
  const double cpu_before = process.cpu().total();
  for (std::size_t number = 0; number < arguments.publications; ++number) {
    if (const auto sent = publish_one(process.port(), number, arguments.bytes); !sent.has_value()) {
      return sent;
    }
    Arrival all;
    for (Generator& generator : generators) {
      const auto arrival = generator.arrived();
      if (!arrival.has_value()) {
        return std::unexpected(arrival.error());
      }
      all.latency.add(arrival->latency);
      all.last_ns = std::max(all.last_ns, arrival->last_ns);
    }
    p50.push_back(static_cast<double>(all.latency.percentile(0.5)) / 1e6);
    p99.push_back(static_cast<double>(all.latency.percentile(0.99)) / 1e6);
    last.push_back(static_cast<double>(all.last_ns) / 1e6);
  }
  row.cpu_ms = (process.cpu().total() - cpu_before) * 1e3 /
               static_cast<double>(std::max<std::size_t>(arguments.publications, 1));
  row.p50_ms = median(p50);
  row.p99_ms = median(p99);
  row.last_ms = median(last);
  row.last_ms_max = last.empty() ? 0 : std::ranges::max(last);
  return {};
}

Result<Row> measure(const Arguments& arguments, Row row) {
  const Result<Process> process =
      Process::start({program("trunkline"), "serve", "--config", TRUNKLINE_BENCH_CONFIG, "--port",
                      "0", "--shards", std::to_string(arguments.shards)});
  if (!process.has_value()) {
    return std::unexpected(process.error());
  }
  if (const auto settled = settle(process->port()); !settled.has_value()) {
    return std::unexpected(settled.error());
  }
  const auto before = static_cast<double>(process->resident_bytes());
  const auto began = Clock::now();
  auto generators = connect(arguments, process->port(), row.connections);
  if (!generators.has_value()) {
    return std::unexpected(generators.error());
  }
  row.connect_s = std::chrono::duration<double>(Clock::now() - began).count();
  std::this_thread::sleep_for(kQuiet);
  row.bytes_per_connection = (static_cast<double>(process->resident_bytes()) - before) /
                             static_cast<double>(row.connections);
  if (const auto published = publish(arguments, *process, *generators, row);
      !published.has_value()) {
    return std::unexpected(published.error());
  }
  return row;
}

void print(const Arguments& arguments, const Row& row) {
  if (!arguments.json) {
    fmt::print(
        "{:>7} {:>9} {:>6} {:>9} {:>7} {:>8} {:>8} {:>8} {:>8} {:>9}\n"
        "{:>7} {:>9} {:>6} {:>9.1f} {:>7.0f} {:>8.1f} {:>8.1f} {:>8.1f} {:>8.1f} {:>9.1f}\n",
        "limit", "processes", "conns", "connect s", "B/conn", "p50 ms", "p99 ms", "last ms",
        "max ms", "cpu ms", row.limit, arguments.processes, row.connections, row.connect_s,
        row.bytes_per_connection, row.p50_ms, row.p99_ms, row.last_ms, row.last_ms_max, row.cpu_ms);
    return;
  }
  const nlohmann::json line = {{"bench", "idle"},
                               {"descriptor_limit", row.limit},
                               {"processes", arguments.processes},
                               {"connections", row.connections},
                               {"publications", arguments.publications},
                               {"connect_s", row.connect_s},
                               {"bytes_per_connection", row.bytes_per_connection},
                               {"latency_ms_p50", row.p50_ms},
                               {"latency_ms_p99", row.p99_ms},
                               {"last_ms", row.last_ms},
                               {"last_ms_max", row.last_ms_max},
                               {"server_cpu_ms_per_publication", row.cpu_ms}};
  fmt::print("{}\n", line.dump());
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("As many idle subscribers as descriptors allow, and publications to all of them");
  app.add_option("--connections", arguments.connections, "0: as many as descriptors allow");
  app.add_option("--processes", arguments.processes, "Generators")->check(CLI::Range(1, 64));
  app.add_option("--publications", arguments.publications, "One after the other");
  app.add_option("--bytes", arguments.bytes, "Of a publication's data");
  app.add_option("--shards", arguments.shards, "The server's threads; 0: one a core");
  app.add_flag("--json", arguments.json, "One line a row");
  CLI11_PARSE(app, argc, argv);
  Row row;
  row.limit = raise_descriptor_limit();
  // The server is one process with the same limit, however many generators there are.
  const std::size_t room = row.limit - std::min(row.limit, kOthers);
  row.connections =
      arguments.connections > 0 ? arguments.connections : std::min(room, connections_by_memory());
  if (row.connections > room) {
    fmt::print(stderr, "{} descriptors are not enough for {} connections (ulimit -Hn)\n", row.limit,
               row.connections);
    return 1;
  }
  const Result<Row> measured = measure(arguments, row);
  if (!measured.has_value()) {
    fmt::print(stderr, "{}\n", trunkline::to_string(measured.error()));
    return 1;
  }
  print(arguments, *measured);
  return 0;
}
