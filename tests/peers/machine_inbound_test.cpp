// SPDX-License-Identifier: Apache-2.0
//
// The rows of docs/peers.md about accepted connections and watermarks.
#include "peers/machine_fixture.h"

namespace trunkline::peers {
namespace {

class InboundTest : public MachineTest {
 protected:
  static PeerOptions with_places(std::size_t places, bool evict) {
    PeerOptions options = plain();
    options.inbound_max = places;
    options.evict_inbound = evict;
    return options;
  }
};

TEST_F(InboundTest, AcceptedOnesSurface) {
  begin();
  const PeerId id = accept("198.51.100.1:999").value();
  ASSERT_EQ(all<Surface>().size(), 1U);
  EXPECT_EQ(all<Surface>()[0].kind, PeerKind::kInbound);
  EXPECT_EQ(info(id)->state, PeerState::kConnected);
  EXPECT_EQ(info(id)->remote, "198.51.100.1:999");
  step(Closed{id, {}, "gone"});
  EXPECT_TRUE(is_forgotten(id));
  EXPECT_EQ(all<CloseConnection>().size(), 1U);
}

TEST_F(InboundTest, InboundLimits) {
  PeerOptions options = plain();
  options.inbound_per_group = 2;
  begin(options);
  step(Ban{"203.0.113.1", {}});
  EXPECT_EQ(accept("203.0.113.1:999").error().code, ErrorCode::kPermissionDenied);
  const PeerId first = accept("198.51.100.1:1").value();
  EXPECT_TRUE(accept("198.51.200.1:1").has_value());
  EXPECT_EQ(accept("198.51.0.1:1").error().code, ErrorCode::kLimitExceeded);
  EXPECT_TRUE(accept("198.52.0.1:1").has_value());
  step(Allow{"198.51.0.1"});
  EXPECT_TRUE(accept("198.51.0.1:1").has_value());
  step(Closed{first, {}, "gone"});
  EXPECT_EQ(machine->metrics().refused_group, 1U);
  EXPECT_EQ(machine->metrics().refused_banned, 1U);
  EXPECT_EQ(told(PeerEventKind::kInboundRefused).size(), 2U);
}

TEST_F(InboundTest, APlaceIsFreeWhenAConnectionEnds) {
  PeerOptions options = plain();
  options.inbound_per_group = 1;
  begin(options);
  const PeerId first = accept("198.51.100.1:1").value();
  EXPECT_FALSE(accept("198.51.100.2:1").has_value());
  step(Closed{first, {}, "gone"});
  EXPECT_TRUE(accept("198.51.100.2:1").has_value());
}

TEST_F(InboundTest, ListenersPauseAtTheLimit) {
  begin(with_places(2, false));
  const PeerId first = accept("198.51.100.1:1").value();
  EXPECT_TRUE(all<PauseListeners>().empty());
  accept("198.51.100.2:1");
  EXPECT_EQ(all<PauseListeners>().size(), 1U);
  EXPECT_FALSE(accept("198.51.100.3:1").has_value());  // was on its way
  EXPECT_EQ(all<PauseListeners>().size(), 1U);
  pass(1h);
  EXPECT_TRUE(all<ResumeListeners>().empty());
  step(Closed{first, {}, "gone"});
  EXPECT_EQ(all<ResumeListeners>().size(), 1U);
  EXPECT_FALSE(machine->counts().listeners_paused);
}

TEST_F(InboundTest, SomebodyMakesRoom) {
  begin(with_places(16, true));
  std::vector<PeerId> ids;
  for (int i = 1; i <= 16; ++i) {
    now += 1s;
    // Half of them from one network.
    ids.push_back(accept(fmt::format("{}.51.100.{}:1", i % 2 == 0 ? 198 : i, i)).value());
  }
  effects.clear();
  EXPECT_TRUE(accept("203.0.113.1:1").has_value());
  ASSERT_EQ(all<CloseConnection>().size(), 1U);
  EXPECT_EQ(told(PeerEventKind::kEvicted).size(), 1U);
  EXPECT_EQ(machine->counts().inbound, 16U);
  const PeerId victim = all<CloseConnection>()[0].id;
  EXPECT_TRUE((victim.value - 1) % 2 == 1) << "of the crowded network";
}

TEST_F(InboundTest, TheProtectedStay) {
  begin(with_places(2, true));
  step(Protect{accept("198.51.100.1:1").value(), true});
  step(Protect{accept("198.51.100.2:1").value(), true});
  EXPECT_FALSE(accept("203.0.113.1:1").has_value());
  EXPECT_EQ(machine->counts().inbound, 2U);
}

TEST_F(InboundTest, ListenersPauseWhenNobodyMayGo) {
  begin(with_places(1, true));
  step(Protect{accept("198.51.100.1:1").value(), true});
  EXPECT_FALSE(accept("203.0.113.1:1").has_value());
  EXPECT_EQ(all<PauseListeners>().size(), 1U);
  pass(4s);
  EXPECT_TRUE(all<ResumeListeners>().empty());
  pass(1s + 10ms);
  EXPECT_EQ(all<ResumeListeners>().size(), 1U);
}

TEST_F(InboundTest, TheHighWatermarkTrims) {
  PeerOptions options = plain();
  options.high_water = 4;
  options.low_water = 2;
  options.dials_in_flight_max = 1;
  begin(options);
  const PeerId permanent = connected("10.1.0.1:80", true).first;
  const PeerId safe = accept("198.51.100.1:1").value();
  const PeerId poor = accept("198.51.100.2:1").value();
  const PeerId rich = accept("198.51.100.3:1").value();
  step(Protect{safe, true});
  step(SetMerit{rich, {.useful_bytes = 1'000'000}});
  pass(1min);
  const PeerId young = accept("198.51.100.4:1").value();  // five: over the mark
  EXPECT_TRUE(is_forgotten(poor));
  EXPECT_TRUE(is_forgotten(rich));
  EXPECT_FALSE(is_forgotten(young));  // in its grace period
  EXPECT_FALSE(is_forgotten(safe));
  EXPECT_FALSE(is_forgotten(permanent));
  EXPECT_EQ(machine->metrics().trimmed, 2U);
}

// Found by the simulation (seed 1): the listeners stayed paused until the next event.
TEST_F(InboundTest, TrimmingLetsTheListenersGoOn) {
  PeerOptions options = with_places(2, false);
  options.high_water = 1;
  begin(options);
  accept("198.51.100.1:1");
  accept("198.51.100.2:1");
  ASSERT_TRUE(machine->counts().listeners_paused);
  pass(71s);
  EXPECT_EQ(machine->counts().inbound, 0U);
  EXPECT_FALSE(machine->counts().listeners_paused);
}

TEST_F(InboundTest, TrimmingWaitsForGraceAndItsInterval) {
  PeerOptions options = plain();
  options.high_water = 2;
  options.low_water = 1;
  begin(options);
  for (int i = 1; i <= 3; ++i) {
    accept(fmt::format("198.51.100.{}:1", i));
  }
  pass(59s);
  EXPECT_EQ(machine->counts().inbound, 3U);
  pass(11s + 10ms);
  EXPECT_EQ(machine->counts().inbound, 1U);
}

}  // namespace
}  // namespace trunkline::peers
