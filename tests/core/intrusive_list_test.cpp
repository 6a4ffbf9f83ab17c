// SPDX-License-Identifier: Apache-2.0
#include "core/intrusive_list.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace trunkline {
namespace {

struct First;
struct Second;

struct Element : ListHook<First>, ListHook<Second> {
  explicit Element(char given) : name(given) {}

  char name;
};

using FirstList = IntrusiveList<Element, First>;
using SecondList = IntrusiveList<Element, Second>;

template <class List>
std::string names(List& list) {
  std::string result;
  for (Element* at = list.front(); at != nullptr; at = list.after(*at)) {
    result += at->name;
  }
  return result;
}

class IntrusiveListTest : public ::testing::Test {
 protected:
  Element a{'a'};
  Element b{'b'};
  Element c{'c'};
  FirstList list;
};

TEST_F(IntrusiveListTest, KeepsTheOrderOfPushing) {
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.front(), nullptr);
  list.push_back(a);
  list.push_back(b);
  list.push_back(c);
  EXPECT_EQ(names(list), "abc");
}

TEST_F(IntrusiveListTest, AnElementLeavesFromAnyPlace) {
  for (Element* leaving : {&a, &b, &c}) {
    FirstList of_three;
    of_three.push_back(a);
    of_three.push_back(b);
    of_three.push_back(c);
    static_cast<ListHook<First>&>(*leaving).unlink();
    std::string rest = "abc";
    rest.erase(rest.find(leaving->name), 1);
    EXPECT_EQ(names(of_three), rest);
    while (of_three.pop_front() != nullptr) {
    }
  }
}

TEST_F(IntrusiveListTest, LeavingTwiceIsHarmless) {
  list.push_back(a);
  list.push_back(b);
  static_cast<ListHook<First>&>(a).unlink();
  static_cast<ListHook<First>&>(a).unlink();
  EXPECT_EQ(names(list), "b");
}

TEST_F(IntrusiveListTest, ADestroyedElementLeavesByItself) {
  list.push_back(a);
  {
    Element passing('p');
    list.push_back(passing);
    list.push_back(b);
    EXPECT_EQ(names(list), "apb");
  }
  EXPECT_EQ(names(list), "ab");
}

TEST_F(IntrusiveListTest, ADestroyedListLetsItsElementsGo) {
  {
    FirstList passing;
    passing.push_back(a);
  }
  EXPECT_FALSE(static_cast<ListHook<First>&>(a).is_linked());
  list.push_back(a);
  EXPECT_EQ(names(list), "a");
}

TEST_F(IntrusiveListTest, TheTagsOfOneElementAreIndependent) {
  SecondList other;
  list.push_back(a);
  list.push_back(b);
  other.push_back(b);
  other.push_back(a);
  EXPECT_EQ(names(list), "ab");
  EXPECT_EQ(names(other), "ba");
  EXPECT_EQ(list.pop_front(), &a);
  EXPECT_EQ(names(other), "ba");
}

TEST_F(IntrusiveListTest, SpliceMovesAllBehindTheOwn) {
  FirstList other;
  list.push_back(a);
  other.push_back(b);
  other.push_back(c);
  list.splice_back(other);
  EXPECT_EQ(names(list), "abc");
  EXPECT_TRUE(other.empty());
  FirstList fresh;
  fresh.splice_back(list);
  EXPECT_EQ(names(fresh), "abc");
  fresh.splice_back(other);
  EXPECT_EQ(names(fresh), "abc");
}

TEST_F(IntrusiveListTest, PopsFromTheFrontUntilThereIsNothing) {
  list.push_back(a);
  list.push_back(b);
  EXPECT_EQ(list.pop_front(), &a);
  EXPECT_EQ(list.pop_front(), &b);
  EXPECT_EQ(list.pop_front(), nullptr);
  EXPECT_TRUE(list.empty());
}

TEST_F(IntrusiveListTest, JoiningTwiceIsABug) {
  list.push_back(a);
  EXPECT_DEATH(list.push_back(a), "is_linked");
}

}  // namespace
}  // namespace trunkline
