// SPDX-License-Identifier: Apache-2.0
#include "ws/deflate_offer.h"
#include "ws/handshake.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace trunkline::ws {
namespace {

constexpr DeflateParameters kOpen;

// What the server answers: the header's value, "" for no answer, "error" where the handshake fails.
std::string answer(std::string_view extensions, const DeflateParameters& options = kOpen) {
  const auto agreement = accept_deflate(extensions, options);
  if (!agreement.has_value()) {
    EXPECT_EQ(agreement.error().code, ErrorCode::kHandshakeRefused);
    return "error";
  }
  return agreement->has_value() ? (*agreement)->answer : "";
}

DeflateParameters agreed(std::string_view extensions, const DeflateParameters& options = kOpen) {
  return accept_deflate(extensions, options).value().value().parameters;
}

TEST(AcceptDeflate, AnswersAPlainOfferPlainly) {
  EXPECT_EQ(answer("permessage-deflate"), "permessage-deflate");
  EXPECT_EQ(agreed("permessage-deflate"), kOpen);
}

TEST(AcceptDeflate, AnswersNothingWithoutTheHeader) {
  EXPECT_EQ(answer(""), "");
}

// The offers of section 7.1.3 and what browsers send.
TEST(AcceptDeflate, TakesTheExamplesOfTheRfc) {
  EXPECT_EQ(answer("permessage-deflate; client_max_window_bits; server_max_window_bits=10"),
            "permessage-deflate; server_max_window_bits=10");
  EXPECT_EQ(answer("permessage-deflate; client_max_window_bits; server_max_window_bits=10, "
                   "permessage-deflate; client_max_window_bits"),
            "permessage-deflate; server_max_window_bits=10");
  EXPECT_EQ(answer("permessage-deflate; client_max_window_bits"), "permessage-deflate");
}

TEST(AcceptDeflate, SkipsUnknownExtensions) {
  EXPECT_EQ(answer("x-webkit-deflate-frame"), "");
  EXPECT_EQ(answer("foo; bar=1; baz=\"q\", permessage-deflate, other"), "permessage-deflate");
  EXPECT_EQ(answer("permessage-deflates, Permessage-Deflate"), "");
}

TEST(AcceptDeflate, DeclinesUnknownRepeatedAndIllValuedParameters) {
  for (const std::string_view parameter : {"unknown",
                                           "unknown=1",
                                           "server_no_context_takeover=1",
                                           "client_no_context_takeover=true",
                                           "server_no_context_takeover; server_no_context_takeover",
                                           "client_no_context_takeover; client_no_context_takeover",
                                           "server_max_window_bits",
                                           "server_max_window_bits=7",
                                           "server_max_window_bits=16",
                                           "server_max_window_bits=010",
                                           "server_max_window_bits=08",
                                           "server_max_window_bits=1",
                                           "server_max_window_bits=+9",
                                           "server_max_window_bits=x",
                                           "server_max_window_bits=100",
                                           "server_max_window_bits=10; server_max_window_bits=10",
                                           "client_max_window_bits=7",
                                           "client_max_window_bits=16",
                                           "client_max_window_bits=0",
                                           "client_max_window_bits; client_max_window_bits",
                                           "client_max_window_bits; client_max_window_bits=10",
                                           "client_max_window_bits=10; client_max_window_bits",
                                           "SERVER_NO_CONTEXT_TAKEOVER"}) {
    EXPECT_EQ(answer("permessage-deflate; " + std::string(parameter)), "") << parameter;
    EXPECT_EQ(answer("permessage-deflate; " + std::string(parameter) + ", permessage-deflate"),
              "permessage-deflate")
        << parameter;
  }
}

TEST(AcceptDeflate, TakesEveryNumberOfWindowBits) {
  for (int bits = kWindowBitsMin; bits <= kWindowBitsMax; ++bits) {
    const std::string parameter = "server_max_window_bits=" + std::to_string(bits);
    EXPECT_EQ(answer("permessage-deflate; " + parameter), "permessage-deflate; " + parameter);
    EXPECT_EQ(agreed("permessage-deflate; " + parameter).server_max_window_bits, bits);
    EXPECT_EQ(agreed("permessage-deflate; client_max_window_bits=" + std::to_string(bits))
                  .client_max_window_bits,
              bits);
  }
}

TEST(AcceptDeflate, TakesQuotedValues) {
  EXPECT_EQ(answer("permessage-deflate; server_max_window_bits=\"10\""),
            "permessage-deflate; server_max_window_bits=10");
  EXPECT_EQ(answer("permessage-deflate; server_max_window_bits=\"\\1\\0\""),
            "permessage-deflate; server_max_window_bits=10");
  EXPECT_EQ(answer("foo; bar=\"a\\\\b\", permessage-deflate"), "error");  // no token
}

TEST(AcceptDeflate, IgnoresSpaceAndEmptyElements) {
  EXPECT_EQ(answer(" ,\t, permessage-deflate\t;  server_max_window_bits = 10 , ,"),
            "permessage-deflate; server_max_window_bits=10");
}

// RFC 6455, section 9.1: malformed data must fail the connection, also behind a good offer.
TEST(AcceptDeflate, RefusesWhatBreaksTheGrammar) {
  for (const std::string_view text : {" ",
                                      ",",
                                      ", ,",
                                      ";",
                                      "=",
                                      "permessage-deflate;",
                                      "permessage-deflate; ;a",
                                      "permessage-deflate; =1",
                                      "permessage-deflate; a=",
                                      "permessage-deflate; a=\"\"",
                                      "permessage-deflate; a=\"1",
                                      "permessage-deflate; a=\"1\\",
                                      "permessage-deflate; a=\"1 2\"",
                                      "permessage-deflate; a=\"1\"2",
                                      "permessage-deflate a",
                                      "permessage-deflate; a b",
                                      "permessage-deflate; a=1=2",
                                      "permessage-deflate, b c",
                                      "permessage-deflate; a=(1)",
                                      "permessage-deflate\r\n",
                                      "permessage-deflate; caf\xC3\xA9",
                                      "\"permessage-deflate\""}) {
    EXPECT_EQ(answer(text), "error") << text;
  }
  EXPECT_EQ(answer(std::string_view("permessage-deflate\0", 19)), "error");
}

TEST(AcceptDeflate, RefusesEveryPrefixThatIsNotAListAndSurvivesIt) {
  const std::string whole = "a; b=\"c\", permessage-deflate; client_max_window_bits=12";
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const auto agreement = accept_deflate(whole.substr(0, size), kOpen);
    EXPECT_TRUE(agreement.has_value() || agreement.error().code == ErrorCode::kHandshakeRefused);
  }
}

