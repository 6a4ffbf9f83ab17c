// SPDX-License-Identifier: Apache-2.0
//
// The lock service as processes, which are killed and stopped while others count under its lock.
#include "processes/child_process.h"
#include "processes/ports.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <optional>

namespace trunkline::processes {
namespace {

constexpr std::size_t kNodes = 3;
constexpr std::size_t kTakers = 3;

// The lock was held in between, and so much was counted.
struct Turn {
  long from = 0;
  long until = 0;
  long number = 0;
};

class Locks : public ::testing::Test {
 protected:
  void SetUp() override {
    for (std::size_t i = 0; i < kNodes; ++i) {
      start(i);
    }
    for (auto& node : nodes) {
      ASSERT_TRUE(node->says("granting"));
    }
    std::ofstream(number_file()) << "0\n";
  }

  [[nodiscard]] std::string number_file() const { return (folder.path() / "number").string(); }

  [[nodiscard]] std::vector<std::string> command(const std::string& name) const {
    return {TRUNKLINE_LOCKS,
            "--name",
            name,
            "--lease",
            "1000",
            "--peers",
            fmt::format("{},{},{}", ports[0].address(), ports[1].address(), ports[2].address())};
  }

  void start(std::size_t i) {
    std::vector<std::string> words = command(ports[i].address());
    words.insert(words.end(), {"--takers", "taker-0,taker-1,taker-2"});
    nodes[i] = std::make_unique<ChildProcess>(words);
  }

  [[nodiscard]] std::unique_ptr<ChildProcess> take(std::size_t i, std::vector<std::string> word) {
    std::vector<std::string> words = command(fmt::format("taker-{}", i));
    words.insert(words.end(), word.begin(), word.end());
    return std::make_unique<ChildProcess>(words, [this](std::string_view line) { hear(line); });
  }

  void hear(std::string_view line) {
    const std::vector<std::string> words = words_of(line);
    if (words.size() == 6) {
      heard.change([&] {
        turns.push_back({std::stol(words[3]), std::stol(words[5]), std::stol(words[1])});
        uncertain += words[0] == "uncertain" ? 1 : 0;
      });
    }
  }

  // They go on counting.
  [[nodiscard]] bool progresses() {
    std::size_t have = 0;
    heard.change([&] { have = turns.size(); });
    return heard.wait([&] { return turns.size() >= have + 20; });
  }

  const TemporaryFolder folder;
  std::array<HeldPort, kNodes> ports;
  Heard heard;
  std::vector<Turn> turns;
  int uncertain = 0;
  std::array<std::unique_ptr<ChildProcess>, kNodes> nodes;
};

TEST_F(Locks, NeverHaveTwoHoldersWhileNodesAreKilledAndStoppedOneAtATime) {
  std::array<std::unique_ptr<ChildProcess>, kTakers> takers;
  for (std::size_t i = 0; i < kTakers; ++i) {
    takers[i] = take(i, {"count", "door", number_file(), "--times", "1000000"});
  }
  ASSERT_TRUE(progresses());
  for (std::size_t i = 0; i < kNodes; ++i) {
    nodes[i]->kill();
    ASSERT_TRUE(progresses()) << "with node " << i << " killed";
    start(i);
    // Not only says so: it is counted on from the next kill on.
    ASSERT_TRUE(nodes[i]->says("granting"));
    ASSERT_TRUE(progresses()) << "with node " << i << " back";
  }
  nodes[0]->signal(SIGSTOP);
  ASSERT_TRUE(progresses()) << "with a node stopped";
  nodes[0]->signal(SIGCONT);
  takers[0]->kill();
  ASSERT_TRUE(progresses()) << "after one that may have held the lock was killed";
  for (std::unique_ptr<ChildProcess>& taker : takers) {
    taker.reset();
  }

  std::ranges::sort(turns, {}, &Turn::from);
  for (std::size_t i = 1; i < turns.size(); ++i) {
    ASSERT_LE(turns[i - 1].until, turns[i].from) << "two had the lock, at turn " << i;
    // Who was held up between his look at the lock and his write may have spoilt the number.
    ASSERT_TRUE(uncertain > 0 || turns[i - 1].number < turns[i].number) << "at turn " << i;
  }
}

TEST_F(Locks, AHolderIsToldThatItHasLostItsLock) {
  const std::unique_ptr<ChildProcess> holder = take(0, {"hold", "door"});
  ASSERT_TRUE(holder->says("held door"));
  nodes[0]->kill();
  nodes[1]->kill();
  EXPECT_TRUE(holder->says("lost door"));
  EXPECT_EQ(holder->wait(), 3);
}

TEST_F(Locks, ALockThatWasGivenBackIsTheNextOnes) {
  const std::unique_ptr<ChildProcess> first = take(0, {"hold", "door"});
  ASSERT_TRUE(first->says("held door"));
  const std::unique_ptr<ChildProcess> second = take(1, {"hold", "door"});
  first->signal(SIGTERM);
  EXPECT_EQ(first->wait(), 0);
  EXPECT_TRUE(second->says("held door"));
}

TEST_F(Locks, TheBenchMeasures) {
  const std::unique_ptr<ChildProcess> bench = take(0, {"bench", "--times", "100"});
  EXPECT_EQ(bench->wait(), 0);
  EXPECT_EQ(bench->lines().size(), 1U);
}

}  // namespace
}  // namespace trunkline::processes
