// SPDX-License-Identifier: Apache-2.0
#include "peers/machine_fixture.h"

namespace trunkline::peers {
namespace {

class SaveTest : public MachineTest {
 protected:
  [[nodiscard]] Now at(std::chrono::seconds wall) const { return {now, WallTime(wall)}; }
};

TEST_F(SaveTest, GoodPeersComeFirstAfterARestart) {
  PeerOptions options = plain();
  options.target_outbound = 3;
  make(options);
  const std::string text =
      "trunkline-peers 1 1000\n"
      "address 10.1.0.1:80 0 5 100\n"
      "address 10.2.0.1:80 0 5 - up\n"
      "address 10.3.0.1:80 0 5 10\n"
      "address 10.4.0.1:80 3 5 -\n";
  ASSERT_TRUE(machine->restore(text, at(1060s)).has_value());
  step(Start{});
  std::vector<std::string> dialled;
  for (const StartAttempt& one : all<StartAttempt>()) {
    dialled.push_back(to_string(one.endpoint));
  }
  EXPECT_EQ(dialled, (std::vector<std::string>{"10.2.0.1:80", "10.3.0.1:80", "10.1.0.1:80"}));
  EXPECT_TRUE(all<NeedAddress>().empty());
}

TEST_F(SaveTest, WhatWasLearntComesBack) {
  begin();
  const auto [id, dial] = connected("10.1.0.1:80");
  pass(1min);
  step(Closed{id, dial, "lost"});
  effects.clear();
  connect("10.2.0.1:80");
  fail_it(attempt());
  connected("10.3.0.1:80");
  step(Penalize{"192.0.2.1", 30, 10});
  step(Ban{"192.0.2.2", 1h});
  pass(10s);
  const std::string text = machine->save(at(5000s));
  EXPECT_EQ(text,
            "trunkline-peers 1 5000\n"
            "address 10.1.0.1:80 0 70 10\n"
            "address 10.2.0.1:80 1 10 -\n"
            "address 10.3.0.1:80 0 10 - up\n"
            "host 192.0.2.1 30 0\n"
            "host 192.0.2.2 0 3590\n");
  make(plain());
  now = TimePoint{5s};  // another boot
  ASSERT_TRUE(machine->restore(text, at(5090s)).has_value());
  EXPECT_DOUBLE_EQ(machine->score("192.0.2.1", now), 30);
  EXPECT_EQ(machine->save(at(5090s)),
            "trunkline-peers 1 5090\n"
            "address 10.1.0.1:80 0 160 100\n"
            "address 10.2.0.1:80 1 100 -\n"
            "address 10.3.0.1:80 0 100 -\n"
            "host 192.0.2.1 30 0\n"
            "host 192.0.2.2 0 3500\n");
}

TEST_F(SaveTest, ABanEndsThoughTheProgramWasDown) {
  make(plain());
  ASSERT_TRUE(machine->restore("trunkline-peers 1 1000\nhost 192.0.2.1 0 50\n", at(2000s)));
  step(Start{});
  EXPECT_TRUE(accept("192.0.2.1:999").has_value());
}

TEST_F(SaveTest, NothingIsTakenOfABadText) {
  make(plain());
  const auto taken =
      machine->restore("trunkline-peers 1 1000\naddress 10.1.0.1:80 0 - -\nrubbish\n", at(2000s));
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error().code, ErrorCode::kMalformed);
  EXPECT_TRUE(taken.error().context.contains("line 3"));
  EXPECT_EQ(machine->counts().known_addresses, 0U);
}

TEST_F(SaveTest, OnlyBeforeTheStart) {
  begin();
  EXPECT_EQ(machine->restore("trunkline-peers 1 1000\n", at(2000s)).error().code,
            ErrorCode::kClosed);
}

}  // namespace
}  // namespace trunkline::peers
