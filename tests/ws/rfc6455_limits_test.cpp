// SPDX-License-Identifier: Apache-2.0
//
// RFC 6455, sections 10.4 and 7.1.7: limits of messages, and what is handed out before a failure.
#include "ws/reader_script.h"

#include <limits>
#include <string>

namespace trunkline::ws {
namespace {

using namespace std::string_literals;
using ::testing::Combine;
using ::testing::Values;

// --- limits
// ---------------------------------------------------------------------------------------

class Rfc6455Limit : public RoleScriptWith<std::size_t> {};

INSTANTIATE_TEST_SUITE_P(Sizes, Rfc6455Limit,
                         Combine(both_roles(), Values(0UL, 1UL, 10UL, 125UL, 126UL, 127UL, 300UL)));

TEST_P(Rfc6455Limit, IsTheLargestMessage) {
  const std::string message(detail(), 'x');
  expect_events(to_reader(kFin | 2U, message), "binary:" + message + ";", detail());
  expect_events(to_reader(kFin | 2U, message + "y"), "error 1009", detail());
  expect_events(to_reader(kFin | 1U, message), "text:" + message + ";", detail());
  expect_events(to_reader(kFin | 1U, message + "y"), "error 1009", detail());
}

TEST_P(Rfc6455Limit, CountsAllFragments) {
  const std::string message(detail(), 'x');
  for (const std::size_t cut : {std::size_t{0}, detail() / 2, detail()}) {
    const std::string first = to_reader(2, message.substr(0, cut));
    expect_events(first + to_reader(0, message.substr(cut)) + to_reader(kFin, ""),
                  "binary:" + message + ";", detail());
    expect_events(first + to_reader(0, message.substr(cut)) + to_reader(kFin, "y"), "error 1009",
                  detail());
    expect_events(first + to_reader(kFin, message.substr(cut) + "y"), "error 1009", detail());
  }
}

TEST_P(Rfc6455Limit, StartsAnewWithEachMessage) {
  const std::string message(detail(), 'x');
  const std::string both =
      to_reader(2, message) + to_reader(kFin, "") + to_reader(kFin | 2U, message);
  expect_events(both, "binary:" + message + ";binary:" + message + ";", detail());
}

TEST_P(Rfc6455Limit, FailsAtTheHeaderBeforeThePayload) {
  const std::string bytes = to_reader(kFin | 2U, std::string(detail() + 1, 'x'));
  EXPECT_EQ(good_bytes(bytes, role(), detail()), bytes.size() - (detail() + 1) - 1);
}

TEST_P(Rfc6455Limit, DoesNotCountControlFrames) {
  const std::string payload(125, 'p');
  expect_events(to_reader(kFin | 9U, payload) + to_reader(kFin | 8U, code_bytes(1000) + "bye"),
                "ping:" + payload + ";close 1000:bye;", detail());
}

class Rfc6455Claim : public RoleScriptWith<std::uint64_t> {};

INSTANTIATE_TEST_SUITE_P(
    Sizes, Rfc6455Claim,
    Combine(both_roles(), Values(0x10'0000UL + 1, 0xFFFF'FFFFUL, 0x1'0000'0000UL, 0x1'0000'0001UL,
                                 0x4000'0000'0000'0000UL, 0x7FFF'FFFF'FFFF'FFFFUL)));

// Also sizes whose lower half alone would be within the limit, or whose sum would wrap around.
TEST_P(Rfc6455Claim, IsRefusedBeforeAnythingIsHeld) {
  std::string length;
  for (int shift = 56; shift >= 0; shift -= 8) {
    length += static_cast<char>(detail() >> shift & 0xFFU);
  }
  const std::string second = role() == Role::kServer ? "\xFF" : "\x7F";
  const std::string key(role() == Role::kServer ? 4 : 0, '\x01');
  expect_events("\x82" + second + length + key, "error 1009");
  expect_events(to_reader(2, "held") + "\x80" + second + length + key, "error 1009");
}

TEST_P(Rfc6455Claim, IsNotAllocatedWhereTheLimitAllowsIt) {
  std::string length;
  for (int shift = 56; shift >= 0; shift -= 8) {
    length += static_cast<char>(detail() >> shift & 0xFFU);
  }
  const std::string second = role() == Role::kServer ? "\xFF" : "\x7F";
  const std::string key(role() == Role::kServer ? 4 : 0, '\0');
  FrameReader reader = reader_of(role(), std::numeric_limits<std::size_t>::max());
  Recorder recorder;
  ASSERT_TRUE(read(reader, recorder, "\x82" + second + length + key + "abc").has_value());
  EXPECT_EQ(reader.buffered_bytes(), 3U);
}

// --- what comes before a failure
// ------------------------------------------------------------------

struct Failure {
  std::string_view name;
  unsigned first;
  std::string payload;
  std::string error;
};

void PrintTo(const Failure& failure, std::ostream* out) {
  *out << failure.name;
}

const Failure kFailures[] = {
    {"ReservedBit", 0xA1, "", "error 1002"},
    {"ReservedOpcode", 0x83, "", "error 1002"},
    {"FragmentedPing", 0x09, "", "error 1002"},
    {"LongPing", 0x89, std::string(126, 'x'), "error 1002"},
    {"ContinuationOfNothing", 0x80, "x", "error 1002"},
    {"CloseOfOneByte", 0x88, "x", "error 1002"},
    {"BadCloseCode", 0x88, code_bytes(1005), "error 1002"},
    {"BadCloseReason", 0x88, code_bytes(1000) + "\xFF", "error 1007"},
    {"BadText", 0x81, "a\xFF", "error 1007"},
    {"UnfinishedText", 0x81, "\xE2\x82", "error 1007"},
    {"BadTextInAFragment", 0x01, "\xFF", "error 1007"},
    {"TooLarge", 0x82, std::string(201, 'x'), "error 1009"},
};

class Rfc6455Failure : public RoleScriptWith<Failure> {};

INSTANTIATE_TEST_SUITE_P(Each, Rfc6455Failure,
                         Combine(both_roles(), ::testing::ValuesIn(kFailures)),
                         detail_name<Failure>);

TEST_P(Rfc6455Failure, ComesBehindEveryFrameThatWasCompleteBefore) {
  expect_events(to_reader(kFin | 1U, "text") + to_reader(kFin | 9U, "ping") + to_reader(2, "bin") +
                    to_reader(kFin | 10U, "") + to_reader(kFin, "ary") + to_reader(kFin | 1U, "") +
                    to_reader(detail().first, detail().payload),
                "text:text;ping:ping;pong:;binary:binary;text:;" + detail().error, 200);
}

TEST_P(Rfc6455Failure, EndsEverything) {
  const std::string bad = to_reader(detail().first, detail().payload);
  const std::string late = to_reader(kFin | 1U, "late") + bad;
  expect_events(bad + late, detail().error, 200);
  FrameReader reader = reader_of(role(), 200);
  Recorder recorder;
  EXPECT_FALSE(read(reader, recorder, bad).has_value());
  EXPECT_TRUE(read(reader, recorder, late).has_value());
  EXPECT_EQ(recorder.events, "");
  EXPECT_EQ(reader.buffered_bytes(), 0U);
}

}  // namespace
}  // namespace trunkline::ws
