// SPDX-License-Identifier: Apache-2.0
#include "grid/handshake.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

namespace trunkline::grid {
namespace {

using namespace std::chrono_literals;
using State = Handshake::State;

constexpr Now kNow{TimePoint(1s), WallTime(1'000'000'000s)};

Identity node(std::string name) {
  Identity identity;
  identity.name = std::move(name);
  identity.instance.fill(static_cast<std::uint8_t>(identity.name.back()));
  identity.secret = "a secret of 16 bytes";
  return identity;
}

Nonce nonce(std::uint8_t value) {
  Nonce nonce{};
  nonce.fill(value);
  return nonce;
}

// Two nodes and what they say; a message may be changed on its way.
class HandshakeTest : public ::testing::Test {
 protected:
  using Change = std::function<std::string(int number, std::string message)>;

  void run(const Change& change = [](int, std::string message) { return message; }) {
    said.clear();
    int number = 0;
    std::string message = dialler.start(kNow);
    bool to_acceptor = true;
    while (!message.empty()) {
      said.push_back(message);
      Handshake& receiver = to_acceptor ? acceptor : dialler;
      std::string answer =
          receiver.on_message(change(++number, message), to_acceptor ? theirs : kNow);
      if (to_acceptor && acceptor.state() == State::kProven) {
        answer = acceptor.accept();
      }
      message = std::move(answer);
      to_acceptor = !to_acceptor;
    }
  }

  void expect_refused(const Handshake& by, RefusalCode code) {
    const Handshake& other = &by == &dialler ? acceptor : dialler;
    EXPECT_EQ(by.state(), State::kRefused);
    EXPECT_EQ(by.refusal().code, code) << by.refusal().text;
    EXPECT_FALSE(by.refused_by_peer());
    EXPECT_EQ(other.state(), State::kRefused);
    EXPECT_EQ(other.refusal().code, code);
    EXPECT_EQ(other.refusal().text, by.refusal().text);
    EXPECT_TRUE(other.refused_by_peer());
  }

  Identity one = node("a:1");
  Identity two = node("b:2");
  Now theirs = kNow;
  Handshake dialler{one, Side::kDialler, "b:2", nonce(1)};
  Handshake acceptor{two, Side::kAcceptor, "", nonce(2)};
  std::vector<std::string> said;
};

TEST_F(HandshakeTest, BothKnowWhoTheOtherIs) {
  two.limits.calls_max = 77;
  run();
  EXPECT_EQ(said.size(), 4U);
  ASSERT_EQ(dialler.state(), State::kDone);
  ASSERT_EQ(acceptor.state(), State::kDone);
  EXPECT_EQ(dialler.agreement().peer, "b:2");
  EXPECT_EQ(acceptor.agreement().peer, "a:1");
  EXPECT_EQ(dialler.agreement().instance, two.instance);
  EXPECT_EQ(dialler.agreement().peer_limits.calls_max, 77U);
  EXPECT_FALSE(dialler.agreement().checksum);
}

TEST_F(HandshakeTest, ChecksumsAreUsedWhenEitherAsksForThem) {
  two.wants_checksum = true;
  run();
  EXPECT_TRUE(dialler.agreement().checksum);
  EXPECT_TRUE(acceptor.agreement().checksum);
}

TEST_F(HandshakeTest, AnotherSecretIsRefusedOnBothSides) {
  two.secret = "another secret, as long";
  run();
  expect_refused(acceptor, RefusalCode::kSecret);
}

TEST_F(HandshakeTest, NoSecretIsNotEnoughForWhoHasOne) {
  one.secret.clear();
  run();
  expect_refused(acceptor, RefusalCode::kSecret);
}

TEST_F(HandshakeTest, WithoutSecretsNothingIsProven) {
  one.secret.clear();
  two.secret.clear();
  run();
  EXPECT_EQ(dialler.state(), State::kDone);
}

TEST_F(HandshakeTest, AnAcceptorThatDoesNotKnowTheSecretIsRefused) {
  run([](int number, std::string message) {
    return number == 4 ? encode(HandshakeType::kWelcome, Proof{}) : message;
  });
  EXPECT_EQ(dialler.state(), State::kRefused);
  EXPECT_EQ(dialler.refusal().code, RefusalCode::kSecret);
}

TEST_F(HandshakeTest, AProofSentBackProvesNothing) {
  std::string proof;
  run([&proof](int number, std::string message) {
    if (number == 3) {
      proof = message;
    }
    // A reflection: the dialler's own proof as the acceptor's.
    return number == 4 ? "\x03" + proof.substr(1) : message;
  });
  EXPECT_EQ(dialler.refusal().code, RefusalCode::kSecret);
}

TEST_F(HandshakeTest, AReplayedHandshakeProvesNothing) {
  run();
  const std::vector<std::string> recorded = said;
  Handshake again(two, Side::kAcceptor, "", nonce(3));
  static_cast<void>(again.on_message(recorded[0], kNow));
  static_cast<void>(again.on_message(recorded[2], kNow));
  EXPECT_EQ(again.state(), State::kRefused);
  EXPECT_EQ(again.refusal().code, RefusalCode::kSecret);
}

TEST_F(HandshakeTest, AHelloSentBackIsRefused) {
  static_cast<void>(dialler.start(kNow));
  Handshake mirror(one, Side::kDialler, "", nonce(1));
  static_cast<void>(dialler.on_message(mirror.start(kNow), kNow));
  EXPECT_EQ(dialler.state(), State::kRefused);
}

TEST_F(HandshakeTest, NothingOfAHelloCanBeChangedOnItsWay) {
  const std::size_t size = dialler.start(kNow).size();
  for (std::size_t at = 0; at < size; ++at) {
    Handshake from(one, Side::kDialler, "b:2", nonce(1));
    Handshake to(two, Side::kAcceptor, "", nonce(2));
    std::string hello = from.start(kNow);
    hello[at] = static_cast<char>(hello[at] ^ 1);
    const std::string answer = to.on_message(hello, kNow);
    const std::string proof = from.on_message(answer, kNow);
    static_cast<void>(to.on_message(proof, kNow));
    EXPECT_EQ(to.state(), State::kRefused) << at;
  }
}

TEST_F(HandshakeTest, AnotherNameThanTheOneDialledIsRefused) {
  two.name = "c:3";
  run();
  expect_refused(acceptor, RefusalCode::kName);
}

TEST_F(HandshakeTest, TheDiallerRefusesAWrongNameToo) {
  run([](int number, std::string message) {
    if (number != 1) {
      return message;
    }
    Hello hello = *decode_hello(message);
    hello.peer.clear();
    return encode(hello);
  });
  EXPECT_EQ(dialler.state(), State::kRefused);  // the proof is over what was said
  two.name = "c:3";
  Handshake from(one, Side::kDialler, "b:2", nonce(1));
  Handshake other(two, Side::kAcceptor, "", nonce(2));
  Hello hello = *decode_hello(from.start(kNow));
  hello.peer.clear();
  const std::string refused = from.on_message(other.on_message(encode(hello), kNow), kNow);
  EXPECT_EQ(from.refusal().code, RefusalCode::kName);
  static_cast<void>(other.on_message(refused, kNow));
  EXPECT_TRUE(other.refused_by_peer());
}

TEST_F(HandshakeTest, ANodeOfTheSameNameIsRefused) {
  one.name = "b:2";
  run();
  expect_refused(acceptor, RefusalCode::kName);
}

TEST_F(HandshakeTest, ClocksThatAreTooFarApartAreRefusedAndOthersMeasured) {
  theirs.wall = kNow.wall + 5min;
  run();
  EXPECT_EQ(dialler.state(), State::kDone);
  EXPECT_EQ(dialler.agreement().skew, 5min);
  theirs.wall = kNow.wall - 5min - 1ms;
  Handshake from(one, Side::kDialler, "b:2", nonce(1));
  Handshake to(two, Side::kAcceptor, "", nonce(2));
  const std::string refused = to.on_message(from.start(kNow), theirs);
  static_cast<void>(from.on_message(refused, kNow));
  EXPECT_EQ(to.refusal().code, RefusalCode::kSkew);
  EXPECT_EQ(from.refusal().text, "the clocks are 300001 ms apart, 300000 ms are allowed");
}

TEST_F(HandshakeTest, ATimeAtTheEndOfTimeIsOnlySkewed) {
  run([](int number, std::string message) {
    if (number != 1) {
      return message;
    }
    Hello hello = *decode_hello(message);
    hello.time = WallTime::min();
    return encode(hello);
  });
  EXPECT_EQ(acceptor.refusal().code, RefusalCode::kSkew);
}

TEST_F(HandshakeTest, NoVersionInCommonIsRefused) {
  run([](int number, std::string message) {
    if (number != 1) {
      return message;
    }
    Hello hello = *decode_hello(message);
    hello.version_min = hello.version_max = 2;
    return encode(hello);
  });
  expect_refused(acceptor, RefusalCode::kVersion);
}

TEST_F(HandshakeTest, ALaterVersionsHelloMayBeLonger) {
  Hello hello;
  hello.name = "x";
  hello.instance.fill(1);
  EXPECT_EQ(*decode_hello(encode(hello) + "more"), hello);
}

TEST_F(HandshakeTest, LimitsThatNobodyCanWorkWithAreRefused) {
  one.limits.frame_bytes_max = 100;
  run();
  expect_refused(acceptor, RefusalCode::kLimits);
}

TEST_F(HandshakeTest, MessagesOutOfTurnAreRefused) {
  Handshake early(two, Side::kAcceptor, "", nonce(2));
  static_cast<void>(early.on_message(encode(HandshakeType::kProof, Proof{}), kNow));
  EXPECT_EQ(early.refusal().code, RefusalCode::kMalformed);
  for (const std::string_view message : {"", "\x01", "\x09xyz", "\x02short"}) {
    Handshake to(two, Side::kAcceptor, "", nonce(2));
    static_cast<void>(to.on_message(message, kNow));
    EXPECT_EQ(to.refusal().code, RefusalCode::kMalformed);
  }
}

TEST_F(HandshakeTest, TheOwnerMayRefuseWhoIsProven) {
  std::string message = dialler.start(kNow);
  message = dialler.on_message(acceptor.on_message(message, kNow), kNow);
  static_cast<void>(acceptor.on_message(message, kNow));
  ASSERT_EQ(acceptor.state(), State::kProven);
  static_cast<void>(dialler.on_message(acceptor.refuse({RefusalCode::kInUse, "taken"}), kNow));
  expect_refused(acceptor, RefusalCode::kInUse);
}

TEST_F(HandshakeTest, ARefusalsTextIsBounded) {
  const std::string long_text(1000, 'x');
  const Result<Refusal> refusal = decode_refusal(encode(Refusal{RefusalCode::kName, long_text}));
  EXPECT_EQ(refusal->text.size(), 255U);
}

}  // namespace
}  // namespace trunkline::grid
