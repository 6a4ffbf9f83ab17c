// SPDX-License-Identifier: Apache-2.0
//
// The grid against gRPC C++ and bare sockets, in turn, in one process: calls a second and their
// times, streams, large messages, and small calls beside them; 28 connections; what things cost.
// See bench/README.md.
#include "grid/codec.h"
#include "grid/costs.h"
#include "grid/mesh.h"
#include "grid/subject.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::bench {

void give_up(const std::string& why) {
  std::fprintf(stderr, "bench grid: %s\n", why.c_str());
  std::exit(1);
}

CallFigures figures_of(const Histogram& times_ns, std::uint64_t took_ns) {
  const auto us = [&](double share) {
    return static_cast<double>(times_ns.percentile(share)) / 1000.0;
  };
  return {static_cast<double>(times_ns.total()) * 1e9 / static_cast<double>(took_ns), us(0.5),
          us(0.99), us(0.999)};
}

namespace {

struct Arguments {
  int rounds = 3;
  int milliseconds = 1000;
  std::vector<std::string> rows;
  std::vector<std::string> subjects;
  bool json = false;
};

// Names of what was measured, in the order in which they are shown; and values, one a round.
using Values = std::vector<std::pair<std::string, double>>;
using Samples = std::vector<std::pair<std::string, std::vector<double>>>;

Values values_of(const CallFigures& figures) {
  return {{"calls_per_second", figures.per_second},
          {"p50_us", figures.p50_us},
          {"p99_us", figures.p99_us},
          {"p999_us", figures.p999_us}};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// A place in the matrix: what is asked of each subject.
struct Row {
  std::string name;
  std::function<Values(Subject&)> measure;
};

template <class T>
Values named(const char* name, const std::optional<T>& value) {
  return value.has_value() ? Values{{name, *value}} : Values{};
}

std::vector<Row> rows_of(Milliseconds time) {
  std::vector<Row> rows;
  for (const std::size_t bytes : {0UL, 512UL, 4096UL}) {
    for (const int in_flight : {1, 32, 128, 512}) {
      rows.push_back({fmt::format("calls_{}B_{}", bytes, in_flight), [=](Subject& subject) {
                        const auto figures = subject.calls(bytes, in_flight, time);
                        return figures.has_value() ? values_of(*figures) : Values{};
                      }});
    }
  }
  rows.push_back({"stream_512B", [=](Subject& subject) {
                    return named("messages_per_second", subject.stream(512, time));
                  }});
  for (const std::size_t mib : {1UL, 64UL}) {
    rows.push_back({fmt::format("bulk_{}MiB", mib), [=](Subject& subject) {
                      return named("bytes_per_second", subject.bulk(mib << 20U));
                    }});
  }
  for (const std::size_t mib : {1UL, 64UL}) {
    rows.push_back({fmt::format("beside_{}MiB", mib), [=](Subject& subject) {
                      const auto figures = subject.beside(mib << 20U);
                      if (!figures.has_value()) {
                        return Values{};
                      }
                      Values values = values_of(figures->small);
                      values.emplace_back("bulk_bytes_per_second", figures->bulk_bytes_per_second);
                      return values;
                    }});
  }
  return rows;
}

class Bench {
 public:
  explicit Bench(Arguments arguments) : arguments_(std::move(arguments)) {}

  void run() {
    const Milliseconds time(arguments_.milliseconds);
    std::vector<std::unique_ptr<Subject>> subjects;
    if (is_wanted_subject("trunkline")) {
      subjects.push_back(make_grid_pair());
    }
    if (is_wanted_subject("grpc")) {
      if (std::unique_ptr<Subject> grpc = make_grpc_pair(); grpc != nullptr) {
        subjects.push_back(std::move(grpc));
      } else {
        std::fputs("built without gRPC (./dev setup --for bench, and build anew)\n", stderr);
      }
    }
    if (is_wanted_subject("bare")) {
      subjects.push_back(make_bare_pair());
    }
    for (const Row& row : rows_of(time)) {
      if (is_wanted(row.name)) {
        pair(row, subjects);
      }
    }
    subjects.clear();
    if (is_wanted_subject("trunkline")) {
      run_alone(time);
    }
  }

 private:
  [[nodiscard]] bool is_wanted(const std::string& row) const {
    return arguments_.rows.empty() || std::ranges::any_of(arguments_.rows, [&](const auto& each) {
             return row.starts_with(each);
           });
  }

  [[nodiscard]] bool is_wanted_subject(const std::string& name) const {
    return arguments_.subjects.empty() ||
           std::ranges::find(arguments_.subjects, name) != arguments_.subjects.end();
  }

  static void add(Samples& samples, const Values& values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (samples.size() <= i) {
        samples.emplace_back(values[i].first, std::vector<double>{});
      }
      samples[i].second.push_back(values[i].second);
    }
  }

  // All subjects in turn, every other round backwards: a drift of the machine meets them all.
  void pair(const Row& row, const std::vector<std::unique_ptr<Subject>>& subjects) {
    std::vector<Samples> samples(subjects.size());
    for (int round = 0; round < arguments_.rounds; ++round) {
      for (std::size_t i = 0; i < subjects.size(); ++i) {
        const std::size_t which = round % 2 == 0 ? i : subjects.size() - 1 - i;
        add(samples[which], row.measure(*subjects[which]));
      }
    }
    for (std::size_t i = 0; i < subjects.size(); ++i) {
      if (!samples[i].empty()) {
        // The share of the first subject, round by round.
        std::vector<double> ratios;
        for (std::size_t round = 0; round < samples[0][0].second.size(); ++round) {
          ratios.push_back(samples[0][0].second[round] / samples[i][0].second[round]);
        }
        show(row.name, std::string(subjects[i]->name()), samples[i],
             i > 0 ? std::optional(median(ratios)) : std::nullopt);
      }
    }
  }

  void run_alone(Milliseconds time) {
    if (is_wanted("mesh")) {
      Mesh mesh;
      for (const int in_flight : {112, 448}) {
        alone(fmt::format("mesh_512B_{}", in_flight),
              [&] { return values_of(mesh.calls(512, in_flight, time)); });
      }
    }
    if (is_wanted("codec")) {
      show_codec("codec_own", [] { return std::optional(measure_own_codec()); });
      show_codec("codec_msgpack", measure_msgpack);
      show_codec("codec_plain_msgpack", measure_plain_msgpack);
    }
    if (is_wanted("memory")) {
      alone("memory", [] {
        const MemoryFigures figures = measure_memory();
        return Values{{"bytes_per_stream", figures.stream_bytes},
                      {"bytes_per_connection", figures.connection_bytes}};
      });
    }
  }

  void show_codec(const std::string& name,
                  const std::function<std::optional<CodecFigures>()>& measure) {
    if (!measure().has_value()) {
      return;
    }
    alone(name, [&] {
      const CodecFigures figures = *measure();
      return Values{{"pack_ns", figures.pack_ns},
                    {"unpack_ns", figures.unpack_ns},
                    {"both_ns", figures.pack_ns + figures.unpack_ns},
                    {"allocations", figures.allocations}};
    });
  }

  void alone(const std::string& name, const std::function<Values()>& measure) {
    Samples samples;
    for (int round = 0; round < arguments_.rounds; ++round) {
      add(samples, measure());
    }
    show(name, "trunkline", samples, std::nullopt);
  }

  void show(const std::string& row, const std::string& subject, const Samples& samples,
            std::optional<double> ratio) const {
    if (arguments_.json) {
      nlohmann::json line = {{"row", row}, {"subject", subject}, {"rounds", arguments_.rounds}};
      for (const auto& [name, values] : samples) {
        line[name] = median(values);
      }
      if (ratio.has_value()) {
        line["trunkline_to_this"] = *ratio;
      }
      fmt::print("{}\n", line.dump());
    } else {
      std::string line = fmt::format("{:<16} {:<10}", row, subject);
      for (const auto& [name, values] : samples) {
        const double value = median(values);
        line += fmt::format(" {} {:.{}f}", name, value, value < 1000 ? 1 : 0);
      }
      if (ratio.has_value()) {
        line += fmt::format("  (trunkline: {:.2f} times)", *ratio);
      }
      fmt::print("{}\n", line);
    }
    std::fflush(stdout);
  }

  const Arguments arguments_;
};

}  // namespace

}  // namespace trunkline::bench

int main(int argc, char** argv) {
  CLI::App app{"The grid against gRPC and bare sockets over loopback."};
  trunkline::bench::Arguments arguments;
  app.add_option("--rounds", arguments.rounds, "the figures are medians of so many")
      ->check(CLI::PositiveNumber);
  app.add_option("--ms", arguments.milliseconds, "for each row that takes as long as it is told")
      ->check(CLI::PositiveNumber);
  app.add_option("--rows", arguments.rows, "only those whose names begin so")->delimiter(',');
  app.add_option("--subjects", arguments.subjects, "of trunkline, grpc, bare")->delimiter(',');
  app.add_flag("--json", arguments.json, "a line of JSON for each line");
  CLI11_PARSE(app, argc, argv);
  trunkline::bench::Bench(std::move(arguments)).run();
  return 0;
}
