// SPDX-License-Identifier: Apache-2.0
#include "server/jwt.h"
#include "server/jwt_signer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>

namespace trunkline::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(JwtTimes, ExpireAtTheirVerySecond) {
  const Jwt jwt = jwt_for("HS256");
  const std::string token = hs(R"({"sub":"42","exp":1700000000})");
  EXPECT_EQ(verdict(jwt, token, kNow - milliseconds(1)), "ok");
  EXPECT_EQ(verdict(jwt, token, kNow), "token_expired");
  EXPECT_EQ(verdict(jwt, token, kNow + seconds(1)), "token_expired");
}

TEST(JwtTimes, BeginAtTheirVerySecond) {
  const Jwt jwt = jwt_for("HS256");
  const std::string token = hs(R"({"nbf":1700000000})");
  EXPECT_EQ(verdict(jwt, token, kNow - milliseconds(1)), "token_invalid");
  EXPECT_EQ(verdict(jwt, token, kNow), "ok");
}

TEST(JwtTimes, MayHaveFractionsAndBeFarAway) {
  const Jwt jwt = jwt_for("HS256");
  EXPECT_EQ(verdict(jwt, hs(R"({"exp":1700000000.5})")), "ok");
  EXPECT_EQ(verdict(jwt, hs(R"({"exp":1700000000.5})"), kNow + milliseconds(500)), "token_expired");
  EXPECT_EQ(verdict(jwt, hs(R"({"exp":1e300})")), "ok");
  EXPECT_EQ(verdict(jwt, hs(R"({"exp":18446744073709551615})")), "ok");
  EXPECT_EQ(verdict(jwt, hs(R"({"exp":-1e300})")), "token_expired");
  EXPECT_EQ(verdict(jwt, hs(R"({"exp":0})")), "token_expired");
}

TEST(JwtTimes, OfAnotherTypeAreRefusedAndNotForgotten) {
  for (const char* claim : {"exp", "nbf", "expire_at"}) {
    for (const char* value : {"\"1700000001\"", "true", "[]", "{}", "1e999"}) {
      EXPECT_EQ(verdict(jwt_for("HS256"), hs(fmt::format(R"({{"{}":{}}})", claim, value))),
                "token_invalid")
          << claim << value;
    }
  }
}

TEST(JwtTimes, AreNotTrustedBeforeTheSignature) {
  std::string token = hs(R"({"exp":1})");
  token.resize(token.rfind('.') + 1);
  EXPECT_EQ(verdict(jwt_for("HS256"), token), "token_invalid");
}

std::optional<WallTime> expiry_of(std::string_view claims) {
  const auto verified = jwt_for("HS256").verify_connection(hs(claims), kNow);
  EXPECT_TRUE(verified.has_value());
  return verified.has_value() ? verified->expire_at : WallTime{};
}

TEST(JwtTimes, GiveTheConnectionsExpiry) {
  EXPECT_EQ(expiry_of("{}"), std::nullopt);
  EXPECT_EQ(expiry_of(R"({"exp":1700000100})"), kNow + seconds(100));
  EXPECT_EQ(expiry_of(R"({"exp":1700000100,"expire_at":1700000200})"), kNow + seconds(200));
  EXPECT_EQ(expiry_of(R"({"expire_at":1700000200})"), kNow + seconds(200));
}

TEST(JwtTimes, NeverExpireWithExpireAtZero) {
  EXPECT_EQ(expiry_of(R"({"exp":1700000100,"expire_at":0})"), std::nullopt);
  EXPECT_EQ(verdict(jwt_for("HS256"), hs(R"({"exp":1,"expire_at":0})")), "token_expired");
}

TEST(JwtTimes, TakeANegativeExpireAtForThePastAndNotForNever) {
  const std::optional<WallTime> expiry = expiry_of(R"({"expire_at":-1})");
  ASSERT_TRUE(expiry.has_value());
  EXPECT_LT(*expiry, kNow);
}

TEST(JwtClaims, MakeTheUser) {
  const Jwt jwt = jwt_for("HS256");
  EXPECT_EQ(jwt.verify_connection(hs(R"({"sub":"42"})"), kNow)->user, "42");
  EXPECT_EQ(jwt.verify_connection(hs("{}"), kNow)->user, "");
  EXPECT_EQ(jwt.verify_connection(hs(R"({"iat":1})"), kNow)->user, "");
}

TEST(JwtClaims, OfAnotherTypeAreRefusedAndNotTakenForAbsent) {
  for (const char* claims :
       {R"({"sub":42})", R"({"sub":["a"]})", R"({"sub":true})", R"({"b64info":1})"}) {
    EXPECT_EQ(verdict(jwt_for("HS256"), hs(claims)), "token_invalid") << claims;
  }
  for (const char* claims : {R"({"channel":1})", R"({"channel":"c","client":1})",
                             R"({"channel":"c","client":{}})", R"({"channel":"c","sub":1})"}) {
    EXPECT_FALSE(jwt_for("HS256").verify_subscription(hs(claims), kNow).has_value()) << claims;
  }
}

