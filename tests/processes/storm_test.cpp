// SPDX-License-Identifier: Apache-2.0
//
// Five nodes that call each other without a pause, while one at a time is killed, stopped and
// started again. Ten times in the ordinary run; TRUNKLINE_STORM_SECONDS=120 goes on for so long.
#include "processes/child_process.h"
#include "processes/ports.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

namespace trunkline::processes {
namespace {

constexpr std::size_t kNodes = 5;
constexpr int kEvents = 10;

// A node's load holds a few megabytes; freed memory that a sanitizer keeps comes on top.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kMemoryMax = 1UL << 30U;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr std::size_t kMemoryMax = 1UL << 30U;
#else
constexpr std::size_t kMemoryMax = 128UL << 20U;
#endif
#else
constexpr std::size_t kMemoryMax = 128UL << 20U;
#endif

class Storm : public ::testing::Test {
 protected:
  void start(std::size_t i) {
    std::vector<std::string> command{TRUNKLINE_STORM_NODE, ports[i].address()};
    for (std::size_t other = 0; other < kNodes; ++other) {
      if (other != i) {
        command.push_back(ports[other].address());
      }
    }
    nodes[i] = std::make_unique<ChildProcess>(command, [this, i](std::string_view line) {
      heard.change([&] {
        progress[i] += line == "progress" ? 1 : 0;
        if (line.starts_with("wrong")) {
          wrong.push_back(fmt::format("node {}: {}", i, line));
        }
      });
    });
  }

  // All others get on with it.
  [[nodiscard]] bool others_progress(std::size_t but, int steps) {
    std::array<int, kNodes> before{};
    heard.change([&] { before = progress; });
    return heard.wait([&] {
      for (std::size_t i = 0; i < kNodes; ++i) {
        if (i != but && progress[i] < before[i] + steps) {
          return false;
        }
      }
      return true;
    });
  }

  void expect_nothing_wrong() {
    heard.change([&] {
      for (const std::string& each : wrong) {
        ADD_FAILURE() << each;
      }
    });
  }

  // What a node says when it has ended its load: begun, ended, well, failed, open, handlers,
  // unsent.
  std::vector<std::string> calm(std::size_t i) {
    for (const std::string& line : nodes[i]->lines()) {
      if (line.starts_with("calm ")) {
        return words_of(line);
      }
    }
    return {};
  }

  std::array<HeldPort, kNodes> ports;
  Heard heard;
  std::array<int, kNodes> progress{};
  std::vector<std::string> wrong;
  std::array<std::unique_ptr<ChildProcess>, kNodes> nodes;
};

TEST_F(Storm, EveryCallEndsOnceWithTheRightResultOrATrueErrorAndNothingIsLeft) {
  const char* seconds = std::getenv("TRUNKLINE_STORM_SECONDS");
  const auto until = std::chrono::steady_clock::now() +
                     std::chrono::seconds(seconds == nullptr ? 0 : std::atoi(seconds));
  const unsigned seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  std::mt19937 random(seed);
  for (std::size_t i = 0; i < kNodes; ++i) {
    start(i);
  }
  ASSERT_TRUE(others_progress(kNodes, 1));
  int events = 0;
  while (events < kEvents || std::chrono::steady_clock::now() < until) {
    const std::size_t victim = random() % kNodes;
    const bool is_killed = events % 2 == 0;
    if (is_killed) {
      nodes[victim]->kill();
    } else {
      nodes[victim]->signal(SIGSTOP);
    }
    // For a moment, or until it is missed.
    ASSERT_TRUE(others_progress(victim, random() % 3 == 0 ? 4 : 1)) << "seed " << seed;
    if (is_killed) {
      start(victim);
    } else {
      nodes[victim]->signal(SIGCONT);
    }
    ASSERT_TRUE(others_progress(kNodes, 1)) << "seed " << seed;
    ++events;
    expect_nothing_wrong();
    ASSERT_FALSE(HasFailure());
  }
  for (const auto& node : nodes) {
    node->signal(SIGUSR1);
  }
  std::size_t peak = 0;
  for (std::size_t i = 0; i < kNodes; ++i) {
    ASSERT_TRUE(nodes[i]->says("calm ")) << "node " << i;
    const std::vector<std::string> words = calm(i);
    ASSERT_EQ(words.size(), 8U);
    EXPECT_EQ(words[1], words[2]) << "begun and ended";
    EXPECT_EQ((std::vector(words.begin() + 5, words.end())),
              (std::vector<std::string>{"0", "0", "0"}))
        << "calls open, handlers running, bytes unsent of node " << i;
    peak = std::max(peak, nodes[i]->peak_memory());
    std::printf("node %zu: %s ended, %s well, %s failed\n", i, words[2].c_str(), words[3].c_str(),
                words[4].c_str());
  }
  std::printf("%d events, at most %zu MiB\n", events, peak >> 20U);
  EXPECT_LT(peak, kMemoryMax);
  for (const auto& node : nodes) {
    node->signal(SIGTERM);
    EXPECT_EQ(node->wait(), 0);
  }
  expect_nothing_wrong();
}

}  // namespace
}  // namespace trunkline::processes
