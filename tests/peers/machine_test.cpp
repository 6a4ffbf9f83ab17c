// SPDX-License-Identifier: Apache-2.0
//
// The rows of docs/peers.md about requests.
#include "peers/machine_fixture.h"

namespace trunkline::peers {
namespace {

TEST_F(MachineTest, ConnectIsDialledAtOnce) {
  begin();
  const PeerId id = connect("192.0.2.1:80");
  EXPECT_EQ(told(PeerEventKind::kAdded).size(), 1U);
  const StartAttempt one = attempt();
  EXPECT_EQ(to_string(one.endpoint), "192.0.2.1:80");
  EXPECT_EQ(info(id)->state, PeerState::kPending);
  EXPECT_TRUE(info(id)->is_dialling);
}

TEST_F(MachineTest, WhatWasAskedForBeforeTheStartIsDialledThen) {
  make(plain());
  connect("192.0.2.1:80");
  EXPECT_TRUE(all<StartAttempt>().empty());
  step(Start{});
  EXPECT_EQ(all<StartAttempt>().size(), 1U);
}

TEST_F(MachineTest, AnAddressIsTakenOnce) {
  begin();
  connect("[2001:db8::1]:80");
  const auto second = step(Connect{{.address = "[2001:DB8:0::1]:80"}});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
}

TEST_F(MachineTest, DuplicatesAreMadeWhenAskedFor) {
  begin();
  connect("192.0.2.1:80");
  EXPECT_TRUE(step(Connect{{.address = "192.0.2.1:80", .allow_duplicate = true}}).has_value());
  EXPECT_EQ(all<StartAttempt>().size(), 2U);
}

TEST_F(MachineTest, ConnectSaysWhyNot) {
  PeerOptions options = plain();
  options.requests_max = 1;
  begin(options);
  const auto refused = [this](const std::string& address) {
    const auto answer = step(Connect{{.address = address}});
    return answer.has_value() ? ErrorCode{} : answer.error().code;
  };
  EXPECT_EQ(refused("nothing"), ErrorCode::kInvalidArgument);
  step(Ban{"192.0.2.1", {}});
  EXPECT_EQ(refused("192.0.2.1:80"), ErrorCode::kPermissionDenied);
  connect("192.0.2.2:80");
  EXPECT_EQ(refused("192.0.2.3:80"), ErrorCode::kLimitExceeded);
  step(Stop{});
  EXPECT_EQ(refused("192.0.2.4:80"), ErrorCode::kClosed);
}

TEST_F(MachineTest, IdsAreNeverUsedAgain) {
  begin();
  const PeerId first = connect("192.0.2.1:80");
  step(Remove{first});
  const PeerId second = connect("192.0.2.1:80");
  EXPECT_GT(second, first);
  EXPECT_EQ(step(Remove{first}).error().code, ErrorCode::kNotFound);
}

TEST_F(MachineTest, SuccessSurfaces) {
  begin();
  const PeerId id = connect("192.0.2.1:80");
  const StartAttempt one = attempt();
  EXPECT_EQ(succeed(one), id);
  ASSERT_EQ(all<Surface>().size(), 1U);
  EXPECT_EQ(all<Surface>()[0].id, id);
  EXPECT_EQ(story(id), Story{"pending>connected"});
  EXPECT_EQ(info(id)->remote, "192.0.2.1:80");
}

TEST_F(MachineTest, APermanentPeerThatFailsIsDialledAgain) {
  begin();
  const PeerId id = connect("192.0.2.1:80", true);
  fail_it(attempt());
  ASSERT_EQ(told(PeerEventKind::kState).size(), 1U);
  EXPECT_TRUE(told(PeerEventKind::kState)[0].will_retry);
  EXPECT_EQ(info(id)->state, PeerState::kFailing);
  EXPECT_EQ(info(id)->last_error, "refused");
  ASSERT_TRUE(pass_until<StartAttempt>(5s + 10ms));
  EXPECT_EQ(story(id), (Story{"pending>failing", "failing>pending"}));
  EXPECT_EQ(machine->metrics().retries, 1U);
}

TEST_F(MachineTest, AnotherThatFailsIsForgotten) {
  begin();
  const PeerId id = connect("192.0.2.1:80");
  fail_it(attempt());
  EXPECT_EQ(story(id), Story{"pending>failing"});
  EXPECT_FALSE(told(PeerEventKind::kState)[0].will_retry);
  EXPECT_TRUE(is_forgotten(id));
  EXPECT_FALSE(pass_until<StartAttempt>(1h));
}

TEST_F(MachineTest, ADialThatTakesTooLongFails) {
  begin();
  const PeerId id = connect("192.0.2.1:80", true);
  const StartAttempt one = attempt();
  pass(29s);
  EXPECT_EQ(info(id)->state, PeerState::kPending);
  pass(1s + 4ms);
  EXPECT_EQ(info(id)->state, PeerState::kFailing);
  ASSERT_FALSE(all<AbortDial>().empty());
  EXPECT_EQ(all<AbortDial>()[0].dial, one.dial);
  EXPECT_EQ(succeed(one).error().code, ErrorCode::kClosed);
  EXPECT_EQ(machine->metrics().dials_timed_out, 1U);
}

TEST_F(MachineTest, ANameThatIsNotFoundFails) {
  begin();
  const PeerId id = connect("host.example:80", true);
  const auto asked = take<Resolve>();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].host, "host.example");
  EXPECT_EQ(asked[0].port, 80);
  step(Resolved{asked[0].dial, fail(ErrorCode::kNotFound, "no such name")});
  EXPECT_EQ(info(id)->state, PeerState::kFailing);
  EXPECT_EQ(info(id)->last_error, "no such name");
}

