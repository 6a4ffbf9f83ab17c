// SPDX-License-Identifier: Apache-2.0
//
// What jobs cost everybody else: the same rpc calls and publications without a job, and with one on
// every connection. See bench/README.md.
#include <trunkline/client.h>

#include "measure/histogram.h"
#include "measure/process.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::bench;
using Clock = std::chrono::steady_clock;

struct Arguments {
  std::size_t connections = 500;
  int calls = 1000;
  int publications = 20;
  int rounds = 5;
  double seconds = 5;
  bool json = false;
};

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
          .count());
}

// Of one run.
struct Latency {
  Histogram calls;
  Histogram deliveries;
  std::uint64_t progress = 0;
};

class Load {
 public:
  Load(const Arguments& arguments, std::uint16_t port) : arguments_(arguments) {
    ClientOptions options;
    options.url = fmt::format("ws://127.0.0.1:{}/connection/websocket", port);
    for (std::size_t i = 0; i < arguments.connections; ++i) {
      clients_.push_back(std::make_unique<Client>(loop_, options, handlers()));
    }
  }

  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  ~Load() { loop_.stop(); }

  Result<void> connect() {
    if (const Result<void> started = loop_.start(); !started.has_value()) {
      return started;
    }
    for (const auto& client : clients_) {
      client->connect();
      client->subscribe(
          "news", {},
          {.on_subscribed = [this](const SubscribedContext&) { ++subscribed_; },
           .on_publication =
               [this](const Publication& publication) { delivered(publication.data); }});
    }
    return wait([this] { return subscribed_ == clients_.size(); }, "not all could subscribe");
  }

  Result<void> start_jobs() {
    for (const auto& client : clients_) {
      client->rpc("rescan", "null", [this](const ClientResult<RpcResult>& result) {
        ++(result.has_value() ? jobs_ : refused_);
      });
    }
    return wait([this] { return jobs_ == clients_.size(); }, "not all jobs were taken");
  }