TEST(JwtClaims, CanNameTheUserByAnotherClaim) {
  TokenConfig config = config_for("HS256");
  config.user_id_claim = "uid";
  EXPECT_EQ(Jwt(config, config).verify_connection(hs(R"({"sub":"1","uid":"2"})"), kNow)->user, "2");
  EXPECT_EQ(Jwt(config, config).verify_connection(hs(R"({"sub":"1"})"), kNow)->user, "");
}

TEST(JwtClaims, NeedTheConfiguredAudience) {
  TokenConfig config = config_for("HS256");
  config.audience = "us";
  const Jwt jwt(config, config);
  EXPECT_EQ(verdict(jwt, hs(R"({"aud":"us"})")), "ok");
  EXPECT_EQ(verdict(jwt, hs(R"({"aud":["them","us"]})")), "ok");
  for (const char* claims : {"{}", R"({"aud":"them"})", R"({"aud":[]})", R"({"aud":["them",1]})",
                             R"({"aud":1})", R"({"aud":{"us":"us"}})", R"({"aud":null})"}) {
    EXPECT_EQ(verdict(jwt, hs(claims)), "token_invalid") << claims;
  }
}

TEST(JwtClaims, NeedTheConfiguredIssuer) {
  TokenConfig config = config_for("HS256");
  config.issuer = "me";
  const Jwt jwt(config, config);
  EXPECT_EQ(verdict(jwt, hs(R"({"iss":"me"})")), "ok");
  for (const char* claims : {"{}", R"({"iss":"you"})", R"({"iss":["me"]})", R"({"iss":null})"}) {
    EXPECT_EQ(verdict(jwt, hs(claims)), "token_invalid") << claims;
  }
}

std::string info_of(std::string_view claims) {
  const auto verified = jwt_for("HS256").verify_connection(hs(claims), kNow);
  return verified.has_value() ? verified->info : std::string(name(verified.error().code));
}

TEST(JwtClaims, KeepTheInfoAsItWasWritten) {
  EXPECT_EQ(info_of(R"({"info":{"z":1,"a":12345678901234567890123,"u":"\u00e9"}})"),
            R"({"z":1,"a":12345678901234567890123,"u":"\u00e9"})");
  EXPECT_EQ(info_of(R"({"info":"text"})"), "\"text\"");
  EXPECT_EQ(info_of(R"({"info":1.0})"), "1.0");
  EXPECT_EQ(info_of(R"({"info":null})"), "");
  EXPECT_EQ(info_of("{}"), "");
}

TEST(JwtClaims, HaveNoLineFeedsInTheInfo) {
  EXPECT_EQ(info_of("{\"info\":{\n\"a\":\r\n1}}"), R"({"a":1})");
}

TEST(JwtClaims, MayHaveTheInfoInBase64) {
  EXPECT_EQ(info_of(R"({"b64info":"eyJhIjoxfQ=="})"), R"({"a":1})");
  EXPECT_EQ(info_of(R"({"b64info":""})"), "");
  EXPECT_EQ(info_of(R"({"info":{"b":2},"b64info":"eyJhIjoxfQ=="})"), R"({"b":2})");
}

TEST(JwtClaims, RefuseABase64InfoThatIsNoJson) {
  EXPECT_EQ(info_of(R"({"b64info":"!!!"})"), "token_invalid");
  EXPECT_EQ(info_of(R"({"b64info":"eyJh"})"), "token_invalid");
}

TEST(JwtClaims, OfASubscriptionAreAllThere) {
  const auto claims = jwt_for("HS256").verify_subscription(
      hs(R"({"sub":"42","channel":"chat:1","client":"abc","info":{"a":1},"exp":1700000100})"),
      kNow);
  ASSERT_TRUE(claims.has_value());
  EXPECT_EQ(claims->user, "42");
  EXPECT_EQ(claims->channel, "chat:1");
  EXPECT_EQ(claims->client, "abc");
  EXPECT_EQ(claims->info, R"({"a":1})");
  EXPECT_EQ(claims->expire_at, kNow + seconds(100));
}

TEST(JwtClaims, TellConnectionAndSubscriptionTokensApart) {
  const Jwt jwt = jwt_for("HS256");
  for (const char* claims : {R"({"channel":"a"})", R"({"channel":""})", R"({"channel":null})"}) {
    EXPECT_EQ(verdict(jwt, hs(claims)), "token_invalid") << claims;
  }
  for (const char* claims : {"{}", R"({"channel":""})", R"({"channel":null})"}) {
    const auto verified = jwt.verify_subscription(hs(claims), kNow);
    ASSERT_FALSE(verified.has_value()) << claims;
    EXPECT_EQ(verified.error().code, ErrorCode::kTokenInvalid);
  }
}

TEST(JwtClaims, OfAnExpiredSubscriptionAreExpired) {
  const auto verified =
      jwt_for("HS256").verify_subscription(hs(R"({"channel":"a","exp":1})"), kNow);
  ASSERT_FALSE(verified.has_value());
  EXPECT_EQ(verified.error().code, ErrorCode::kTokenExpired);
}

}  // namespace
}  // namespace trunkline::server
