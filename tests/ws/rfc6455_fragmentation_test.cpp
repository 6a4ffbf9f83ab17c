// SPDX-License-Identifier: Apache-2.0
//
// RFC 6455, section 5.4: messages in fragments.
#include "ws/reader_script.h"

#include <string>
#include <vector>

namespace trunkline::ws {
namespace {

using ::testing::Combine;
using ::testing::Values;

constexpr unsigned kContinuation = 0;
constexpr unsigned kText = 1;
constexpr unsigned kBinary = 2;
constexpr unsigned kPing = 9;

std::string event_of(unsigned opcode, std::string_view message) {
  return (opcode == kText ? "text:" : "binary:") + std::string(message) + ";";
}

class Rfc6455Fragments : public RoleScriptWith<unsigned> {
 protected:
  // The message in fragments of these payloads.
  static std::string fragments(const std::vector<std::string>& payloads) {
    std::string bytes;
    for (std::size_t i = 0; i < payloads.size(); ++i) {
      const unsigned fin = i + 1 == payloads.size() ? kFin : 0U;
      bytes += to_reader(fin | (i == 0 ? detail() : kContinuation), payloads[i]);
    }
    return bytes;
  }
};

INSTANTIATE_TEST_SUITE_P(TextAndBinary, Rfc6455Fragments,
                         Combine(both_roles(), Values(kText, kBinary)));

TEST_P(Rfc6455Fragments, EveryWayToCutAMessageGivesIt) {
  const std::string message = "h\xC3\xA9llo\xF0\x9F\x98\x80";
  const std::size_t gaps = message.size() - 1;
  for (unsigned cuts = 0; cuts < 1U << gaps; ++cuts) {
    std::vector<std::string> payloads(1);
    for (std::size_t i = 0; i < message.size(); ++i) {
      payloads.back() += message[i];
      if (i < gaps && (cuts >> i & 1U) != 0) {
        payloads.emplace_back();
      }
    }
    const std::string bytes = fragments(payloads);
    std::vector<std::size_t> each;
    for (std::size_t i = 1; i <= bytes.size(); ++i) {
      each.push_back(i);
    }
    ASSERT_EQ(feed(bytes, {bytes.size()}, role(), 100), event_of(detail(), message)) << cuts;
    ASSERT_EQ(feed(bytes, each, role(), 100), event_of(detail(), message)) << cuts;
  }
}

TEST_P(Rfc6455Fragments, MayBeEmptyAnywhere) {
  expect_events(fragments({"", "ab"}), event_of(detail(), "ab"));
  expect_events(fragments({"ab", ""}), event_of(detail(), "ab"));
  expect_events(fragments({"a", "", "", "b"}), event_of(detail(), "ab"));
  expect_events(fragments({"", ""}), event_of(detail(), ""));
  expect_events(fragments({"", "", "", "", ""}), event_of(detail(), ""));
}

TEST_P(Rfc6455Fragments, MayBeMany) {
  const std::vector<std::string> payloads(1000, "xy");
  std::string message;
  for (const std::string& payload : payloads) {
    message += payload;
  }
  const std::string bytes = fragments(payloads);
  EXPECT_EQ(feed(bytes, {bytes.size()}, role(), 2000), event_of(detail(), message));
}

TEST_P(Rfc6455Fragments, MayHaveAnyLengthEncoding) {
  const std::vector<std::string> payloads = {std::string(125, 'a'), std::string(126, 'b'),
                                             std::string(70'000, 'c'), "d"};
  const std::string bytes = fragments(payloads);
  const std::string message = payloads[0] + payloads[1] + payloads[2] + payloads[3];
  for (const std::size_t piece : {1UL, 3UL, 127UL, 4096UL, 100'000UL}) {
    std::vector<std::size_t> cuts;
    for (std::size_t at = piece; at < bytes.size(); at += piece) {
      cuts.push_back(at);
    }
    cuts.push_back(bytes.size());
    EXPECT_EQ(feed(bytes, cuts, role(), 1 << 20), event_of(detail(), message)) << piece;
  }
}

TEST_P(Rfc6455Fragments, FollowEachOtherAsMessagesDo) {
  expect_events(fragments({"a", "b"}) + fragments({"c"}) + fragments({"", "d", ""}),
                event_of(detail(), "ab") + event_of(detail(), "c") + event_of(detail(), "d"));
}

TEST_P(Rfc6455Fragments, DeliverNothingBeforeTheLast) {
  expect_events(to_reader(detail(), "a") + to_reader(kContinuation, "b"), "");
  expect_events(
      to_reader(detail(), "a") + to_reader(kFin | kPing, "") + to_reader(kContinuation, "b"),
      "ping:;");
}

TEST_P(Rfc6455Fragments, RefuseANewMessageBetween) {
  for (const unsigned opcode : {kText, kBinary}) {
    for (const unsigned fin : {0U, kFin}) {
      expect_events(to_reader(detail(), "a") + to_reader(fin | opcode, "b"), "error 1002");
      expect_events(to_reader(detail(), "a") + to_reader(kContinuation, "b") +
                        to_reader(kFin | kPing, "") + to_reader(fin | opcode, ""),
                    "ping:;error 1002");
    }
  }
}

TEST_P(Rfc6455Fragments, RefuseAContinuationOfNothing) {
  for (const unsigned fin : {0U, kFin}) {
    expect_events(to_reader(fin | kContinuation, "x"), "error 1002");
    expect_events(to_reader(fin | kContinuation, ""), "error 1002");
    expect_events(to_reader(kFin | kPing, "") + to_reader(fin | kContinuation, "x"),
                  "ping:;error 1002");
  }
}

TEST_P(Rfc6455Fragments, RefuseAContinuationBehindTheLast) {
  expect_events(fragments({"a"}) + to_reader(kFin | kContinuation, "b"),
                event_of(detail(), "a") + "error 1002");
  expect_events(fragments({"a", "b"}) + to_reader(kContinuation, "c"),
                event_of(detail(), "ab") + "error 1002");
}

}  // namespace
}  // namespace trunkline::ws
