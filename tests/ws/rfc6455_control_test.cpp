// SPDX-License-Identifier: Apache-2.0
//
// RFC 6455, section 5.5: control frames, their length, and that they may stand anywhere between
// frames. What a Close frame carries is in rfc6455_close_test.
#include "ws/reader_script.h"

#include <string>

namespace trunkline::ws {
namespace {

using ::testing::Combine;
using ::testing::Values;

constexpr unsigned kClose = 8;
constexpr unsigned kPing = 9;
constexpr unsigned kPong = 10;

std::string name_of(unsigned opcode) {
  return opcode == kPing ? "ping" : "pong";
}

// --- what is taken
// --------------------------------------------------------------------------------

class Rfc6455Control : public RoleScriptWith<std::tuple<unsigned, std::size_t>> {};

INSTANTIATE_TEST_SUITE_P(Lengths, Rfc6455Control,
                         Combine(both_roles(), Combine(Values(kPing, kPong),
                                                       Values(0UL, 1UL, 64UL, 124UL, 125UL))));

TEST_P(Rfc6455Control, CarriesUpTo125Bytes) {
  const auto& [opcode, size] = detail();
  const std::string payload(size, '\xFE');
  expect_events(to_reader(kFin | opcode, payload) + to_reader(kFin | 1U, "next"),
                name_of(opcode) + ":" + payload + ";text:next;");
}

TEST_P(Rfc6455Control, StandsBetweenTheFragmentsOfAMessage) {
  const auto& [opcode, size] = detail();
  const std::string payload(size, '\xFE');
  const std::string control = to_reader(kFin | opcode, payload);
  const std::string event = name_of(opcode) + ":" + payload + ";";
  expect_events(control + to_reader(1, "a") + control + control + to_reader(0, "") + control +
                    to_reader(kFin, "b") + control,
                event + event + event + event + "text:ab;" + event);
}

class Rfc6455ControlOfARole : public RoleScript {};

INSTANTIATE_TEST_SUITE_P(BothRoles, Rfc6455ControlOfARole, both_roles(), role_name);

TEST_P(Rfc6455ControlOfARole, CarriesAnyBytes) {
  std::string bytes;
  for (unsigned i = 0; i < 256; ++i) {
    bytes += static_cast<char>(i);
  }
  for (std::size_t at = 0; at < 256; at += 64) {
    const std::string payload = bytes.substr(at, 64);
    expect_events(to_reader(kFin | kPing, payload), "ping:" + payload + ";");
  }
}

TEST_P(Rfc6455ControlOfARole, NeedsNoPingForAPong) {
  expect_events(to_reader(kFin | kPong, "") + to_reader(kFin | kPong, "nobody asked"),
                "pong:;pong:nobody asked;");
}

TEST_P(Rfc6455ControlOfARole, KeepsManyInOrder) {
  std::string bytes;
  std::string events;
  for (int i = 0; i < 20; ++i) {
    const std::string number = std::to_string(i);
    bytes += to_reader(kFin | (i % 3 == 0 ? kPong : kPing), number);
    events += (i % 3 == 0 ? "pong:" : "ping:") + number + ";";
  }
  expect_events(bytes, events);
}

TEST_P(Rfc6455ControlOfARole, DoesNotCountForTheMessageAround) {
  expect_events(
      to_reader(2, "12") + to_reader(kFin | kPing, "longer than that") + to_reader(kFin, "3"),
      "ping:longer than that;binary:123;", 3);
}

TEST_P(Rfc6455ControlOfARole, DoesNotCountForTheTextAround) {
  expect_events(
      to_reader(1, "\xE2\x82") + to_reader(kFin | kPing, "\xFF") + to_reader(kFin, "\xAC"),
      "ping:\xFF;text:\xE2\x82\xAC;");
}

// --- what is refused
// ------------------------------------------------------------------------------

class Rfc6455BadControl : public RoleScriptWith<unsigned> {};

INSTANTIATE_TEST_SUITE_P(EachOpcode, Rfc6455BadControl,
                         Combine(both_roles(), Values(kClose, kPing, kPong)));

TEST_P(Rfc6455BadControl, LongerThan125BytesFailsAtItsLength) {
  for (const std::size_t size : {126UL, 127UL, 300UL, 65'536UL}) {
    const std::string bytes = to_reader(kFin | detail(), std::string(size, 'x')).substr(0, 40);
    expect_events(bytes, "error 1002");
    EXPECT_EQ(good_bytes(bytes, role()), 1U);
  }
}

TEST_P(Rfc6455BadControl, FragmentedFailsAtItsFirstByte) {
  for (const char* payload : {"", "x"}) {
    const std::string bytes = to_reader(detail(), payload);
    expect_events(bytes + to_reader(kFin, "y"), "error 1002");
    EXPECT_EQ(good_bytes(bytes, role()), 0U);
  }
}

TEST_P(Rfc6455BadControl, FragmentedFailsInsideAMessageToo) {
  expect_events(to_reader(1, "a") + to_reader(detail(), "x"), "error 1002");
}

TEST_P(Rfc6455BadControl, CannotBeContinued) {
  if (detail() != kClose) {
    expect_events(to_reader(kFin | detail(), "x") + to_reader(kFin, "y"),
                  name_of(detail()) + ":x;error 1002");
  }
}

}  // namespace
}  // namespace trunkline::ws
