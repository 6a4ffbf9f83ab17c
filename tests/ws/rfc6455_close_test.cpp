// SPDX-License-Identifier: Apache-2.0
//
// RFC 6455, sections 5.5.1, 7.1 and 7.4: Close frames, their codes and reasons.
#include "ws/reader_script.h"
#include "ws/utf8_samples.h"

#include <string>

namespace trunkline::ws {
namespace {

using namespace std::string_literals;
using ::testing::Combine;
using ::testing::Values;
using ::testing::ValuesIn;

constexpr unsigned kClose = 8;

class Rfc6455Close : public RoleScript {};

INSTANTIATE_TEST_SUITE_P(BothRoles, Rfc6455Close, both_roles(), role_name);

TEST_P(Rfc6455Close, WithoutACodeHasNoStatus) {
  expect_events(to_reader(kFin | kClose, ""), "close 1005:;");
}

TEST_P(Rfc6455Close, WithOneByteIsAViolation) {
  for (const std::string_view byte : {"\x03", "\xFF", "x"}) {
    expect_events(to_reader(kFin | kClose, byte), "error 1002");
  }
}

TEST_P(Rfc6455Close, TakesExactlyTheCodesThatMayBeSent) {
  for (unsigned code = 0; code <= 0xFFFF; ++code) {
    const bool allowed = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                         (code >= 3000 && code <= 4999);
    const std::string bytes = to_reader(kFin | kClose, code_bytes(code));
    ASSERT_EQ(feed(bytes, {bytes.size()}, GetParam(), 100),
              allowed ? "close " + std::to_string(code) + ":;" : "error 1002")
        << code;
  }
}

TEST_P(Rfc6455Close, RefusesACodeThatMayNotBeSentWithAReasonToo) {
  expect_events(to_reader(kFin | kClose, code_bytes(1005) + "reason"), "error 1002");
  // The code is what is wrong first.
  expect_events(to_reader(kFin | kClose, code_bytes(1006) + "\xFF"), "error 1002");
}

TEST_P(Rfc6455Close, CarriesAReasonOfUpTo123Bytes) {
  for (const std::size_t size : {0UL, 1UL, 122UL, 123UL}) {
    const std::string reason(size, 'r');
    expect_events(to_reader(kFin | kClose, code_bytes(1000) + reason),
                  "close 1000:" + reason + ";");
  }
  expect_events(to_reader(kFin | kClose, code_bytes(1000) + std::string(124, 'r')), "error 1002");
}

TEST_P(Rfc6455Close, EndsEverything) {
  const std::string close = to_reader(kFin | kClose, code_bytes(1001));
  const std::string events = "text:a;close 1001:;";
  const std::string before = to_reader(kFin | 1U, "a") + close;
  expect_events(before + to_reader(kFin | 1U, "late"), events);
  expect_events(before + to_reader(kFin | 9U, "late"), events);
  expect_events(before + close, events);
  expect_events(before + "\xFF\xFF\xFF\xFF not even a frame", events);
}

TEST_P(Rfc6455Close, MayComeInsideAFragmentedMessage) {
  expect_events(to_reader(1, "begun") + to_reader(kFin | kClose, code_bytes(1001)), "close 1001:;");
  expect_events(to_reader(1, "\xE2\x82") + to_reader(0, "") + to_reader(kFin | kClose, ""),
                "close 1005:;");
}

TEST_P(Rfc6455Close, IsReadAsItIsWritten) {
  const auto written = [](std::string_view payload) {
    return GetParam() == Role::kServer ? make_masked_frame(Opcode::kClose, payload, {9, 8, 7, 6})
                                       : make_frame(Opcode::kClose, payload);
  };
  expect_events(written(close_payload(kCloseNoStatus, "")), "close 1005:;");
  expect_events(written(close_payload(kCloseNormal, "")), "close 1000:;");
  expect_events(written(close_payload(4999, "caf\xC3\xA9")), "close 4999:caf\xC3\xA9;");
  // Cut at a character's border.
  const std::string cut(122, 'x');
  expect_events(written(close_payload(3000, cut + "\xC3\xA9")), "close 3000:" + cut + ";");
}

// --- codes by name
// --------------------------------------------------------------------------------

class Rfc6455CloseCode : public RoleScriptWith<unsigned> {};

INSTANTIATE_TEST_SUITE_P(MayBeSent, Rfc6455CloseCode,
                         Combine(both_roles(),
                                 Values(1000U, 1001U, 1002U, 1003U, 1007U, 1008U, 1009U, 1010U,
                                        1011U, 1012U, 1013U, 1014U, 3000U, 3999U, 4000U, 4999U)));

TEST_P(Rfc6455CloseCode, IsTakenWithAndWithoutReason) {
  const std::string code = std::to_string(detail());
  expect_events(to_reader(kFin | kClose, code_bytes(detail())), "close " + code + ":;");
  expect_events(to_reader(kFin | kClose, code_bytes(detail()) + "bye \xE2\x82\xAC"),
                "close " + code + ":bye \xE2\x82\xAC;");
}

class Rfc6455BadCloseCode : public RoleScriptWith<unsigned> {};

INSTANTIATE_TEST_SUITE_P(MayNotBeSent, Rfc6455BadCloseCode,
                         Combine(both_roles(),
                                 Values(0U, 1U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 1100U,
                                        1999U, 2000U, 2999U, 5000U, 32'768U, 65'535U)));

TEST_P(Rfc6455BadCloseCode, IsAViolation) {
  expect_events(to_reader(kFin | kClose, code_bytes(detail())), "error 1002");
  expect_events(to_reader(kFin | kClose, code_bytes(detail()) + "reason"), "error 1002");
}

// --- reasons
// --------------------------------------------------------------------------------------

class Rfc6455CloseReason : public RoleScriptWith<Utf8Sample> {};

INSTANTIATE_TEST_SUITE_P(Texts, Rfc6455CloseReason, Combine(both_roles(), ValuesIn(kGoodTexts)),
                         detail_name<Utf8Sample>);

TEST_P(Rfc6455CloseReason, IsHandedOut) {
  expect_events(to_reader(kFin | kClose, code_bytes(1000) + detail().bytes),
                "close 1000:" + detail().bytes + ";");
}

class Rfc6455BadCloseReason : public RoleScriptWith<Utf8Sample> {
 protected:
  void expect_invalid() {
    // What does not fit a control frame fails for that.
    const bool fits = detail().bytes.size() <= kCloseReasonBytesMax;
    expect_events(to_reader(kFin | kClose, code_bytes(1000) + detail().bytes),
                  fits ? "error 1007" : "error 1002");
  }
};

INSTANTIATE_TEST_SUITE_P(Texts, Rfc6455BadCloseReason, Combine(both_roles(), ValuesIn(kBadTexts)),
                         detail_name<Utf8Sample>);
INSTANTIATE_TEST_SUITE_P(UnfinishedTexts, Rfc6455BadCloseReason,
                         Combine(both_roles(), ValuesIn(kUnfinishedTexts)),
                         detail_name<Utf8Sample>);

TEST_P(Rfc6455BadCloseReason, IsInvalidPayload) {
  expect_invalid();
}

}  // namespace
}  // namespace trunkline::ws