TEST_F(MachineTest, APermanentPeerThatIsLostComesBack) {
  begin();
  const auto [id, dial] = connected("192.0.2.1:80", true);
  pass(1min);
  effects.clear();
  step(Closed{id, dial, "reset"});
  EXPECT_EQ(story(id), Story{"connected>disconnected"});
  ASSERT_EQ(all<CloseConnection>().size(), 1U);
  EXPECT_EQ(all<CloseConnection>()[0].reason, "reset");
  ASSERT_TRUE(pass_until<StartAttempt>(5s + 10ms));
  EXPECT_EQ(succeed(all<StartAttempt>()[0]), id);
}

TEST_F(MachineTest, AnotherThatIsLostIsForgotten) {
  begin();
  const auto [id, dial] = connected("192.0.2.1:80");
  step(Closed{id, dial, "reset"});
  EXPECT_EQ(story(id), Story{"connected>disconnected"});
  EXPECT_TRUE(is_forgotten(id));
  EXPECT_FALSE(pass_until<StartAttempt>(1h));
}

TEST_F(MachineTest, AnOldConnectionDoesNotEndANewOne) {
  begin();
  const auto [id, dial] = connected("192.0.2.1:80", true);
  step(Disconnect{id});
  effects.clear();
  ASSERT_TRUE(pass_until<StartAttempt>(5s + 10ms));
  succeed(attempt());
  EXPECT_EQ(step(Closed{id, dial, "the first one"}).error().code, ErrorCode::kClosed);
  EXPECT_EQ(info(id)->state, PeerState::kConnected);
}

TEST_F(MachineTest, DisconnectOfAPermanentPeerIsRetried) {
  begin();
  const PeerId id = connected("192.0.2.1:80", true).first;
  EXPECT_TRUE(step(Disconnect{id}).has_value());
  EXPECT_EQ(story(id), Story{"connected>disconnected"});
  EXPECT_EQ(all<CloseConnection>().size(), 1U);
  EXPECT_EQ(info(id)->failures, 0U);
  EXPECT_TRUE(pass_until<StartAttempt>(5s + 10ms));
}

TEST_F(MachineTest, DisconnectOfAnotherEndsIt) {
  begin();
  const PeerId id = connected("192.0.2.1:80").first;
  step(Disconnect{id});
  EXPECT_EQ(all<CloseConnection>().size(), 1U);
  EXPECT_TRUE(is_forgotten(id));
}

TEST_F(MachineTest, DisconnectWhileDiallingIsRetried) {
  begin();
  const PeerId id = connect("192.0.2.1:80", true);
  const StartAttempt first = attempt();
  step(Disconnect{id});
  EXPECT_EQ(story(id), Story{"pending>disconnected"});
  EXPECT_EQ(all<AbortDial>().size(), 1U);
  effects.clear();
  EXPECT_FALSE(succeed(first).has_value());
  EXPECT_TRUE(pass_until<StartAttempt>(5s + 10ms));
}

TEST_F(MachineTest, DisconnectWhileDiallingEndsAnother) {
  begin();
  const PeerId id = connect("192.0.2.1:80");
  step(Disconnect{id});
  EXPECT_EQ(story(id), Story{"pending>cancelled"});
  EXPECT_TRUE(is_forgotten(id));
}

