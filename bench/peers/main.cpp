// SPDX-License-Identifier: Apache-2.0
//
// 100,000 permanent requests in one state machine: what a step costs, and a request in memory. See
// bench/README.md.
#include "measure/clock.h"
#include "peers/machine.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <malloc.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::peers;
using namespace std::chrono_literals;
using trunkline::bench::now_ns;

struct Row {
  std::string phase;
  std::uint64_t steps = 0;
  double ns_per_step = 0;
};

std::size_t heap_bytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Runs `each` for every request and says what one step cost.
template <class Each>
Row measure(const std::string& phase, std::uint64_t count, Each each) {
  const std::uint64_t began = now_ns();
  for (std::uint64_t i = 0; i < count; ++i) {
    each(i);
  }
  return {phase, count, static_cast<double>(now_ns() - began) / static_cast<double>(count)};
}

std::string address_of(std::uint64_t i) {
  return fmt::format("10.{}.{}.{}:8000", i >> 16U, (i >> 8U) & 255U, i & 255U);
}

class Load {
 public:
  explicit Load(std::uint64_t requests) : requests_(requests) {
    PeerOptions options;
    options.target_outbound = 0;
    options.feeler_interval = 0ms;
    options.requests_max = requests;
    options.dials_in_flight_max = requests;
    options.slow_after_failures = 0;
    options.slow_group_after_failures = 0;
    machine_ = std::make_unique<Machine>(options, Random(1), now_);
    step(Start{});
  }

  std::vector<Row> run() {
    std::vector<Row> rows;
    const std::size_t before = heap_bytes();
    rows.push_back(measure("connect", requests_, [this](std::uint64_t i) {
      ids_.push_back(*step(Connect{{.address = address_of(i), .permanent = true}}));
    }));
    const std::size_t taken = heap_bytes() - before - ids_.capacity() * sizeof(PeerId) -
                              dials_.capacity() * sizeof(DialId);
    bytes_per_request = static_cast<double>(taken) / static_cast<double>(requests_);
    rows.push_back(measure("dial succeeds", requests_,
                           [this](std::uint64_t i) { step(AttemptSucceeded{dials_[i], 0}); }));
    now_ += 1min;
    const std::vector<DialId> first = dials_;
    rows.push_back(measure("connection lost", requests_,
                           [&](std::uint64_t i) { step(Closed{ids_[i], first[i], "lost"}); }));
    dials_.clear();
    rows.push_back(wake());
    const std::vector<DialId> second = dials_;
    rows.push_back(measure("dial fails", second.size(), [&](std::uint64_t i) {
      step(AttemptFailed{second[i], 0, {ErrorCode::kUnavailable, "refused"}});
    }));
    rows.push_back(measure("next_wakeup", requests_, [this](std::uint64_t) {
      sink_ += machine_->next_wakeup().has_value() ? 1U : 0U;
    }));
    rows.push_back(
        measure("remove", requests_, [this](std::uint64_t i) { step(Remove{ids_[i]}); }));
    return rows;
  }

  double bytes_per_request = 0;

 private:
  // All retries come due; a step here is a retry.
  Row wake() {
    const std::uint64_t began = now_ns();
    for (auto next = machine_->next_wakeup(); dials_.size() < requests_ && next.has_value();
         next = machine_->next_wakeup()) {
      now_ = std::max(now_, *next);
      step(Wake{});
    }
    return {"retry due", dials_.size(),
            static_cast<double>(now_ns() - began) / static_cast<double>(dials_.size())};
  }

  Result<PeerId> step(Event event) {
    effects_.clear();
    Result<PeerId> answer = machine_->step(std::move(event), now_, effects_);
    for (const Effect& effect : effects_) {
      if (const auto* start = std::get_if<StartAttempt>(&effect)) {
        dials_.push_back(start->dial);
      }
    }
    return answer;
  }

  const std::uint64_t requests_;
  TimePoint now_{1h};
  std::unique_ptr<Machine> machine_;
  Effects effects_;
  std::vector<PeerId> ids_;
  std::vector<DialId> dials_;
  std::uint64_t sink_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t requests = 100'000;
  bool json = false;
  CLI::App app("What a step of the connection manager costs, and a request in memory");
  app.add_option("--requests", requests, "permanent ones")->check(CLI::Range(1, 10'000'000));
  app.add_flag("--json", json, "One line a row");
  CLI11_PARSE(app, argc, argv);
  Load load(requests);
  const std::vector<Row> rows = load.run();
  if (!json) {
    fmt::print("{:>16} {:>9} {:>8}\n", "phase", "steps", "ns/step");
  }
  for (const Row& row : rows) {
    if (json) {
      const nlohmann::json line = {{"bench", "peers"},
                                   {"phase", row.phase},
                                   {"steps", row.steps},
                                   {"ns_per_step", row.ns_per_step},
                                   {"bytes_per_request", load.bytes_per_request}};
      fmt::print("{}\n", line.dump());
    } else {
      fmt::print("{:>16} {:>9} {:>8.0f}\n", row.phase, row.steps, row.ns_per_step);
    }
  }
  if (!json) {
    fmt::print("{} requests, {:.0f} bytes of heap each, dials in flight included\n", requests,
               load.bytes_per_request);
  }
  return 0;
}
