// SPDX-License-Identifier: Apache-2.0
//
// Texts by the table of RFC 3629, section 4, each line of it at its edges. Written by hand: nothing
// here comes from what is tested.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>

namespace trunkline::ws {

struct Utf8Sample {
  std::string_view name;  // letters and digits, for the name of the test
  std::string bytes;
  // Index of the first byte that cannot follow those before it; of good text its size.
  std::size_t good_bytes = std::string::npos;
};

inline void PrintTo(const Utf8Sample& sample, std::ostream* out) {
  *out << sample.name;
}

inline const Utf8Sample kGoodTexts[] = {
    {"Empty", ""},
    {"Ascii", "hello"},
    {"Nul", std::string("a\0b", 3)},
    {"Del", "\x7F"},
    {"FirstOfTwo", "\xC2\x80"},
    {"LastOfTwo", "\xDF\xBF"},
    {"FirstOfThree", "\xE0\xA0\x80"},
    {"LastBehindE0", "\xE0\xBF\xBF"},
    {"FirstBehindE1", "\xE1\x80\x80"},
    {"LastBelowSurrogates", "\xED\x9F\xBF"},
    {"FirstAboveSurrogates", "\xEE\x80\x80"},
    {"Noncharacterfffe", "\xEF\xBF\xBE"},
    {"Noncharacterffff", "\xEF\xBF\xBF"},
    {"ByteOrderMark", "\xEF\xBB\xBFx"},
    {"ReplacementCharacter", "\xEF\xBF\xBD"},
    {"FirstOfFour", "\xF0\x90\x80\x80"},
    {"LastBehindF0", "\xF0\xBF\xBF\xBF"},
    {"FirstBehindF1", "\xF1\x80\x80\x80"},
    {"LastBehindF3", "\xF3\xBF\xBF\xBF"},
    {"LastOfAll", "\xF4\x8F\xBF\xBF"},
    {"GreekWord", "\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5"},
    {"EverySize", "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z"},
    {"CombiningMarks", "e\xCC\x81\xCC\x88"},
};

inline const Utf8Sample kBadTexts[] = {
    {"ContinuationAlone", "\x80", 0},
    {"LastContinuationAlone", "\xBF", 0},
    {"ContinuationBehindAscii", "ab\x80", 2},
    {"ContinuationTooMany", "\xC3\xA9\xA9", 2},
    {"ThreeContinuationsTooMany", "\xE2\x82\xAC\x80\x80\x80", 3},
    {"OverlongTwoC0", "\xC0\x80", 0},
    {"OverlongSlash", "a\xC0\xAF", 1},
    {"OverlongTwoC1", "\xC1\xBF", 0},
    {"OverlongThreeFirst", "\xE0\x80\x80", 1},
    {"OverlongThreeLast", "\xE0\x9F\xBF", 1},
    {"OverlongFourFirst", "\xF0\x80\x80\x80", 1},
    {"OverlongFourLast", "\xF0\x8F\xBF\xBF", 1},
    {"FirstSurrogate", "\xED\xA0\x80", 1},
    {"LastHighSurrogate", "\xED\xAF\xBF", 1},
    {"FirstLowSurrogate", "\xED\xB0\x80", 1},
    {"LastSurrogate", "\xED\xBF\xBF", 1},
    {"SurrogatePair", "x\xED\xA0\xBD\xED\xB8\x80", 2},
    {"FirstBeyond", "\xF4\x90\x80\x80", 1},
    {"LastBeyondBehindF4", "\xF4\xBF\xBF\xBF", 1},
    {"F5", "\xF5\x80\x80\x80", 0},
    {"F7", "\xF7\xBF\xBF\xBF", 0},
    {"FiveBytes", "\xF8\x88\x80\x80\x80", 0},
    {"SixBytes", "\xFC\x84\x80\x80\x80\x80", 0},
    {"Fe", "ok\xFE", 2},
    {"Ff", "ok\xFF", 2},
    {"TwoBrokenByAscii", "\xC3(", 1},
    {"TwoBrokenByLead", "\xC3\xC3\xA9", 1},
    {"ThreeBrokenAtOnce", "\xE2(\xAC", 1},
    {"ThreeBrokenLater", "\xE2\x82(", 2},
    {"FourBrokenAtOnce", "\xF0(\x98\x80", 1},
    {"FourBrokenLater", "\xF0\x9F(\x80", 2},
    {"FourBrokenAtLast", "\xF0\x9F\x98(", 3},
    {"FourBrokenByLead", "\xF0\x9F\x98\xF0", 3},
    {"Latin1", "caf\xE9 au lait", 4},
    {"BehindMuchText", std::string(200, 'x') + "\xFF", 200},
    {"BrokenBehindMuchText", std::string(127, 'x') + "\xE2\x82(" + std::string(80, 'y'), 129},
};

// Text that stops inside a character: good so far, and bad when it ends there.
inline const Utf8Sample kUnfinishedTexts[] = {
    {"OneOfTwo", "a\xC3"},
    {"OneOfThree", "\xE2"},
    {"TwoOfThree", "x\xE2\x82"},
    {"OneOfFour", "\xF0"},
    {"TwoOfFour", "\xF0\x9F"},
    {"ThreeOfFour", "abc\xF0\x9F\x98"},
    {"TwoOfFourAtTheTop", "\xF4\x8F"},
    {"BehindMuchText", std::string(125, 'x') + "\xF0\x9F\x98"},
};

}  // namespace trunkline::ws
