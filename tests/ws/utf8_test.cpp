// SPDX-License-Identifier: Apache-2.0
#include "ws/utf8.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <array>
#include <string>

namespace trunkline::ws {
namespace {

// How many bytes were taken before the first bad one.
std::size_t good_bytes(std::string_view bytes) {
  Utf8Checker checker;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (!checker.feed(bytes.substr(i, 1))) {
      return i;
    }
  }
  return bytes.size();
}

bool is_text(std::string_view bytes) {
  Utf8Checker checker;
  return checker.feed(bytes) && checker.is_complete();
}

// A code point as UTF-8, also where the RFC forbids it.
std::string encoded(unsigned point) {
  const auto byte = [](unsigned value) {
    return static_cast<char>(static_cast<unsigned char>(value));
  };
  if (point < 0x80) {
    return {byte(point)};
  }
  if (point < 0x800) {
    return {byte(0xC0U | point >> 6U), byte(0x80U | (point & 0x3FU))};
  }
  if (point < 0x10000) {
    return {byte(0xE0U | point >> 12U), byte(0x80U | (point >> 6U & 0x3FU)),
            byte(0x80U | (point & 0x3FU))};
  }
  return {byte(0xF0U | point >> 18U), byte(0x80U | (point >> 12U & 0x3FU)),
          byte(0x80U | (point >> 6U & 0x3FU)), byte(0x80U | (point & 0x3FU))};
}

TEST(Utf8Checker, TakesEveryCodePointButSurrogates) {
  for (unsigned point = 0; point <= 0x10FFFF; ++point) {
    const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    ASSERT_EQ(is_text(encoded(point)), !surrogate) << point;
  }
}

TEST(Utf8Checker, RefusesCodePointsBeyondTheLast) {
  EXPECT_EQ(good_bytes(encoded(0x110000)), 1U);
  EXPECT_EQ(good_bytes("\xF5\x80\x80\x80"), 0U);
}

TEST(Utf8Checker, FailsAtTheFirstBadByte) {
  EXPECT_EQ(good_bytes("ab\x80"), 2U);            // a continuation byte alone
  EXPECT_EQ(good_bytes("a\xC3(b"), 2U);           // a character broken off
  EXPECT_EQ(good_bytes("\xC0\xAF"), 0U);          // overlong in two bytes
  EXPECT_EQ(good_bytes("\xE0\x9F\xBF"), 1U);      // in three
  EXPECT_EQ(good_bytes("\xF0\x8F\xBF\xBF"), 1U);  // in four
  EXPECT_EQ(good_bytes("\xED\xA0\x80"), 1U);      // a surrogate
  EXPECT_EQ(good_bytes("\xF0\x90\x80\xC3"), 3U);
  EXPECT_EQ(good_bytes("\xFE"), 0U);
  EXPECT_EQ(good_bytes("\xFF"), 0U);
}

TEST(Utf8Checker, MayNotEndInsideACharacter) {
  const std::string character = encoded(0x1F600);
  Utf8Checker checker;
  for (std::size_t i = 0; i < character.size(); ++i) {
    ASSERT_TRUE(checker.feed(std::string_view(character).substr(i, 1)));
    EXPECT_EQ(checker.is_complete(), i + 1 == character.size()) << i;
  }
}

TEST(Utf8Checker, ForgetsACharacterBrokenOffWhenReset) {
  Utf8Checker checker;
  ASSERT_TRUE(checker.feed("\xE2\x82"));
  checker.reset();
  EXPECT_TRUE(checker.is_complete());
  EXPECT_TRUE(checker.feed("a"));
}

// Every text of up to four bytes taken from the edges of all ranges, whole and cut at every place.
TEST(Utf8Checker, AgreesWithSimdjsonHoweverTheTextIsCut) {
  constexpr std::array kEdges = {'\x00', '\x7F', '\x80', '\x8F', '\x90', '\x9F', '\xA0',
                                 '\xBF', '\xC1', '\xC2', '\xDF', '\xE0', '\xE1', '\xEC',
                                 '\xED', '\xEE', '\xEF', '\xF0', '\xF1', '\xF4', '\xF5'};
  std::size_t texts = 1;
  for (std::size_t size = 1; size <= 4; ++size) {
    texts *= kEdges.size();
    for (std::size_t number = 0; number < texts; ++number) {
      std::string text;
      for (std::size_t rest = number; text.size() < size; rest /= kEdges.size()) {
        text += kEdges[rest % kEdges.size()];
      }
      const bool good = simdjson::validate_utf8(text.data(), text.size());
      for (std::size_t cut = 0; cut < size; ++cut) {
        Utf8Checker checker;
        const std::string_view view = text;
        const bool taken = checker.feed(view.substr(0, cut)) && checker.feed(view.substr(cut)) &&
                           checker.is_complete();
        ASSERT_EQ(taken, good) << ::testing::PrintToString(text) << " cut at " << cut;
      }
    }
  }
}

// Long pieces take another way than short ones: both must agree at every place and cut.
TEST(Utf8Checker, AgreesWithItselfAboutLongPieces) {
  for (const std::string& ending :
       {std::string("\xC3\xA9"), encoded(0x20AC), encoded(0x1F600), std::string("\xED\xA0\x80"),
        std::string("\x80"), std::string("\xF4\x90\x80\x80"), std::string("\xC3("),
        std::string("\xE2\x82"), std::string("\xF0\x9F\x98"), std::string("\xA9\xA9\xA9\xA9\xA9"),
        std::string("\xC0\xAF"), std::string("\xFF")}) {
    for (std::size_t before = 0; before <= 70; ++before) {
      const std::string text = std::string(before, 'x') + ending + std::string(70 - before, 'y');
      const std::size_t good = good_bytes(text);  // by pieces of one byte
      for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        Utf8Checker checker;
        ASSERT_EQ(checker.feed(std::string_view(text).substr(0, cut)), cut <= good);
        if (cut <= good) {
          ASSERT_EQ(checker.feed(std::string_view(text).substr(cut)), good == text.size());
        }
      }
    }
  }
}

}  // namespace
}  // namespace trunkline::ws