TEST_F(MachineTest, DisconnectWhileWaitingChangesNothing) {
  begin();
  const PeerId id = connect("192.0.2.1:80", true);
  fail_it(attempt());
  const auto wait = info(id)->retry_in;
  effects.clear();
  EXPECT_TRUE(step(Disconnect{id}).has_value());
  EXPECT_TRUE(story(id).empty());
  EXPECT_EQ(info(id)->retry_in, wait);
}

TEST_F(MachineTest, CancelWhileDiallingNeverSurfaces) {
  begin();
  const PeerId id = connect("192.0.2.1:80", true);
  const StartAttempt one = attempt();
  EXPECT_TRUE(step(Cancel{id}).has_value());
  EXPECT_EQ(story(id), Story{"pending>cancelled"});
  EXPECT_EQ(all<AbortDial>().size(), 1U);
  effects.clear();
  const auto late = succeed(one);
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, ErrorCode::kClosed);
  EXPECT_TRUE(effects.empty());
  EXPECT_EQ(machine->metrics().late_successes, 1U);
}

TEST_F(MachineTest, CancelWhileWaitingIsForGood) {
  begin();
  const PeerId id = connect("192.0.2.1:80", true);
  fail_it(attempt());
  step(Cancel{id});
  EXPECT_TRUE(is_forgotten(id));
  EXPECT_FALSE(pass_until<StartAttempt>(1h));
}

TEST_F(MachineTest, CancelIsNotForTheConnected) {
  begin();
  const PeerId id = connected("192.0.2.1:80").first;
  EXPECT_EQ(step(Cancel{id}).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(info(id)->state, PeerState::kConnected);
}

TEST_F(MachineTest, RemoveIsForGood) {
  begin();
  const PeerId id = connected("192.0.2.1:80", true).first;
  step(Remove{id});
  EXPECT_EQ(story(id), Story{"connected>disconnected"});
  EXPECT_FALSE(told(PeerEventKind::kState)[0].will_retry);
  EXPECT_EQ(all<CloseConnection>().size(), 1U);
  EXPECT_TRUE(is_forgotten(id));
  EXPECT_FALSE(pass_until<StartAttempt>(1h));
}

TEST_F(MachineTest, StopEndsEverybodyInOrder) {
  begin();
  const PeerId first = connected("192.0.2.1:80", true).first;
  const PeerId second = connect("192.0.2.2:80");
  const StartAttempt dial = attempt();
  const PeerId third = accept("198.51.100.1:999").value();
  effects.clear();
  step(Stop{});
  std::vector<PeerId> order;
  for (const Tell& tell : all<Tell>()) {
    order.push_back(tell.event.id);
  }
  EXPECT_EQ(order, (std::vector{first, second, third}));
  EXPECT_EQ(all<CloseConnection>().size(), 2U);
  EXPECT_EQ(all<AbortDial>().size(), 1U);
  ASSERT_TRUE(std::holds_alternative<Stopped>(effects.back()));
  EXPECT_FALSE(succeed(dial).has_value());
  EXPECT_FALSE(machine->next_wakeup().has_value());
  EXPECT_EQ(machine->counts().requests + machine->counts().inbound, 0U);
}

TEST_F(MachineTest, AfterTheStopNothingHappens) {
  begin();
  step(Stop{});
  effects.clear();
  EXPECT_EQ(step(Stop{}).error().code, ErrorCode::kClosed);
  EXPECT_EQ(step(Start{}).error().code, ErrorCode::kClosed);
  EXPECT_EQ(accept("198.51.100.1:999").error().code, ErrorCode::kClosed);
  EXPECT_EQ(step(Learn{{"192.0.2.1:80"}}).error().code, ErrorCode::kClosed);
  EXPECT_EQ(step(Ban{"192.0.2.1", {}}).error().code, ErrorCode::kClosed);
  pass(1h);
  EXPECT_TRUE(effects.empty());
}

TEST_F(MachineTest, ForEachGoesInTheOrderOfMaking) {
  begin();
  connect("192.0.2.9:80");
  connect("192.0.2.1:80");
  std::vector<std::string> addresses;
  machine->for_each([&](const PeerInfo& one) { addresses.push_back(one.address); }, now);
  EXPECT_EQ(addresses, (std::vector<std::string>{"192.0.2.9:80", "192.0.2.1:80"}));
  EXPECT_EQ(machine->counts().pending, 2U);
  EXPECT_EQ(machine->counts().dials_in_flight, 2U);
}

}  // namespace
}  // namespace trunkline::peers
