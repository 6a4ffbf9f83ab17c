// SPDX-License-Identifier: Apache-2.0
#include "peers/address_book.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace trunkline::peers {
namespace {

using namespace std::chrono_literals;

const auto kAnybody = [](const AddressRecord&) { return true; };

TEST(AddressBook, KnowsAnAddressByAnySpelling) {
  AddressBook book(10, {});
  AddressRecord* made = book.at("[2001:db8::1]:80").value();
  EXPECT_EQ(book.find("[2001:DB8:0::1]:80"), made);
  EXPECT_EQ(book.at("[2001:db8:0:0::1]:80").value(), made);
  EXPECT_EQ(book.find("[2001:db8::2]:80"), nullptr);
  EXPECT_EQ(book.at("rubbish").error().code, ErrorCode::kInvalidArgument);
}

TEST(AddressBook, ForgetsTheOldestThatWasNotGood) {
  AddressBook book(3, {});
  book.at("10.0.0.1:80").value()->last_good = TimePoint{};
  for (int i = 2; i <= 4; ++i) {
    ASSERT_TRUE(book.at(fmt::format("10.0.0.{}:80", i)).has_value());
  }
  EXPECT_EQ(book.size(), 3U);
  EXPECT_NE(book.find("10.0.0.1:80"), nullptr);
  EXPECT_EQ(book.find("10.0.0.2:80"), nullptr);
}

TEST(AddressBook, KeepsWhatIsInUse) {
  AddressBook book(1, {});
  AddressRecord* used = book.at("10.0.0.1:80").value();
  book.use(*used);
  for (int i = 2; i <= 9; ++i) {
    ASSERT_TRUE(book.at(fmt::format("10.0.0.{}:80", i)).has_value());
  }
  EXPECT_EQ(book.find("10.0.0.1:80"), used);
  EXPECT_EQ(book.size(), 2U);
  book.release(*used);
  EXPECT_EQ(book.size(), 1U);
}

TEST(AddressBook, UntriedOnesAreNeitherTriedNorInUse) {
  AddressBook book(10, {});
  AddressRecord* first = book.at("10.0.0.1:80").value();
  AddressRecord* second = book.at("10.0.0.2:80").value();
  AddressRecord* third = book.at("10.0.0.3:80").value();
  book.tried(*first, TimePoint{1s});
  book.use(*second);
  EXPECT_EQ(book.untried(kAnybody), third);
  EXPECT_EQ(book.untried([third](const AddressRecord& one) { return &one != third; }), nullptr);
}

TEST(AddressBook, AnyIsSomeIdleOneThatFits) {
  AddressBook book(10, {});
  Random random(1);
  EXPECT_EQ(book.any(random, kAnybody), nullptr);
  AddressRecord* used = book.at("10.0.0.1:80").value();
  AddressRecord* idle = book.at("10.0.0.2:80").value();
  book.use(*used);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(book.any(random, kAnybody), idle);
  }
}

}  // namespace
}  // namespace trunkline::peers
