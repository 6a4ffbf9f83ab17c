// SPDX-License-Identifier: Apache-2.0
//
// Tools: nodes that belong to no grid and come with its secret.
#include "net/grid_fixture.h"

#include <algorithm>

namespace trunkline::net {
namespace {

class GridGuests : public TwoNodes {
 protected:
  static GridOptions guest_options(const std::string& name) {
    GridOptions of_guest = options(name, 0);
    of_guest.listen.clear();
    of_guest.is_guest = true;
    return of_guest;
  }

  // Dials `one`.
  GridPeer dial(const GridOptions& of_guest) {
    guest = make(of_guest);
    const GridPeer to_one_there = peer(*guest, port_one.address());
    start(*guest);
    return to_one_there;
  }

  std::string refusal_of(const GridOptions& of_guest) {
    const GridResult<Bytes> answer = run(dial(of_guest).call("echo", "", patient()));
    EXPECT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().code, GridCode::kNotConnected);
    return answer.error().text;
  }

  std::unique_ptr<GridNode> guest;
};

TEST_F(GridGuests, IsServedByWhoDoesNotKnowIt) {
  EXPECT_EQ(run(dial(guest_options("a tool")).call("echo", "1", patient())).value(), "1");
  const auto is_guest = [](const GridPeerStats& stats) { return stats.is_guest; };
  const std::vector<GridPeerStats> peers = one->peers();
  const auto found = std::ranges::find_if(peers, is_guest);
  ASSERT_NE(found, peers.end());
  EXPECT_EQ(found->name, "a tool");
  EXPECT_TRUE(found->is_connected);
  EXPECT_FALSE(found->dialled_here);
  guest->stop();
  while (std::ranges::any_of(one->peers(), is_guest)) {
    std::this_thread::yield();
  }
}

TEST_F(GridGuests, IsRefusedAtOnceWithTheReason) {
  GridOptions other = guest_options("a tool");
  other.secret = "another secret entirely";
  EXPECT_NE(refusal_of(other).find("secret"), std::string::npos);
  EXPECT_NE(refusal_of(guest_options(port_two.address())).find("a member's name"),
            std::string::npos);
  other = guest_options("a tool");
  other.is_guest = false;
  other.redial_start = 10'000ms;
  other.redial_max = 10'000ms;
  other.reverse_dial_after = 1ms;
  GridCallOptions short_wait = patient();
  short_wait.timeout = 500ms;
  const GridError stranger = run(dial(other).call("echo", "", short_wait)).error();
  EXPECT_NE(stranger.text.find("'a tool' is no peer"), std::string::npos) << stranger.text;
  EXPECT_EQ(one->peers().size(), 1U);
}

TEST_F(GridGuests, NeedsASecretAlsoWhereMembersHaveNone) {
  one->stop();
  GridOptions open = options(port_one.address(), port_one.port());
  open.secret.clear();
  one = make(open);
  start(*one);
  GridOptions without = guest_options("a tool");
  without.secret.clear();
  EXPECT_NE(refusal_of(without).find("guests need a secret"), std::string::npos);
}

TEST_F(GridGuests, AreNoMoreThanTheNodeTakes) {
  one->stop();
  GridOptions few = options(port_one.address(), port_one.port());
  few.guests_max = 1;
  one = make(few);
  serve(*one);
  start(*one);
  EXPECT_EQ(run(dial(guest_options("first")).call("echo", "1", patient())).value(), "1");
  const std::unique_ptr<GridNode> first = std::move(guest);
  EXPECT_NE(refusal_of(guest_options("second")).find("1 guests are here"), std::string::npos);
  EXPECT_EQ(run(peer(*first, port_one.address()).call("echo", "2", patient())).value(), "2");
}

TEST_F(GridGuests, LearnAtOnceThatNobodyIsThere) {
  one->stop();
  EXPECT_NE(refusal_of(guest_options("a tool")).find("refused"), std::string::npos);
}

TEST_F(GridGuests, DoNotListen) {
  GridOptions listening = guest_options("a tool");
  listening.listen = "127.0.0.1";
  EXPECT_EQ(GridNode::create(listening).error().code, ErrorCode::kConfig);
}

TEST_F(GridGuests, MayAskForStatisticsUnlessANodeKeepsThem) {
  EXPECT_EQ(run(to_two->call("echo", "1", patient())).value(), "1");
  const GridPeer to_one_there = dial(guest_options("a \"tool\"\xff"));
  const std::string json = run(to_one_there.call("trunkline/peers", "", patient())).value();
  EXPECT_TRUE(json.starts_with(R"({"name":")" + port_one.address() + R"(","clock_us":)")) << json;
  EXPECT_NE(json.find(R"({"name":")" + port_two.address() + R"(","state":"connected")"),
            std::string::npos)
      << json;
  EXPECT_NE(json.find(R"({"name":"a \"tool\"?","state":"guest")"), std::string::npos) << json;
  one->stop();
  GridOptions silent = options(port_one.address(), port_one.port());
  silent.serves_statistics = false;
  one = make(silent);
  start(*one);
  EXPECT_EQ(run(dial(guest_options("a tool")).call("trunkline/peers", "", patient())).error().code,
            GridCode::kUnknownHandler);
}

}  // namespace
}  // namespace trunkline::net
