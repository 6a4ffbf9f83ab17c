// SPDX-License-Identifier: Apache-2.0
//
// The rows of docs/peers.md about the target and the feelers.
#include "peers/machine_fixture.h"

namespace trunkline::peers {
namespace {

class TargetTest : public MachineTest {
 protected:
  static PeerOptions with_target(std::size_t target) {
    PeerOptions options = plain();
    options.target_outbound = target;
    return options;
  }

  // Answers NeedAddress with one address after the other until nobody asks; how many were asked
  // for.
  int offer_from(int first) {
    int offered = 0;
    while (!take<NeedAddress>().empty()) {
      step(AddressOffered{fmt::format("10.{}.0.1:80", first + offered)});
      ++offered;
    }
    return offered;
  }
};

TEST_F(TargetTest, TheTargetIsKept) {
  begin(with_target(3));
  ASSERT_EQ(all<NeedAddress>().size(), 1U);  // one at a time
  std::vector<StartAttempt> dials;
  for (int i = 1; i <= 3; ++i) {
    effects.clear();
    step(AddressOffered{fmt::format("10.{}.0.1:80", i)});
    dials.push_back(all<StartAttempt>().at(0));
  }
  EXPECT_TRUE(all<NeedAddress>().empty());
  const PeerId id = succeed(dials[0]).value();
  EXPECT_EQ(machine->counts().automatic, 3U);
  effects.clear();
  step(Closed{id, dials[0].dial, "lost"});
  EXPECT_TRUE(is_forgotten(id));
  EXPECT_EQ(all<NeedAddress>().size(), 1U);
}

TEST_F(TargetTest, PermanentOnesAreBesideTheTarget) {
  make(with_target(2));
  connect("192.0.2.1:80", true);
  connect("192.0.2.2:80", true);
  step(Start{});
  EXPECT_EQ(offer_from(1), 2);
}

TEST_F(TargetTest, AFailedAddressGivesWayToANewOne) {
  begin(with_target(1));
  step(AddressOffered{"10.1.0.1:80"});
  const StartAttempt first = attempt();
  fail_it(first);
  ASSERT_EQ(take<NeedAddress>().size(), 1U);
  EXPECT_FALSE(step(AddressOffered{"10.1.0.1:80"}).has_value());  // it has just failed
  step(AddressOffered{"10.2.0.1:80"});
  EXPECT_EQ(to_string(attempt().endpoint), "10.2.0.1:80");
}

TEST_F(TargetTest, UnfitAddressesArePassedOver) {
  begin(with_target(2));
  step(Ban{"10.9.0.1", {}});
  step(AddressOffered{"10.1.0.1:80"});
  effects.clear();
  for (const char* unfit : {"10.1.0.1:80", "10.9.0.1:80", "nonsense"}) {
    EXPECT_FALSE(step(AddressOffered{unfit}).has_value()) << unfit;
    EXPECT_EQ(take<NeedAddress>().size(), 1U) << unfit;
  }
  EXPECT_EQ(machine->counts().automatic, 1U);
  EXPECT_EQ(machine->metrics().addresses_unfit, 3U);
}

TEST_F(TargetTest, DiscouragedOnesAreTheLastResort) {
  begin(with_target(1));
  step(Penalize{"10.1.0.1", 60, 0});
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(step(AddressOffered{"10.1.0.1:80"}).has_value());
  }
  EXPECT_TRUE(step(AddressOffered{"10.1.0.1:80"}).has_value());
}

TEST_F(TargetTest, AGroupHasItsShare) {
  begin(with_target(2));
  step(AddressOffered{"10.1.0.1:80"});
  EXPECT_FALSE(step(AddressOffered{"10.1.99.99:80"}).has_value());
  EXPECT_TRUE(step(AddressOffered{"10.2.0.1:80"}).has_value());
}

TEST_F(TargetTest, LoopbackHasNoShare) {
  begin(with_target(2));
  EXPECT_TRUE(step(AddressOffered{"127.0.0.1:80"}).has_value());
  EXPECT_TRUE(step(AddressOffered{"127.0.0.1:81"}).has_value());
}

TEST_F(TargetTest, ANameCountsWhereItLeads) {
  begin(with_target(2));
  step(AddressOffered{"a.example:80"});
  step(AddressOffered{"b.example:80"});
  const auto asked = take<Resolve>();
  ASSERT_EQ(asked.size(), 2U);
  step(Resolved{asked[0].dial, std::vector{parse_endpoint("10.1.0.1:80").value()}});
  const StartAttempt first = attempt();
  step(Resolved{asked[1].dial, std::vector{parse_endpoint("10.1.0.2:80").value()}});
  const StartAttempt second = attempt();
  EXPECT_TRUE(succeed(first).has_value());
  EXPECT_FALSE(succeed(second).has_value());
  EXPECT_EQ(machine->counts().automatic_connected, 1U);
}

TEST_F(TargetTest, WithoutAnAddressItWaits) {
  begin(with_target(1));
  effects.clear();
  step(AddressOffered{});
  EXPECT_TRUE(all<NeedAddress>().empty());
  EXPECT_FALSE(pass_until<NeedAddress>(2s));
  ASSERT_TRUE(pass_until<NeedAddress>(3s + 10ms));
  effects.clear();
  step(AddressOffered{});
  step(Learn{{"10.1.0.1:80"}});
  ASSERT_EQ(take<NeedAddress>().size(), 1U);
  step(AddressOffered{});
  EXPECT_EQ(to_string(attempt().endpoint), "10.1.0.1:80");  // of the book
}

TEST_F(TargetTest, ARoundOfUnfitAddressesEnds) {
  PeerOptions options = with_target(1);
  options.addresses_per_round_max = 5;
  begin(options);
  step(Ban{"10.1.0.1", {}});
  for (int i = 0; i < 5; ++i) {
    effects.clear();
    step(AddressOffered{"10.1.0.1:80"});
  }
  EXPECT_TRUE(all<NeedAddress>().empty());
  EXPECT_TRUE(pass_until<NeedAddress>(5s + 10ms));
}

TEST_F(TargetTest, AnAnswerThatNobodyAskedForIsRefused) {
  begin(with_target(0));
  EXPECT_EQ(step(AddressOffered{"10.1.0.1:80"}).error().code, ErrorCode::kClosed);
}

TEST_F(TargetTest, AFeelerTestsAndCloses) {
  PeerOptions options = plain();
  options.feeler_interval = 2min;
  begin(options);
  step(Learn{{"10.1.0.1:80"}});
  EXPECT_FALSE(pass_until<StartAttempt>(89s));
  ASSERT_TRUE(pass_until<StartAttempt>(91s + 10ms));
  const StartAttempt one = attempt();
  EXPECT_EQ(succeed(one).error().code, ErrorCode::kClosed);  // the socket is to be closed
  EXPECT_TRUE(all<Surface>().empty());
  EXPECT_EQ(machine->metrics().feelers_succeeded, 1U);
  EXPECT_EQ(machine->counts().requests, 0U);
  EXPECT_FALSE(pass_until<StartAttempt>(1h));  // it is not untried any more
  EXPECT_TRUE(machine->save({now, {}}).contains("address 10.1.0.1:80 0 "));
}

TEST_F(TargetTest, AFeelerGivesWay) {
  PeerOptions options = plain();
  options.feeler_interval = 2min;
  begin(options);
  step(Learn{{"10.1.0.1:80"}});
  ASSERT_TRUE(pass_until<StartAttempt>(181s));
  const StartAttempt feeler = attempt();
  const PeerId id = connect("10.1.0.1:80");
  EXPECT_FALSE(succeed(feeler).has_value());
  EXPECT_EQ(info(id)->state, PeerState::kPending);
  EXPECT_EQ(succeed(attempt()), id);
}

}  // namespace
}  // namespace trunkline::peers
