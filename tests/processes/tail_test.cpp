// SPDX-License-Identifier: Apache-2.0
//
// Sources and a collector as processes, which are killed, stopped and started again while the files
// grow.
#include "processes/child_process.h"
#include "processes/ports.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <sstream>

namespace trunkline::processes {
namespace {

constexpr std::size_t kSources = 3;
constexpr std::size_t kMiB = 1UL << 20U;

class Tail : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path file(std::size_t i) const {
    return folder.path() / fmt::format("log-{}", i);
  }

  [[nodiscard]] std::string from() const {
    return fmt::format("{},{},{}", ports[0].address(), ports[1].address(), ports[2].address());
  }

  void start_source(std::size_t i) {
    sources[i] = std::make_unique<ChildProcess>(
        std::vector<std::string>{TRUNKLINE_TAIL, "--name", ports[i].address(), "--file",
                                 file(i).string(), "--collector", "collector"});
  }

  void start_collector(const std::string& names, const std::string& rate = "0") {
    collector = std::make_unique<ChildProcess>(
        std::vector<std::string>{TRUNKLINE_TAIL, "--name", "collector", "--from", names, "--to",
                                 folder.path().string(), "--rate", rate},
        [this](std::string_view line) {
          const std::vector<std::string> words = words_of(line);
          if (words.size() == 3 && words[0] == "have") {
            heard.change([&] { have[words[1]] = std::stoul(words[2]); });
          }
        });
  }

  // No two places are alike.
  void write(std::size_t i, std::size_t bytes) {
    std::string text;
    while (text.size() < bytes) {
      text += fmt::format("{} {} {}\n", i, ++lines, random());
    }
    std::ofstream(file(i), std::ios::app) << text;
    written[i] += text;
  }

  void rotate(std::size_t i) {
    std::filesystem::rename(file(i), file(i).string() + fmt::format(".{}", ++lines));
  }

  // Waits until everything has come, and compares it.
  void expect_all() {
    for (std::size_t i = 0; i < kSources; ++i) {
      ASSERT_TRUE(heard.wait([&] { return have[ports[i].address()] >= written[i].size(); }))
          << "source " << i;
      std::ostringstream copied;
      copied << std::ifstream(folder.path() / ports[i].address()).rdbuf();
      ASSERT_TRUE(copied.str() == written[i])
          << "source " << i << ": " << copied.str().size() << " bytes of " << written[i].size();
    }
  }

  const TemporaryFolder folder;
  std::array<HeldPort, kSources> ports;
  std::array<std::string, kSources> written;
  std::array<std::unique_ptr<ChildProcess>, kSources> sources;
  Heard heard;
  std::map<std::string, std::size_t> have;  // as the collector says
  std::unique_ptr<ChildProcess> collector;
  std::size_t lines = 0;
  std::mt19937 random{1};
};

TEST_F(Tail, LosesNoByteAndRepeatsNoneWhateverIsKilled) {
  for (std::size_t i = 0; i < kSources; ++i) {
    start_source(i);
    write(i, 1000);
  }
  start_collector(from());
  expect_all();
  for (std::size_t round = 0; round < 6; ++round) {
    const std::size_t victim = round % kSources;
    for (std::size_t i = 0; i < kSources; ++i) {
      write(i, 2 * kMiB);
    }
    const std::size_t some = written[victim].size() - kMiB;
    ASSERT_TRUE(heard.wait([&] { return have[ports[victim].address()] >= some; }));
    if (round % 2 == 0) {
      sources[victim]->kill();
      write(victim, 1000);
      start_source(victim);
    } else {
      collector->kill();
      write(victim, 1000);
      start_collector(from());
    }
    expect_all();
  }
}

TEST_F(Tail, GoesOnBehindAStoppedSource) {
  for (std::size_t i = 0; i < kSources; ++i) {
    start_source(i);
  }
  start_collector(from());
  write(0, 1000);
  sources[0]->signal(SIGSTOP);
  write(0, kMiB);
  write(1, kMiB);
  ASSERT_TRUE(heard.wait([&] { return have[ports[1].address()] == written[1].size(); }));
  sources[0]->signal(SIGCONT);
  write(2, 10);
  expect_all();
}

TEST_F(Tail, FollowsFilesThatAreRotatedAndEmptied) {
  for (std::size_t i = 0; i < kSources; ++i) {
    start_source(i);
    write(i, kMiB);
  }
  start_collector(from());
  expect_all();
  // While it is read, and while nobody reads.
  write(0, kMiB);
  rotate(0);
  write(0, 1000);
  sources[1]->kill();
  write(1, 1000);
  rotate(1);
  write(1, 2000);
  start_source(1);
  expect_all();
  rotate(0);
  write(0, kMiB);
  std::filesystem::resize_file(file(2), 0);
  write(2, 1000);
  expect_all();
  EXPECT_TRUE(collector->says("gap " + ports[2].address()));
  sources[2]->kill();
  std::filesystem::resize_file(file(2), 0);
  write(2, 5000);  // longer than it was
  start_source(2);
  expect_all();
}

TEST_F(Tail, ASlowCollectorMakesNobodysMemoryGrow) {
  // AddressSanitizer keeps what is freed for a while; that is not the program's memory.
  const char* const given = std::getenv("ASAN_OPTIONS");
  const std::string sanitizer =
      fmt::format("{}:quarantine_size_mb=1", given != nullptr ? given : "");
  ::setenv("ASAN_OPTIONS", sanitizer.c_str(), 1);
  start_source(0);
  ASSERT_TRUE(sources[0]->says("running"));
  write(0, 64 * kMiB);
  start_collector(ports[0].address(), fmt::format("{}", 4 * kMiB));
  ASSERT_TRUE(heard.wait([&] { return have[ports[0].address()] > 0; }));
  const std::size_t source_before = sources[0]->peak_memory();
  const std::size_t collector_before = collector->peak_memory();
  ASSERT_TRUE(heard.wait([&] { return have[ports[0].address()] >= 4 * kMiB; }));
  EXPECT_LT(sources[0]->peak_memory(), source_before + 16 * kMiB);
  EXPECT_LT(collector->peak_memory(), collector_before + 16 * kMiB);
}

}  // namespace
}  // namespace trunkline::processes