  Latency run() {
    {
      const std::lock_guard lock(mutex_);
      measured_ = {};
      measuring_ = true;
    }
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::duration<double>(arguments_.seconds);
    std::uint64_t calls = 0;
    std::uint64_t publications = 0;
    for (auto now = begin; now < end; now = Clock::now()) {
      const double passed = std::chrono::duration<double>(now - begin).count();
      for (; static_cast<double>(calls) < passed * arguments_.calls; ++calls) {
        call(*clients_[calls % clients_.size()]);
      }
      for (; static_cast<double>(publications) < passed * arguments_.publications; ++publications) {
        clients_[0]->publish("news", std::to_string(now_ns()), [](const ClientResult<void>&) {});
      }
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    const std::lock_guard lock(mutex_);
    measuring_ = false;
    return measured_;
  }

 private:
  ClientHandlers handlers() {
    return {.on_server_publication = [this](std::string_view, const Publication&) {
      const std::lock_guard lock(mutex_);
      ++measured_.progress;
    }};
  }

  void call(Client& client) {
    client.rpc("ping", "null", [this, sent = now_ns()](const ClientResult<RpcResult>& result) {
      const std::lock_guard lock(mutex_);
      if (measuring_ && result.has_value()) {
        measured_.calls.add(now_ns() - sent);
      }
    });
  }

  void delivered(std::string_view data) {
    std::uint64_t sent = 0;
    std::from_chars(data.data(), data.data() + data.size(), sent);
    const std::lock_guard lock(mutex_);
    if (measuring_) {
      measured_.deliveries.add(now_ns() - sent);
    }
  }

  template <class Enough>
  static Result<void> wait(Enough enough, const char* why) {
    const auto until = Clock::now() + std::chrono::seconds(60);
    while (!enough()) {
      if (Clock::now() > until) {
        return fail(ErrorCode::kUnavailable, why);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return {};
  }

  const Arguments& arguments_;
  std::atomic<std::size_t> subscribed_ = 0;
  std::atomic<std::size_t> jobs_ = 0;
  std::atomic<std::size_t> refused_ = 0;
  std::mutex mutex_;
  bool measuring_ = false;
  Latency measured_;
  ClientLoop loop_;
  std::vector<std::unique_ptr<Client>> clients_;
};

Result<Latency> measure(const Arguments& arguments, bool jobs) {
  const Result<Process> process = Process::start({program("jobs_subject")});
  if (!process.has_value()) {
    return std::unexpected(process.error());
  }
  Load load(arguments, process->port());
  Result<void> ready = load.connect();
  if (ready.has_value() && jobs) {
    ready = load.start_jobs();
  }
  if (!ready.has_value()) {
    return std::unexpected(ready.error());
  }
  return load.run();
}

struct Row {
  const char* what;
  Histogram Latency::* histogram;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void print(const Arguments& arguments, const Row& row, const std::vector<Latency>& without,
           const std::vector<Latency>& with) {
  const auto of = [&](const std::vector<Latency>& runs, double share) {
    std::vector<double> values;
    for (const Latency& run : runs) {
      values.push_back(static_cast<double>((run.*row.histogram).percentile(share)) / 1e3);
    }
    return median(values);
  };
  const double p99_without = of(without, 0.99);
  const double p99_with = of(with, 0.99);
  if (arguments.json) {
    const nlohmann::json line = {{"bench", "jobs"},
                                 {"what", row.what},
                                 {"connections", arguments.connections},
                                 {"rounds", arguments.rounds},
                                 {"p50_us_without", of(without, 0.5)},
                                 {"p50_us_with", of(with, 0.5)},
                                 {"p99_us_without", p99_without},
                                 {"p99_us_with", p99_with},
                                 {"p99_ratio", p99_with / p99_without}};
    fmt::print("{}\n", line.dump());
    return;
  }
  fmt::print("{:<12} {:>11.0f} {:>11.0f} {:>11.0f} {:>11.0f} {:>7.2f}\n", row.what,
             of(without, 0.5), of(with, 0.5), p99_without, p99_with, p99_with / p99_without);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Latency of rpc and of deliveries, without jobs and with one on every connection");
  app.add_option("--connections", arguments.connections, "Each with a job, or none");
  app.add_option("--calls", arguments.calls, "rpc calls a second, of all together");
  app.add_option("--publications", arguments.publications, "A second, each to all connections");
  app.add_option("--rounds", arguments.rounds, "Times everything is measured; medians are quoted");
  app.add_option("--seconds", arguments.seconds, "Measured time of one run");
  app.add_flag("--json", arguments.json, "One line a row");
  CLI11_PARSE(app, argc, argv);

  raise_descriptor_limit();
  std::vector<Latency> without;
  std::vector<Latency> with;
  std::uint64_t progress = 0;
  for (int round = 0; round < arguments.rounds; ++round) {
    for (const bool jobs : {round % 2 == 1, round % 2 == 0}) {
      Result<Latency> run = measure(arguments, jobs);
      if (!run.has_value()) {
        fmt::print(stderr, "{}\n", to_string(run.error()));
        return 1;
      }
      progress += run->progress;
      (jobs ? with : without).push_back(std::move(*run));
    }
  }
  if (!arguments.json) {
    fmt::print("{} connections; progress of jobs: {:.0f} a second\n", arguments.connections,
               static_cast<double>(progress) / arguments.seconds / arguments.rounds);
    fmt::print("{:<12} {:>11} {:>11} {:>11} {:>11} {:>7}\n", "", "p50 us", "with jobs", "p99 us",
               "with jobs", "ratio");
  }
  for (const Row& row : {Row{"rpc", &Latency::calls}, Row{"deliveries", &Latency::deliveries}}) {
    print(arguments, row, without, with);
  }
  return 0;
}
