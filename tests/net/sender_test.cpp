// SPDX-License-Identifier: Apache-2.0
#include "net/sender.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

namespace trunkline::net {
namespace {

// Two connected sockets.
class Pair {
 public:
  Pair() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_.data()), 0); }

  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  ~Pair() {
    for (const int end : ends_) {
      ::close(end);
    }
  }

  [[nodiscard]] int near() const { return ends_[0]; }

  // Everything that has arrived.
  [[nodiscard]] std::string received() const {
    std::string all;
    std::array<char, 4096> buffer{};
    while (true) {
      const ssize_t count = ::recv(ends_[1], buffer.data(), buffer.size(), 0);
      if (count <= 0) {
        return all;
      }
      all.append(buffer.data(), static_cast<std::size_t>(count));
    }
  }

  void end_reading() { ::shutdown(ends_[1], SHUT_RD); }

 private:
  std::array<int, 2> ends_{-1, -1};
};

// Both ways of sending must do the same.
class SenderTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!GetParam()) {
      sender = make_direct_sender();
      return;
    }
    auto ring = make_ring_sender();
    if (!ring.has_value()) {
      GTEST_SKIP() << to_string(ring.error());
    }
    sender = std::move(*ring);
  }

  // In batches of what the sender takes.
  void send(std::vector<Send>& all) {
    for (std::size_t at = 0; at < all.size(); at += sender->batch_max()) {
      sender->send(std::span(all).subspan(at, std::min(sender->batch_max(), all.size() - at)));
    }
  }

  std::unique_ptr<Sender> sender;
};

TEST_P(SenderTest, GivesEachSocketItsOwnBytesInTheOrderOfTheSpans) {
  std::vector<Pair> pairs(70);
  std::vector<std::vector<std::string>> texts(pairs.size());
  std::vector<std::vector<std::string_view>> spans(pairs.size());
  std::vector<Send> sends;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    for (std::size_t part = 0; part <= i % Send::kSpansMax; ++part) {
      texts[i].push_back(std::to_string(i) + "/" + std::to_string(part) + ";");
    }
    spans[i].assign(texts[i].begin(), texts[i].end());
    sends.push_back({.descriptor = pairs[i].near(), .spans = spans[i], .result = 0});
  }
  send(sends);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    std::string whole;
    for (const std::string& text : texts[i]) {
      whole += text;
    }
    EXPECT_EQ(sends[i].result, static_cast<ssize_t>(whole.size()));
    EXPECT_EQ(pairs[i].received(), whole);
  }
}

TEST_P(SenderTest, TellsAPartAndARefusalAndWaitsForNeither) {
  Pair slow;
  Pair quick;
  const std::string large(8 << 20, 'x');
  const std::string small = "small";
  const std::array<std::string_view, 2> much = {large, large};
  const std::array<std::string_view, 1> little = {small};
  std::vector<Send> sends = {{.descriptor = slow.near(), .spans = much, .result = 0},
                             {.descriptor = quick.near(), .spans = little, .result = 0}};
  send(sends);
  EXPECT_GT(sends[0].result, 0);
  EXPECT_LT(sends[0].result, static_cast<ssize_t>(2 * large.size()));
  EXPECT_EQ(sends[1].result, 5);
  EXPECT_EQ(quick.received(), small);

  send(sends);
  EXPECT_EQ(sends[0].result, -EAGAIN);
  EXPECT_EQ(sends[1].result, 5);
  EXPECT_GT(slow.received().size(), 0U);
  send(sends);
  EXPECT_GT(sends[0].result, 0);
}

TEST_P(SenderTest, APeerThatHasGoneHarmsNobodyElse) {
  Pair gone;
  Pair there;
  gone.end_reading();
  const std::string text = "text";
  const std::array<std::string_view, 1> one = {text};
  std::vector<Send> sends = {{.descriptor = gone.near(), .spans = one, .result = 0},
                             {.descriptor = -1, .spans = one, .result = 0},
                             {.descriptor = there.near(), .spans = one, .result = 0}};
  send(sends);
  EXPECT_EQ(sends[0].result, -EPIPE);
  EXPECT_EQ(sends[1].result, -EBADF);
  EXPECT_EQ(sends[2].result, 4);
  EXPECT_EQ(there.received(), text);
}

INSTANTIATE_TEST_SUITE_P(Ways, SenderTest, ::testing::Values(false, true),
                         [](const auto& tested) { return tested.param ? "Ring" : "Direct"; });

}  // namespace
}  // namespace trunkline::net
