// SPDX-License-Identifier: Apache-2.0
#include "line_input.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string_view>
#include <thread>
#include <utility>

namespace trunkline::app {
namespace {

class LineInputTest : public ::testing::Test {
 protected:
  LineInputTest() { EXPECT_EQ(::pipe(ends_.data()), 0); }

  ~LineInputTest() override {
    ::close(ends_[0]);
    close_writer();
  }

  void write(std::string_view text) const {
    EXPECT_EQ(::write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  void close_writer() { ::close(std::exchange(ends_[1], -1)); }

  std::array<int, 2> ends_{};
};

TEST_F(LineInputTest, GivesLinesAsTheyComeAndTheLastWithoutNewline) {
  LineInput input(ends_[0]);
  write("one\n\ntw");
  EXPECT_EQ(input.next(), "one");
  EXPECT_EQ(input.next(), "");
  write("o\nrest");
  EXPECT_EQ(input.next(), "two");
  close_writer();
  EXPECT_EQ(input.next(), "rest");
  EXPECT_EQ(input.next(), std::nullopt);
}

TEST_F(LineInputTest, EndsAWaitFromAnotherThread) {
  LineInput input(ends_[0]);
  std::thread other([&input] { input.end(); });
  EXPECT_EQ(input.next(), std::nullopt);
  other.join();
}

}  // namespace
}  // namespace trunkline::app
