// SPDX-License-Identifier: Apache-2.0
#include "server/jwt.h"

#include "core/random.h"
#include "server/jwt_signer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <array>
#include <vector>

namespace trunkline::server {
namespace {

using std::chrono::seconds;

constexpr const char* kAlgorithms[] = {"HS256", "HS384", "HS512", "RS256", "RS384",
                                       "RS512", "ES256", "ES384", "ES512", "EdDSA"};

class EveryAlgorithm : public testing::TestWithParam<const char*> {};

TEST_P(EveryAlgorithm, VerifiesItsOwnSignature) {
  const auto claims =
      jwt_for(GetParam()).verify_connection(token_of(GetParam(), R"({"sub":"42"})"), kNow);
  ASSERT_TRUE(claims.has_value()) << to_string(claims.error());
  EXPECT_EQ(claims->user, "42");
}

TEST_P(EveryAlgorithm, RefusesOtherClaimsUnderTheSignature) {
  const std::string token = token_of(GetParam(), R"({"sub":"42"})");
  const std::string forged =
      unsigned_token(header_of(GetParam()), R"({"sub":"43"})") + token.substr(token.rfind('.'));
  EXPECT_EQ(verdict(jwt_for(GetParam()), forged), "token_invalid");
}

TEST_P(EveryAlgorithm, RefusesEveryOtherLetterInTheSignature) {
  const Jwt jwt = jwt_for(GetParam());
  const std::string token = token_of(GetParam(), R"({"sub":"42"})");
  for (std::size_t i = token.rfind('.') + 1; i < token.size(); ++i) {
    std::string tampered = token;
    tampered[i] = tampered[i] == 'A' ? 'B' : 'A';
    ASSERT_EQ(verdict(jwt, tampered), "token_invalid") << i;
  }
}

TEST_P(EveryAlgorithm, RefusesASignatureOfAnotherLength) {
  const Jwt jwt = jwt_for(GetParam());
  const std::string token = token_of(GetParam(), R"({"sub":"42"})");
  const std::string text = token.substr(0, token.rfind('.') + 1);
  EXPECT_EQ(verdict(jwt, text), "token_invalid");
  for (const std::size_t size : {1U, 3U, 31U, 63U, 65U, 500U}) {
    EXPECT_EQ(verdict(jwt, text + base64url(std::string(size, '\0'))), "token_invalid") << size;
    EXPECT_EQ(verdict(jwt, token + base64url(std::string(size - size % 3 + 3, '\0'))),
              "token_invalid")
        << size;
  }
}

TEST_P(EveryAlgorithm, NeedsAKeyOfItsOwnKind) {
  for (const char* other : kAlgorithms) {
    if (std::string_view(other).substr(0, 2) == std::string_view(GetParam()).substr(0, 2)) {
      continue;
    }
    const std::string why = reason(jwt_for(other), token_of(GetParam(), "{}"));
    EXPECT_NE(why.find("client.token."), std::string::npos) << other << ": " << why;
  }
}

TEST_P(EveryAlgorithm, SaysWhichOptionIsMissing) {
  const std::string_view algorithm = GetParam();
  const std::string option = algorithm.starts_with("HS")   ? "client.token.hmac_secret_key"
                             : algorithm.starts_with("RS") ? "client.token.rsa_public_key"
                             : algorithm.starts_with("ES") ? "client.token.ecdsa_public_key"
                                                           : "client.token.eddsa_public_key";
  const Jwt jwt(TokenConfig{}, TokenConfig{});
  EXPECT_EQ(verdict(jwt, token_of(algorithm, "{}")), "token_invalid");
  EXPECT_NE(reason(jwt, token_of(algorithm, "{}")).find(option), std::string::npos);
}

std::string algorithm_name(const testing::TestParamInfo<const char*>& info) {
  return info.param;
}

INSTANTIATE_TEST_SUITE_P(Jwt, EveryAlgorithm, testing::ValuesIn(kAlgorithms), algorithm_name);

TEST(Jwt, DoesNotTakeAPublicKeyForAnHmacSecret) {
  const TokenConfig config = config_for("RS256");
  const std::string text = unsigned_token(header_of("HS256"), "{}");
  const std::string forged = text + "." + base64url(hmac("HS256", config.rsa_public_key, text));
  EXPECT_EQ(verdict(Jwt(config, config), forged), "token_invalid");
}

TEST(Jwt, RefusesTokensWithoutSignature) {
  const Jwt jwt = jwt_for("HS256");
  for (const char* algorithm : {"none", "None", "NONE", "", "HS", "hs256", "HS256 ", "PS256", "RS1",
                                "HS255", "ES256K", "RSA", "Ed25519"}) {
    const std::string text = unsigned_token(header_of(algorithm), R"({"sub":"42"})");
    EXPECT_EQ(verdict(jwt, text + "."), "token_invalid") << algorithm;
    EXPECT_EQ(verdict(jwt, text + "." + base64url(hmac("256", "secret", text))), "token_invalid")
        << algorithm;
  }
}

TEST(Jwt, RefusesHeadersThatItDoesNotUnderstand) {
  const Jwt jwt = jwt_for("HS256");
  for (const char* header :
       {"{}", "[]", "1", "\"HS256\"", "{", "", R"({"alg":256})", R"({"alg":["HS256"]})",
        R"({"alg":null})", R"({"alg":"HS256","crit":["exp"]})"}) {
    const std::string text = unsigned_token(header, "{}");
    EXPECT_EQ(verdict(jwt, text + "." + base64url(hmac("HS256", "secret", text))), "token_invalid")
        << header;
  }
}

TEST(Jwt, HoldsEachEcdsaAlgorithmToItsCurve) {
  const auto with = [](const Key& key) {
    TokenConfig config;
    config.ecdsa_public_key = pem(key);
    return Jwt(config, config);
  };
  EXPECT_EQ(verdict(with(keys().p384), token_of("ES256", keys().p384, "{}")), "token_invalid");
  EXPECT_EQ(verdict(with(keys().p256), token_of("ES512", keys().p256, "{}")), "token_invalid");
  EXPECT_EQ(verdict(with(keys().koblitz), token_of("ES256", keys().koblitz, "{}")),
            "token_invalid");
}

TEST(Jwt, RefusesAnEcdsaSignatureInDer) {
  const std::string text = unsigned_token(header_of("ES256"), "{}");
  const std::string der = sign("ES256", keys().p256, text);
  EXPECT_EQ(verdict(jwt_for("ES256"), text + "." + base64url(der)), "token_invalid");
}

TEST(Jwt, RefusesPaddingAndTheOtherAlphabet) {
  const Jwt jwt = jwt_for("HS256");
  const std::string token = token_of("HS256", R"({"sub":"42"})");
  ASSERT_EQ(verdict(jwt, token), "ok");
  EXPECT_EQ(verdict(jwt, token + "="), "token_invalid");
  EXPECT_EQ(verdict(jwt, token + "=="), "token_invalid");
  std::string other = token;
  std::string text;
  for (int i = 0; other.find_first_of("-_") == std::string::npos && i < 100; ++i) {
    other = token_of("HS256", fmt::format(R"({{"sub":"{}"}})", i));
  }
  ASSERT_NE(other.find_first_of("-_"), std::string::npos);
  ASSERT_EQ(verdict(jwt, other), "ok");
  for (char& letter : other) {
    letter = letter == '-' ? '+' : letter == '_' ? '/' : letter;
  }
  EXPECT_EQ(verdict(jwt, other), "token_invalid");
}

// --- keys in the configuration ------------------------------------------------------------------

TEST(JwtKeys, AreFineWhenAbsentOrOfTheirKind) {
  EXPECT_TRUE(Jwt(TokenConfig{}, TokenConfig{}).check_keys().has_value());
  for (const char* algorithm : kAlgorithms) {
    EXPECT_TRUE(jwt_for(algorithm).check_keys().has_value()) << algorithm;
  }
}

TEST(JwtKeys, AreRefusedWhenTheyAreNoPemOfTheirKind) {
  const Key& rsa = keys().rsa;
  const std::pair<std::string TokenConfig::*, const char*> options[] = {
      {&TokenConfig::rsa_public_key, "rsa_public_key"},
      {&TokenConfig::ecdsa_public_key, "ecdsa_public_key"},
      {&TokenConfig::eddsa_public_key, "eddsa_public_key"}};
  for (const auto& [member, option] : options) {
    const bool is_rsa = std::string_view(option).starts_with("rsa");
    for (const std::string& text :
         {std::string("x"), std::string("-----BEGIN PUBLIC KEY-----\n"),
          is_rsa ? pem(keys().p256) : pem(rsa), pem(rsa).substr(0, 100),
          std::string("-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\n"
                      "DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\nAAAA\n"
                      "-----END PUBLIC KEY-----\n")}) {
      TokenConfig config;
      config.*member = text;
      const auto checked = Jwt(config, config).check_keys();
      ASSERT_FALSE(checked.has_value()) << option << text;
      EXPECT_EQ(checked.error().code, ErrorCode::kConfig);
      EXPECT_TRUE(checked.error().context.starts_with(std::string("client.token.") + option));
      const auto apart = Jwt(TokenConfig{}, config).check_keys();
      ASSERT_FALSE(apart.has_value());
      EXPECT_TRUE(
          apart.error().context.starts_with(std::string("client.subscription_token.") + option));
    }
  }
}

TEST(JwtKeys, OfAnotherKindVerifyNothing) {
  TokenConfig config;
  config.rsa_public_key = pem(keys().p256);
  const std::string text = unsigned_token(header_of("RS256"), "{}");
  const std::string der = sign("ES256", keys().p256, text);
  EXPECT_EQ(verdict(Jwt(config, config), text + "." + base64url(der)), "token_invalid");
}

TEST(JwtKeys, LeaveNoErrorsInOpenSslsQueue) {
  TokenConfig config = config_for("RS256");
  config.ecdsa_public_key = "x";
  const Jwt jwt(config, config);
  EXPECT_EQ(ERR_peek_error(), 0U);
  EXPECT_EQ(verdict(jwt, unsigned_token(header_of("RS256"), "{}") + ".AAAA"), "token_invalid");
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST(Jwt, VerifiesSubscriptionsWithTheirOwnKey) {
  TokenConfig other;
  other.hmac_secret_key = "other";
  const Jwt jwt(config_for("HS256"), other);
  EXPECT_FALSE(jwt.verify_subscription(hs(R"({"channel":"a"})"), kNow).has_value());
  const std::string token = make_hmac_token("other", R"({"channel":"a"})");
  EXPECT_TRUE(jwt.verify_subscription(token, kNow).has_value());
  EXPECT_FALSE(jwt.verify_connection(make_hmac_token("other", "{}"), kNow).has_value());
}

TEST(Jwt, MakesTokensThatItVerifies) {
  EXPECT_EQ(make_hmac_token("secret", R"({"sub":"42"})"), token_of("HS256", R"({"sub":"42"})"));
  EXPECT_EQ(verdict(jwt_for("HS256"), make_hmac_token("secret", R"({"sub":"42"})")), "ok");
  EXPECT_EQ(verdict(jwt_for("HS256"), make_hmac_token("Secret", R"({"sub":"42"})")),
            "token_invalid");
}

// RFC 7515, appendix A.1: key, header and claims with their own line ends.
TEST(Jwt, VerifiesTheExampleOfTheRfc) {
  static constexpr std::array<unsigned char, 64> kSecret = {
      3,   35,  53, 75,  43,  15, 165, 188, 131, 126, 6,   101, 119, 123, 166, 143,
      90,  179, 40, 230, 240, 84, 201, 40,  169, 15,  132, 178, 210, 80,  46,  191,
      211, 251, 90, 146, 210, 6,  71,  239, 150, 138, 180, 195, 119, 98,  61,  34,
      61,  46,  33, 114, 5,   46, 79,  8,   192, 205, 154, 245, 103, 208, 128, 163};
  TokenConfig config;
  config.hmac_secret_key.assign(reinterpret_cast<const char*>(kSecret.data()), kSecret.size());
  const char* token =
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog"
      "Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
  EXPECT_EQ(verdict(Jwt(config, config), token, WallTime(seconds(1300819379))), "ok");
  EXPECT_EQ(verdict(Jwt(config, config), token), "token_expired");
}

TEST(JwtGarbage, IsRefused) {
  const Jwt jwt = jwt_for("HS256");
  const std::string token = hs(R"({"sub":"42"})");
  std::vector<std::string> garbage = {
      "",
      ".",
      "..",
      "...",
      "a",
      "a.b",
      "a.b.c",
      "a.b.c.d",
      "\n",
      "\xff",
      "=.=.=",
      " . . ",
      token + ".",
      "." + token,
      token + "\n",
      " " + token,
      std::string(100'000, '.'),
      std::string(100'000, 'A'),
      std::string("\0.\0.\0", 5),
      std::string(60'000, 'A') + "." + std::string(60'000, 'A') + "." + std::string(60'000, 'A')};
  for (std::size_t size = 0; size < token.size(); ++size) {
    garbage.push_back(token.substr(0, size));
  }
  for (const std::string& text : garbage) {
    ASSERT_EQ(verdict(jwt, text), "token_invalid") << text.substr(0, 80);
  }
}

TEST(JwtGarbage, UnderAGoodSignatureIsRefusedToo) {
  const Jwt jwt = jwt_for("HS256");
  for (const std::string& claims :
       {std::string(), std::string("[]"), std::string("1"), std::string("null"), std::string("{"),
        std::string("{}{}"), std::string("{\"sub\":\"\xff\"}"), std::string(50'000, '['),
        std::string("\xff\xfe"), std::string("{\"sub\":\"\\ud800\"}")}) {
    ASSERT_EQ(verdict(jwt, hs(claims)), "token_invalid") << claims.substr(0, 40);
  }
}

TEST(JwtGarbage, DeepInsideTheInfoIsSurvived) {
  const std::string deep =
      fmt::format(R"({{"info":{}{}}})", std::string(40'000, '['), std::string(40'000, ']'));
  EXPECT_EQ(verdict(jwt_for("HS256"), hs(deep)), "token_invalid");
}

TEST(JwtGarbage, RefusesAClaimThatIsThereTwice) {
  EXPECT_EQ(verdict(jwt_for("HS256"), hs(R"({"sub":"1","sub":"2"})")), "token_invalid");
}

TEST(JwtGarbage, DoesNotReachTheLog) {
  const std::string text = unsigned_token(R"({"alg":"x\ny\u001b[31m"})", "{}") + ".";
  const std::string why = reason(jwt_for("HS256"), text);
  EXPECT_EQ(why.find_first_of("\n\x1b"), std::string::npos) << why;
  const std::string size =
      unsigned_token(R"({"alg":")" + std::string(50'000, 'x') + "\"}", "{}") + ".";
  EXPECT_LT(reason(jwt_for("HS256"), size).size(), 200U);
}

TEST(JwtGarbage, MadeByRandomChangesNeverVerifies) {
  static constexpr std::uint64_t kSeed = 20261120;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  for (const char* algorithm : {"HS256", "RS256", "ES256", "EdDSA"}) {
    const Jwt jwt = jwt_for(algorithm);
    const std::string token = token_of(algorithm, R"({"sub":"42","info":{"a":[1,2]}})");
    for (int round = 0; round < 500; ++round) {
      std::string text = token;
      text[random.next() % text.size()] = static_cast<char>(random.next() & 0xffU);
      ASSERT_TRUE(text == token || verdict(jwt, text) == "token_invalid") << text;
    }
  }
}

}  // namespace
}  // namespace trunkline::server