TEST(AcceptDeflate, NarrowsTheWindowsByItsOptions) {
  const DeflateParameters options{.server_max_window_bits = 12, .client_max_window_bits = 11};
  EXPECT_EQ(answer("permessage-deflate; client_max_window_bits", options),
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=11");
  EXPECT_EQ(
      answer("permessage-deflate; client_max_window_bits=9; server_max_window_bits=10", options),
      "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9");
  EXPECT_EQ(
      answer("permessage-deflate; client_max_window_bits=15; server_max_window_bits=15", options),
      "permessage-deflate; server_max_window_bits=12; client_max_window_bits=11");
}

TEST(AcceptDeflate, SaysBackTheLargestServerWindow) {
  EXPECT_EQ(answer("permessage-deflate; server_max_window_bits=15"),
            "permessage-deflate; server_max_window_bits=15");
}

TEST(AcceptDeflate, DropsContextWhenEitherSideAsks) {
  EXPECT_EQ(answer("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
  EXPECT_EQ(answer("permessage-deflate",
                   {.server_no_context_takeover = true, .client_no_context_takeover = true}),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
}

// Without client_max_window_bits in the offer the answer must not have it (section 7.1.2.2).
TEST(AcceptDeflate, DeclinesAClientWhoseWindowItMayNotNarrow) {
  EXPECT_EQ(answer("permessage-deflate", {.client_max_window_bits = 11}), "");
  EXPECT_EQ(answer("permessage-deflate, permessage-deflate; client_max_window_bits",
                   {.client_max_window_bits = 11}),
            "permessage-deflate; client_max_window_bits=11");
}

TEST(AcceptDeflate, TakesALargeClientWindowThatIsNotKept) {
  const DeflateParameters options{.client_no_context_takeover = true, .client_max_window_bits = 11};
  EXPECT_EQ(answer("permessage-deflate", options),
            "permessage-deflate; client_no_context_takeover");
  EXPECT_EQ(agreed("permessage-deflate", options).client_max_window_bits, kWindowBitsMax);
}

TEST(AcceptDeflate, BringsItsOptionsIntoRange) {
  EXPECT_EQ(agreed("permessage-deflate; client_max_window_bits",
                   {.server_max_window_bits = 0, .client_max_window_bits = 200}),
            (DeflateParameters{.server_max_window_bits = 8, .client_max_window_bits = 15}));
}

TEST(OfferDeflate, StatesWhatTheOptionsAsk) {
  EXPECT_EQ(offer_deflate({}), "permessage-deflate; client_max_window_bits");
  EXPECT_EQ(offer_deflate({.server_no_context_takeover = true,
                           .client_no_context_takeover = true,
                           .server_max_window_bits = 10,
                           .client_max_window_bits = 9}),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=10; client_max_window_bits=9");
}

// "error", "none", or what was agreed.
std::string checked(std::string_view extensions, const DeflateParameters& options = kOpen) {
  const auto result = check_deflate_answer(extensions, options);
  if (!result.has_value()) {
    EXPECT_EQ(result.error().code, ErrorCode::kHandshakeRefused);
    return "error";
  }
  if (!result->has_value()) {
    return "none";
  }
  const DeflateParameters& found = **result;
  return std::string(found.server_no_context_takeover ? "s" : "-") +
         (found.client_no_context_takeover ? "c" : "-") + " " +
         std::to_string(found.server_max_window_bits) + " " +
         std::to_string(found.client_max_window_bits);
}

TEST(CheckDeflateAnswer, TakesAServerThatDeclined) {
  EXPECT_EQ(checked(""), "none");
}

TEST(CheckDeflateAnswer, TakesEachParameter) {
  EXPECT_EQ(checked("permessage-deflate"), "-- 15 15");
  EXPECT_EQ(checked("permessage-deflate; server_no_context_takeover"), "s- 15 15");
  EXPECT_EQ(checked("permessage-deflate; client_no_context_takeover"), "-c 15 15");
  EXPECT_EQ(checked("permessage-deflate; server_max_window_bits=\"8\""), "-- 8 15");
  EXPECT_EQ(checked("permessage-deflate; client_max_window_bits=8"), "-- 15 8");
}

TEST(CheckDeflateAnswer, RefusesWhatWasNotOffered) {
  for (const std::string_view text :
       {"foo", "permessage-deflate, foo", "foo, permessage-deflate",
        "permessage-deflate, permessage-deflate", "Permessage-deflate"}) {
    EXPECT_EQ(checked(text), "error") << text;
  }
}

TEST(CheckDeflateAnswer, RefusesUnknownRepeatedAndIllValuedParameters) {
  for (const std::string_view parameter :
       {"unknown", "server_no_context_takeover=1", "client_no_context_takeover=1",
        "server_no_context_takeover; server_no_context_takeover", "server_max_window_bits",
        "server_max_window_bits=7", "server_max_window_bits=16", "client_max_window_bits",
        "client_max_window_bits=08", "client_max_window_bits=10; client_max_window_bits=10", ""}) {
    EXPECT_EQ(checked("permessage-deflate; " + std::string(parameter)), "error") << parameter;
  }
}

TEST(CheckDeflateAnswer, RefusesLessThanTheOfferDemanded) {
  const DeflateParameters context{.server_no_context_takeover = true};
  EXPECT_EQ(checked("permessage-deflate", context), "error");
  EXPECT_EQ(checked("permessage-deflate; server_no_context_takeover", context), "s- 15 15");
  const DeflateParameters server{.server_max_window_bits = 10};
  EXPECT_EQ(checked("permessage-deflate", server), "error");
  EXPECT_EQ(checked("permessage-deflate; server_max_window_bits=11", server), "error");
  EXPECT_EQ(checked("permessage-deflate; server_max_window_bits=9", server), "-- 9 15");
  const DeflateParameters client{.client_max_window_bits = 10};
  EXPECT_EQ(checked("permessage-deflate; client_max_window_bits=11", client), "error");
  EXPECT_EQ(checked("permessage-deflate; client_max_window_bits=10", client), "-- 15 10");
}

TEST(CheckDeflateAnswer, HoldsToItsOwnHintsWhenTheServerIsSilent) {
  EXPECT_EQ(checked("permessage-deflate",
                    {.client_no_context_takeover = true, .client_max_window_bits = 10}),
            "-c 15 10");
}

TEST(CheckDeflateAnswer, AgreesWithTheServerAboutEveryPairOfOptions) {
  for (unsigned choice = 0; choice < 8U * 8U * 16U; ++choice) {
    const auto bits = [](unsigned n) { return static_cast<std::uint8_t>(8 + (n & 7U)); };
    const DeflateParameters client{.server_no_context_takeover = (choice & 64U) != 0,
                                   .client_no_context_takeover = (choice & 128U) != 0,
                                   .server_max_window_bits = bits(choice),
                                   .client_max_window_bits = bits(choice >> 3U)};
    const DeflateParameters server{.server_no_context_takeover = (choice & 256U) != 0,
                                   .client_no_context_takeover = (choice & 512U) != 0,
                                   .server_max_window_bits = bits(choice * 5 + 3),
                                   .client_max_window_bits = bits((choice >> 2U) * 3 + 1)};
    const auto agreement = accept_deflate(offer_deflate(client), server);
    ASSERT_TRUE(agreement.has_value() && agreement->has_value()) << choice;
    const auto found = check_deflate_answer((*agreement)->answer, client);
    ASSERT_TRUE(found.has_value() && found->has_value()) << (*agreement)->answer;
    EXPECT_EQ(**found, (*agreement)->parameters) << (*agreement)->answer;
  }
}

TEST(MakeRequest, CarriesTheOffer) {
  ClientHandshake handshake;
  handshake.extensions = offer_deflate({});
  EXPECT_NE(
      make_request(handshake, "the sample nonce")
          .value()
          .find("\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"),
      std::string::npos);
}

TEST(CheckReplyOfDeflate, LeavesTheAnswerToAnOfferToItsOwnCheck) {
  ClientHandshake handshake;
  handshake.extensions = offer_deflate({});
  const HandshakeReply reply{.status = 101,
                             .upgrade = "websocket",
                             .connection = "Upgrade",
                             .sec_websocket_accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                             .sec_websocket_protocol = {},
                             .sec_websocket_extensions = "permessage-deflate"};
  EXPECT_TRUE(check_reply(handshake, "the sample nonce", reply).has_value());
  handshake.extensions.clear();
  EXPECT_FALSE(check_reply(handshake, "the sample nonce", reply).has_value());
}

}  // namespace
}  // namespace trunkline::ws
