// SPDX-License-Identifier: Apache-2.0
//
// RFC 6455, sections 5.6 and 8.1: text is UTF-8, and fails at its first bad byte.
#include "ws/reader_script.h"
#include "ws/utf8_samples.h"

#include <string>

namespace trunkline::ws {
namespace {

using ::testing::Combine;
using ::testing::ValuesIn;

constexpr unsigned kText = 1;
constexpr unsigned kBinary = 2;

// Every byte in a fragment of its own.
class TextScript : public RoleScriptWith<Utf8Sample> {
 protected:
  static std::string byte_by_fragment(std::string_view text) {
    std::string bytes = to_reader(kText, "");
    for (const char& byte : text) {
      bytes += to_reader(0, {&byte, 1});
    }
    return bytes + to_reader(kFin, "");
  }
};

class Rfc6455GoodText : public TextScript {};

INSTANTIATE_TEST_SUITE_P(Texts, Rfc6455GoodText, Combine(both_roles(), ValuesIn(kGoodTexts)),
                         detail_name<Utf8Sample>);

TEST_P(Rfc6455GoodText, IsTakenWhole) {
  expect_events(to_reader(kFin | kText, detail().bytes), "text:" + detail().bytes + ";");
}

TEST_P(Rfc6455GoodText, IsTakenByteByByte) {
  expect_events(byte_by_fragment(detail().bytes), "text:" + detail().bytes + ";");
}

TEST_P(Rfc6455GoodText, IsTakenInTwoFragmentsCutAnywhere) {
  for (std::size_t cut = 0; cut <= detail().bytes.size(); ++cut) {
    expect_events(to_reader(kText, detail().bytes.substr(0, cut)) +
                      to_reader(kFin, detail().bytes.substr(cut)),
                  "text:" + detail().bytes + ";");
  }
}

class Rfc6455BadText : public TextScript {};

INSTANTIATE_TEST_SUITE_P(Texts, Rfc6455BadText, Combine(both_roles(), ValuesIn(kBadTexts)),
                         detail_name<Utf8Sample>);

TEST_P(Rfc6455BadText, IsInvalidPayload) {
  expect_events(to_reader(kFin | kText, "before") + to_reader(kFin | kText, detail().bytes),
                "text:before;error 1007");
  expect_events(byte_by_fragment(detail().bytes), "error 1007");
}

TEST_P(Rfc6455BadText, FailsAtItsFirstBadByteInAnUnfinishedFrame) {
  // The frame goes on behind it, and the message behind the frame.
  const std::string payload = detail().bytes + std::string(20, 'x');
  const std::string bytes = to_reader(kText, payload);
  EXPECT_EQ(good_bytes(bytes, role()), bytes.size() - payload.size() + detail().good_bytes);
}

TEST_P(Rfc6455BadText, FailsInTheReadThatBringsItsFirstBadByte) {
  const std::string payload = detail().bytes + std::string(20, 'x');
  const std::string bytes = to_reader(kText, payload);
  const std::size_t bad = bytes.size() - payload.size() + detail().good_bytes;
  FrameReader reader = reader_of(role());
  Recorder recorder;
  EXPECT_TRUE(read(reader, recorder, bytes.substr(0, bad)).has_value());
  EXPECT_FALSE(read(reader, recorder, bytes.substr(bad, 1)).has_value());
}

TEST_P(Rfc6455BadText, FailsAtItsFirstBadByteInAnyFragment) {
  const std::size_t fragment_bytes = short_header(role()) + 1;
  EXPECT_EQ(good_bytes(byte_by_fragment(detail().bytes), role()),
            short_header(role()) + detail().good_bytes * fragment_bytes + short_header(role()));
}

TEST_P(Rfc6455BadText, IsGoodBinary) {
  expect_events(to_reader(kFin | kBinary, detail().bytes), "binary:" + detail().bytes + ";");
  expect_events(to_reader(kBinary, detail().bytes) + to_reader(kFin, detail().bytes),
                "binary:" + detail().bytes + detail().bytes + ";");
}

class Rfc6455UnfinishedText : public TextScript {};

INSTANTIATE_TEST_SUITE_P(Texts, Rfc6455UnfinishedText,
                         Combine(both_roles(), ValuesIn(kUnfinishedTexts)),
                         detail_name<Utf8Sample>);

TEST_P(Rfc6455UnfinishedText, IsInvalidWhenTheMessageEnds) {
  expect_events(to_reader(kFin | kText, detail().bytes), "error 1007");
  expect_events(byte_by_fragment(detail().bytes), "error 1007");
}

TEST_P(Rfc6455UnfinishedText, IsNoErrorWhileTheMessageGoesOn) {
  expect_events(to_reader(kText, detail().bytes) + to_reader(0, ""), "");
}

TEST_P(Rfc6455UnfinishedText, IsForgottenWithTheMessage) {
  // What was binary before does not count for the text behind it.
  expect_events(to_reader(kBinary, detail().bytes) + to_reader(kFin, "") + to_reader(kText, "o") +
                    to_reader(kFin, "k"),
                "binary:" + detail().bytes + ";text:ok;");
}

}  // namespace
}  // namespace trunkline::ws
