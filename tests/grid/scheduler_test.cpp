// SPDX-License-Identifier: Apache-2.0
#include "grid/scheduler.h"

#include "grid/mux_fixture.h"

#include <array>
#include <memory>
#include <vector>

namespace trunkline::grid {
namespace {

// Calls of each class that never run out; what each class has sent.
class SchedulerTest : public MuxTest {
 protected:
  Call& add(Scheduler::Class to) {
    calls.push_back(std::make_unique<Call>());
    classes.push_back(to);
    calls.back()->token = calls.size() - 1;
    scheduler.add(*calls.back(), to);
    return *calls.back();
  }

  // Sends pieces until so many bytes are out.
  void run(std::size_t bytes, std::size_t piece) {
    for (std::size_t sent_bytes = 0; sent_bytes < bytes; sent_bytes += piece) {
      Call* call = scheduler.next();
      ASSERT_NE(call, nullptr);
      scheduler.charge(piece);
      sent[classes[call->token]] += piece;
      by_call.resize(calls.size());
      by_call[call->token] += piece;
      scheduler.add(*call, classes[call->token]);
    }
  }

  std::vector<std::unique_ptr<Call>> calls;
  std::vector<Scheduler::Class> classes;
  std::array<std::size_t, Scheduler::kClasses> sent{};
  std::vector<std::size_t> by_call;
  Scheduler scheduler;
};

TEST_F(SchedulerTest, ClassesShareByTheirQuanta) {
  for (const auto to : {Scheduler::kSmall, Scheduler::kStreams, Scheduler::kBulk}) {
    add(to);
  }
  run(112 * 1024 * 100, 1024);
  EXPECT_NEAR(static_cast<double>(sent[Scheduler::kSmall]), 64.0 * 1024 * 100, 70'000);
  EXPECT_NEAR(static_cast<double>(sent[Scheduler::kStreams]), 32.0 * 1024 * 100, 70'000);
  EXPECT_NEAR(static_cast<double>(sent[Scheduler::kBulk]), 16.0 * 1024 * 100, 70'000);
}

TEST_F(SchedulerTest, PiecesLargerThanAQuantumAreMadeUpFor) {
  add(Scheduler::kSmall);
  add(Scheduler::kBulk);
  run(100'000'000, 50'000);
  EXPECT_NEAR(
      static_cast<double>(sent[Scheduler::kSmall]) / static_cast<double>(sent[Scheduler::kBulk]),
      4.0, 0.2);
}

TEST_F(SchedulerTest, CallsOfAClassTakeTurns) {
  for (int i = 0; i < 5; ++i) {
    add(Scheduler::kBulk);
  }
  run(500'000, 1000);
  for (const std::size_t bytes : by_call) {
    EXPECT_EQ(bytes, 100'000U);
  }
}

TEST_F(SchedulerTest, WhoComesLateWaitsForNoMoreThanTheQuantaOfTheOthers) {
  add(Scheduler::kStreams);
  add(Scheduler::kBulk);
  run(1'000'000, 1000);
  add(Scheduler::kSmall);
  std::size_t waited = 0;
  for (Call* call = scheduler.next(); classes[call->token] != Scheduler::kSmall;
       call = scheduler.next()) {
    scheduler.charge(1000);
    scheduler.add(*call, classes[call->token]);
    waited += 1000;
  }
  EXPECT_LE(waited, 50'000U);
}

TEST_F(SchedulerTest, AnEmptyOneGivesNothing) {
  EXPECT_TRUE(scheduler.empty());
  EXPECT_EQ(scheduler.next(), nullptr);
}

}  // namespace
}  // namespace trunkline::grid
