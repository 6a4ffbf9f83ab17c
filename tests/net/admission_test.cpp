// SPDX-License-Identifier: Apache-2.0
#include "net/admission.h"

#include <gtest/gtest.h>

#include <charconv>
#include <set>
#include <vector>

namespace trunkline::net {
namespace {

using std::chrono::seconds;

AddressKey host(std::uint64_t number) {
  return {.bits = number, .is_v6 = false};
}

TEST(Admission, LetsEverybodyInWithoutLimits) {
  Admission admission(LimitOptions{});
  for (int i = 0; i < 1000; ++i) {
    const auto place = admission.arrive(host(1), false);
    ASSERT_TRUE(place.has_value());
    EXPECT_FALSE(place->no_websocket.has_value());
  }
  EXPECT_EQ(admission.stats().connections, 1000U);
}

TEST(Admission, BeyondTheLimitThereAreSparePlacesForEverythingButWebSocketsAndThenNone) {
  Admission admission({.connections_max = 2});
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(admission.arrive(host(1), false)->no_websocket.has_value());
  }
  for (std::size_t i = 0; i < Admission::kSpareMax; ++i) {
    const auto spare = admission.arrive(host(1), false);
    ASSERT_TRUE(spare.has_value());
    EXPECT_EQ(spare->no_websocket, Refusal::kConnectionLimit);
  }
  EXPECT_EQ(admission.arrive(host(1), false), std::unexpected(Refusal::kConnectionLimit));
}

TEST(Admission, APlaceThatIsGivenBackIsFreeForItsKindOnly) {
  Admission admission({.connections_max = 1});
  const Place ordinary = *admission.arrive(host(1), false);
  const Place spare = *admission.arrive(host(1), false);
  admission.leave(spare);
  EXPECT_EQ(admission.arrive(host(1), false)->no_websocket, Refusal::kConnectionLimit);
  admission.leave(ordinary);
  EXPECT_FALSE(admission.arrive(host(1), false)->no_websocket.has_value());
}

TEST(Admission, CountsEachAddressForItself) {
  Admission admission({.connections_per_address_max = 2});
  const Place first = *admission.arrive(host(1), false);
  ASSERT_TRUE(admission.arrive(host(1), false).has_value());
  EXPECT_EQ(admission.arrive(host(1), false), std::unexpected(Refusal::kAddressLimit));
  EXPECT_TRUE(admission.arrive(host(2), false).has_value());
  admission.leave(first);
  EXPECT_TRUE(admission.arrive(host(1), false).has_value());
}

TEST(Admission, AnAddressAtItsLimitTakesNoSparePlace) {
  Admission admission({.connections_max = 1, .connections_per_address_max = 1});
  ASSERT_TRUE(admission.arrive(host(1), false).has_value());
  EXPECT_EQ(admission.arrive(host(1), false), std::unexpected(Refusal::kAddressLimit));
  EXPECT_TRUE(admission.arrive(host(2), false)->is_spare);
}

TEST(Admission, ForgetsAddressesThatHaveGone) {
  Admission admission(LimitOptions{});
  std::vector<Place> places;
  for (std::uint64_t i = 0; i < 100; ++i) {
    places.push_back(*admission.arrive(host(i), false));
  }
  EXPECT_EQ(admission.stats().addresses, 100U);
  for (const Place& place : places) {
    admission.leave(place);
  }
  EXPECT_EQ(admission.stats().addresses, 0U);
  EXPECT_EQ(admission.stats().connections, 0U);
}

TEST(Admission, WithoutMemoryNothingNewBecomesAWebSocket) {
  Admission admission(LimitOptions{});
  for (std::size_t i = 0; i < Admission::kSpareMax; ++i) {
    EXPECT_EQ(admission.arrive(host(1), true)->no_websocket, Refusal::kMemory);
  }
  EXPECT_EQ(admission.arrive(host(1), true), std::unexpected(Refusal::kMemory));
  EXPECT_FALSE(admission.arrive(host(1), false)->no_websocket.has_value());
}

TEST(Admission, WritesOneLineAReasonAndInterval) {
  Admission admission(LimitOptions{});
  TimePoint now;
  EXPECT_EQ(admission.refused(Refusal::kConnectionLimit, host(0x7f000001), now),
            "a connection from 127.0.0.1 was refused: client.connection_limit is reached");
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(admission.refused(Refusal::kConnectionLimit, host(1), now), std::nullopt);
  }
  EXPECT_TRUE(admission.refused(Refusal::kAddressLimit, host(1), now).has_value());
  now += LogThrottle::kInterval;
  EXPECT_EQ(admission.refused(Refusal::kConnectionLimit, host(0x7f000002), now),
            "a connection from 127.0.0.2 was refused: client.connection_limit is reached "
            "(1000 more since the last line)");
  EXPECT_EQ(admission.stats().refused[0], 1002U);
}

TEST(RefusalResponse, Is429ForWhatTheClientCanChangeAndElse503) {
  Random random(1);
  for (std::size_t i = 0; i < kRefusals; ++i) {
    const auto refusal = static_cast<Refusal>(i);
    const HttpResponse response = refusal_response(refusal, random);
    EXPECT_EQ(response.status, refusal == Refusal::kAddressLimit ? 429U : 503U);
    EXPECT_FALSE(name(refusal).empty());
    EXPECT_FALSE(response.body.empty());
  }
}

TEST(RefusalResponse, SpreadsTheReturnOfThoseWhoAreRefusedTogether) {
  Random random(1);
  std::set<int> seen;
  for (int i = 0; i < 1000; ++i) {
    const HttpResponse response = refusal_response(Refusal::kHandshakeRate, random);
    ASSERT_EQ(response.fields.at(0).first, "Retry-After");
    const std::string& text = response.fields.at(0).second;
    int after = 0;
    std::from_chars(text.data(), text.data() + text.size(), after);
    seen.insert(after);
  }
  EXPECT_EQ(seen, (std::set<int>{5, 6, 7, 8, 9, 10}));
}

TEST(Ticket, GivesItsPlaceBackOnceWhoeverHasIt) {
  int returned = 0;
  const Ticket::GiveBack give_back = [&returned](const Place& place) {
    EXPECT_EQ(place.address, host(7));
    ++returned;
  };
  {
    Ticket first({.address = host(7), .is_spare = false, .no_websocket = {}}, give_back);
    const Ticket second(std::move(first));
    EXPECT_EQ(returned, 0);
  }
  EXPECT_EQ(returned, 1);
  {
    const Ticket nobodys;
  }
  EXPECT_EQ(returned, 1);
}

}  // namespace
}  // namespace trunkline::net
