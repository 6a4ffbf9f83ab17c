// SPDX-License-Identifier: Apache-2.0
#include "peers/machine_fixture.h"

namespace trunkline::peers {
namespace {

TEST_F(MachineTest, ABanEndsTheConnectionsOfAHost) {
  begin();
  const PeerId inbound = accept("192.0.2.1:999").value();
  const PeerId once = connected("192.0.2.1:80").first;
  const PeerId dialling = connect("192.0.2.1:81");
  const PeerId other = accept("192.0.2.2:999").value();
  effects.clear();
  step(PenalizePeer{inbound, 0, 100});
  EXPECT_EQ(told(PeerEventKind::kBanned).size(), 1U);
  EXPECT_EQ(told(PeerEventKind::kBanned)[0].address, "192.0.2.1");
  EXPECT_TRUE(is_forgotten(inbound));
  EXPECT_TRUE(is_forgotten(once));
  EXPECT_TRUE(is_forgotten(dialling));
  EXPECT_FALSE(is_forgotten(other));
  EXPECT_EQ(machine->counts().banned_hosts, 1U);
}

TEST_F(MachineTest, ABannedPermanentPeerWaitsForTheEnd) {
  begin();
  const PeerId connected_one = connected("192.0.2.1:80", true).first;
  const PeerId dialled_one = connect("192.0.2.1:81", true);
  step(Ban{"192.0.2.1", 1h});
  EXPECT_EQ(info(connected_one)->state, PeerState::kDisconnected);
  EXPECT_EQ(info(dialled_one)->state, PeerState::kPending);
  effects.clear();
  EXPECT_FALSE(pass_until<StartAttempt>(59min));
  ASSERT_TRUE(pass_until<StartAttempt>(1min + 10ms));
  EXPECT_EQ(machine->counts().banned_hosts, 0U);
}

TEST_F(MachineTest, TheEndOfABanIsToldAndItsScoreForgotten) {
  begin();
  step(Penalize{"192.0.2.1", 100, 0});
  effects.clear();
  pass(24h + 10ms);
  EXPECT_EQ(told(PeerEventKind::kBanEnded).size(), 1U);
  EXPECT_DOUBLE_EQ(machine->score("192.0.2.1", now), 0);
  EXPECT_TRUE(accept("192.0.2.1:999").has_value());
}

TEST_F(MachineTest, ScoresOutliveConnections) {
  begin();
  for (int i = 0; i < 3; ++i) {
    const auto id = accept("192.0.2.1:999");
    ASSERT_TRUE(id.has_value());
    step(PenalizePeer{*id, 40, 0});
  }
  EXPECT_FALSE(accept("192.0.2.1:999").has_value());
}

TEST_F(MachineTest, DiscouragedIsToldOnce) {
  begin();
  step(Penalize{"192.0.2.1", 50, 0});
  step(Penalize{"192.0.2.1", 1, 0});
  EXPECT_EQ(told(PeerEventKind::kDiscouraged).size(), 1U);
}

TEST_F(MachineTest, TheAllowedAreNeverBanned) {
  begin();
  step(Allow{"192.0.2.1"});
  step(Penalize{"192.0.2.1", 1000, 0});
  EXPECT_EQ(step(Ban{"192.0.2.1", {}}).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(accept("192.0.2.1:999").has_value());
}

TEST_F(MachineTest, ForgivingEndsABan) {
  begin();
  step(Ban{"2001:db8::1", {}});
  EXPECT_FALSE(accept("[2001:db8::2]:999").has_value());  // the same /64
  EXPECT_TRUE(step(Forgive{"2001:db8::1"}).has_value());
  EXPECT_TRUE(accept("[2001:db8::2]:999").has_value());
  EXPECT_EQ(step(Forgive{"2001:db8::1"}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(step(Ban{"a b", {}}).error().code, ErrorCode::kInvalidArgument);
}

// Found by the simulation (seed 36): after a connection the host stayed that of the endpoint.
TEST_F(MachineTest, APenaltyOfALostNameIsTheNames) {
  begin();
  const PeerId id = connect("host.example:80", true);
  const DialId dial = take<Resolve>().at(0).dial;
  step(Resolved{dial, std::vector{parse_endpoint("192.0.2.1:80").value()}});
  succeed(attempt());
  step(Disconnect{id});
  step(PenalizePeer{id, 100, 0});
  EXPECT_DOUBLE_EQ(machine->score("host.example", now), 100);
  EXPECT_DOUBLE_EQ(machine->score("192.0.2.1", now), 0);
}

TEST_F(MachineTest, AnEndpointOfABannedHostIsNotDialledByName) {
  begin();
  step(Ban{"192.0.2.1", {}});
  connect("host.example:80");
  const DialId dial = take<Resolve>().at(0).dial;
  step(Resolved{dial, std::vector{parse_endpoint("192.0.2.1:80").value(),
                                  parse_endpoint("192.0.2.2:80").value()}});
  EXPECT_EQ(to_string(attempt().endpoint), "192.0.2.2:80");
}

}  // namespace
}  // namespace trunkline::peers
