// SPDX-License-Identifier: Apache-2.0
//
// The rows of docs/peers.md about when a dial may start, and how it goes.
#include "peers/backoff.h"
#include "peers/machine_fixture.h"

namespace trunkline::peers {
namespace {

TEST_F(MachineTest, RetriesKeepToTheFormula) {
  begin();
  const PeerId id = connect("192.0.2.1:80", true);
  for (std::uint32_t failures = 1; failures <= 12; ++failures) {
    fail_it(attempt());
    ASSERT_EQ(info(id)->failures, failures);
    EXPECT_LE(info(id)->retry_in, retry_ceiling(failures, 5s, 5min));
    const TimePoint failed = now;
    ASSERT_TRUE(pass_until<StartAttempt>(5min + 10ms));
    EXPECT_LE(now - failed, retry_ceiling(failures, 5s, 5min) + 2 * TimerWheel::kTick);
  }
}

TEST_F(MachineTest, AcceptAndDropDoesNotResetTheBackoff) {
  begin();
  const PeerId id = connect("192.0.2.1:80", true);
  for (std::uint32_t drops = 1; drops <= 8; ++drops) {
    const StartAttempt one = attempt();
    succeed(one);
    pass(1s);
    step(Closed{id, one.dial, "dropped"});
    EXPECT_EQ(info(id)->failures, drops);
    effects.clear();
    ASSERT_TRUE(pass_until<StartAttempt>(5min + 10ms));
  }
}

TEST_F(MachineTest, AGoodConnectionResetsTheBackoff) {
  begin();
  const PeerId id = connect("192.0.2.1:80", true);
  for (int i = 0; i < 5; ++i) {
    fail_it(attempt());
    ASSERT_TRUE(pass_until<StartAttempt>(5min + 10ms));
  }
  const StartAttempt one = attempt();
  succeed(one);
  EXPECT_EQ(info(id)->failures, 5U);
  pass(30s);
  step(Closed{id, one.dial, "lost"});
  EXPECT_EQ(info(id)->failures, 0U);
  EXPECT_LE(info(id)->retry_in, 5s);
}

TEST_F(MachineTest, TheBreakerHoldsDialsBack) {
  PeerOptions options = plain();
  options.breaker_failures = 3;
  options.retry_start = 1ms;
  options.retry_max = 1ms;
  begin(options);
  const PeerId id = connect("192.0.2.1:80", true);
  for (int i = 0; i < 3; ++i) {
    fail_it(attempt());
    if (i < 2) {
      ASSERT_TRUE(pass_until<StartAttempt>(1s));
    }
  }
  EXPECT_EQ(info(id)->breaker, BreakerState::kOpen);
  EXPECT_FALSE(pass_until<StartAttempt>(29s));
  ASSERT_TRUE(pass_until<StartAttempt>(1s + 10ms));
  EXPECT_EQ(info(id)->breaker, BreakerState::kHalfOpen);
  succeed(attempt());
  EXPECT_EQ(info(id)->breaker, BreakerState::kClosed);
}

TEST_F(MachineTest, OnlyOneProbesAHalfOpenAddress) {
  PeerOptions options = plain();
  options.breaker_failures = 1;
  begin(options);
  connect("192.0.2.1:80", true);
  fail_it(attempt());
  step(Connect{{.address = "192.0.2.1:80", .permanent = true, .allow_duplicate = true}});
  ASSERT_TRUE(pass_until<StartAttempt>(31s));
  pass(20s);
  EXPECT_EQ(all<StartAttempt>().size(), 1U);
  EXPECT_EQ(machine->counts().dials_in_flight, 1U);
}

TEST_F(MachineTest, AProbeThatIsGivenUpLeavesTheBreakerForTheNext) {
  PeerOptions options = plain();
  options.breaker_failures = 1;
  begin(options);
  const PeerId id = connect("192.0.2.1:80", true);
  fail_it(attempt());
  ASSERT_TRUE(pass_until<StartAttempt>(31s));
  step(Disconnect{id});
  EXPECT_EQ(info(id)->breaker, BreakerState::kOpen);
  effects.clear();
  EXPECT_TRUE(pass_until<StartAttempt>(6s));
}

TEST_F(MachineTest, DialsInFlightAreLimited) {
  PeerOptions options = plain();
  options.dials_in_flight_max = 2;
  begin(options);
  for (int i = 1; i <= 4; ++i) {
    connect(fmt::format("192.0.2.{}:80", i));
  }
  const auto first = take<StartAttempt>();
  ASSERT_EQ(first.size(), 2U);
  succeed(first[0]);
  EXPECT_EQ(take<StartAttempt>().size(), 1U);
  fail_it(first[1]);
  EXPECT_EQ(take<StartAttempt>().size(), 1U);
}

TEST_F(MachineTest, AfterManyFailuresEverybodySlowsDown) {
  PeerOptions options = plain();
  options.slow_after_failures = 25;
  begin(options);
  for (int i = 1; i <= 25; ++i) {
    connect(fmt::format("192.0.2.{}:80", i));
    fail_it(attempt());
  }
  EXPECT_TRUE(machine->counts().slowed_down);
  EXPECT_EQ(machine->metrics().slow_downs, 1U);
  connect("198.51.100.1:80");
  connect("198.51.100.2:80");
  const StartAttempt first = attempt();  // one at a time
  fail_it(first);
  EXPECT_FALSE(pass_until<StartAttempt>(2s));  // and spaced, by half of 5 s at least
  ASSERT_TRUE(pass_until<StartAttempt>(3s + 10ms));
  succeed(attempt());
  connect("198.51.100.3:80");
  connect("198.51.100.4:80");
  connect("198.51.100.5:80");
  EXPECT_EQ(take<StartAttempt>().size(), 2U);  // after a success two, then four, …
}

TEST_F(MachineTest, SpeedComesBackWithSuccess) {
  PeerOptions options = plain();
  options.slow_after_failures = 1;
  begin(options);
  connect("192.0.2.1:80");
  fail_it(attempt());
  for (int i = 1; i <= 3; ++i) {
    EXPECT_TRUE(machine->counts().slowed_down);
    connect(fmt::format("198.51.100.{}:80", i));
    succeed(attempt());
  }
  EXPECT_FALSE(machine->counts().slowed_down);
}

TEST_F(MachineTest, AGroupThatFailsSlowsDownAlone) {
  PeerOptions options = plain();
  options.slow_group_after_failures = 10;
  begin(options);
  for (int i = 1; i <= 11; ++i) {
    connect(fmt::format("192.0.2.{}:80", i));
    fail_it(attempt());
  }
  connect("192.0.3.1:80");  // the same /16
  EXPECT_TRUE(all<StartAttempt>().empty());
  connect("198.51.100.1:80");
  EXPECT_EQ(to_string(attempt().endpoint), "198.51.100.1:80");
  ASSERT_TRUE(pass_until<StartAttempt>(5s + 10ms));
  EXPECT_EQ(to_string(attempt().endpoint), "192.0.3.1:80");
}

TEST_F(MachineTest, FamiliesTakeTurns) {
  begin();
  const PeerId id = connect("host.example:80");
  const DialId dial = take<Resolve>().at(0).dial;
  const auto at = [](const char* text) { return parse_endpoint(text).value(); };
  step(Resolved{dial, std::vector{at("[2001:db8::1]:80"), at("[2001:db8::2]:80"),
                                  at("192.0.2.1:80"), at("192.0.2.2:80")}});
  EXPECT_EQ(to_string(attempt().endpoint), "[2001:db8::1]:80");
  pass(240ms);
  EXPECT_TRUE(all<StartAttempt>().empty());
  pass(14ms);
  const StartAttempt second = attempt();
  EXPECT_EQ(to_string(second.endpoint), "192.0.2.1:80");
  fail_it(second);  // the next one does not wait
  const StartAttempt third = attempt();
  EXPECT_EQ(to_string(third.endpoint), "[2001:db8::2]:80");
  EXPECT_EQ(succeed(third), id);
  ASSERT_EQ(all<AbortDial>().size(), 1U);
  EXPECT_EQ(info(id)->remote, "[2001:db8::2]:80");
  pass(10s);
  EXPECT_TRUE(all<StartAttempt>().empty());
  EXPECT_EQ(succeed(second).error().code, ErrorCode::kClosed);
}

TEST_F(MachineTest, ADialFailsWithItsLastAttempt) {
  begin();
  const PeerId id = connect("host.example:80", true);
  const DialId dial = take<Resolve>().at(0).dial;
  step(Resolved{dial, std::vector{parse_endpoint("192.0.2.1:80").value(),
                                  parse_endpoint("192.0.2.2:80").value()}});
  const StartAttempt first = attempt();
  pass(300ms);
  const StartAttempt second = attempt();
  fail_it(first);
  EXPECT_EQ(info(id)->state, PeerState::kPending);
  fail_it(second, "no route");
  EXPECT_EQ(info(id)->state, PeerState::kFailing);
  EXPECT_EQ(info(id)->last_error, "no route");
  EXPECT_EQ(info(id)->failures, 1U);
}

}  // namespace
}  // namespace trunkline::peers
