// SPDX-License-Identifier: Apache-2.0
//
// A file that is written, renamed and emptied, and the copy of what is read of it.
#include "tail/follower.h"

#include "processes/child_process.h"
#include "tail/copy.h"

#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

namespace tail {
namespace {

using namespace std::chrono_literals;

class FollowerTest : public ::testing::Test {
 protected:
  void SetUp() override { begin(); }

  [[nodiscard]] std::filesystem::path file() const { return folder.path() / "log"; }

  void write(const std::string& text) const { std::ofstream(file(), std::ios::app) << text; }

  void rotate() const { std::filesystem::rename(file(), folder.path() / "log.1"); }

  // Both programs anew, from what is on disk.
  void begin() {
    copy.emplace(folder.path(), "copy");
    follower.emplace(file(), copy->position());
  }

  // Everything that there is for now; the kinds of pieces that begin something.
  std::vector<PieceKind> read() {
    std::vector<PieceKind> kinds;
    // What a file that was renamed still gets is waited for once.
    for (int looks = 0; looks < 3; ++looks, now += 1s) {
      while (const std::optional<Piece> piece = follower->next(now)) {
        if (piece->kind != PieceKind::kNext) {
          kinds.push_back(piece->kind);
        }
        EXPECT_TRUE(copy->take(*piece));
      }
    }
    return kinds;
  }

  [[nodiscard]] std::string copied() const {
    std::ostringstream text;
    text << std::ifstream(folder.path() / "copy").rdbuf();
    return text.str();
  }

  const trunkline::processes::TemporaryFolder folder;
  std::optional<Copy> copy;
  std::optional<Follower> follower;
  Follower::TimePoint now{100h};
};

using Kinds = std::vector<PieceKind>;

TEST_F(FollowerTest, ReadsWhatIsWrittenAlsoAFileThatComesLater) {
  EXPECT_EQ(read(), Kinds{});
  write("one");
  EXPECT_EQ(read(), Kinds{PieceKind::kBegins});
  write("two");
  EXPECT_EQ(read(), Kinds{});
  EXPECT_EQ(copied(), "onetwo");
}

TEST_F(FollowerTest, GoesOnWhereTheCopyStands) {
  write(std::string(100'000, 'x'));
  EXPECT_EQ(read(), Kinds{PieceKind::kBegins});
  write("more");
  begin();
  EXPECT_EQ(read(), Kinds{});
  EXPECT_EQ(copied(), std::string(100'000, 'x') + "more");
}

TEST_F(FollowerTest, ReadsAFileThatIsRotatedToItsEndFirst) {
  write("one");
  EXPECT_EQ(read(), Kinds{PieceKind::kBegins});
  write("two");
  rotate();
  write("three");
  EXPECT_EQ(read(), Kinds{PieceKind::kBegins});
  EXPECT_EQ(copied(), "onetwothree");
}

TEST_F(FollowerTest, FindsAFileThatWasRotatedMeanwhile) {
  write("one");
  EXPECT_EQ(read(), Kinds{PieceKind::kBegins});
  write("two");
  rotate();
  write("three");
  begin();
  EXPECT_EQ(read(), Kinds{PieceKind::kBegins});
  EXPECT_EQ(copied(), "onetwothree");
}

TEST_F(FollowerTest, SaysThatSomethingMayBeLostWhenAFileIsEmptied) {
  write("one");
  EXPECT_EQ(read(), Kinds{PieceKind::kBegins});
  std::filesystem::resize_file(file(), 0);
  EXPECT_EQ(read(), Kinds{PieceKind::kGap});
  write("two");
  EXPECT_EQ(read(), Kinds{});
  EXPECT_EQ(copied(), "onetwo");
}

TEST_F(FollowerTest, KnowsByItsFirstBytesAFileThatWasEmptiedAndHasGrownMeanwhile) {
  write("one");
  EXPECT_EQ(read(), Kinds{PieceKind::kBegins});
  std::filesystem::resize_file(file(), 0);
  write("another, and longer");
  begin();
  EXPECT_EQ(read(), Kinds{PieceKind::kGap});
  EXPECT_EQ(copied(), "oneanother, and longer");
}

TEST_F(FollowerTest, SaysThatSomethingMayBeLostWhenTheFileHasGone) {
  write("one");
  EXPECT_EQ(read(), Kinds{PieceKind::kBegins});
  rotate();
  std::filesystem::rename(folder.path() / "log.1", folder.path() / "kept");
  std::ofstream(folder.path() / "kept") << "else";
  write("two");
  begin();
  EXPECT_EQ(read(), Kinds{PieceKind::kGap});
  EXPECT_EQ(copied(), "onetwo");
}

TEST_F(FollowerTest, ACopyRefusesWhatDoesNotComeNext) {
  write("one");
  EXPECT_EQ(read(), Kinds{PieceKind::kBegins});
  const Position at = copy->position();
  EXPECT_EQ(at.offset, 3U);
  EXPECT_FALSE(copy->take({PieceKind::kNext, at.file, 2, "e"}));
  EXPECT_FALSE(copy->take({PieceKind::kNext, at.file, 4, "x"}));
  EXPECT_FALSE(copy->take({PieceKind::kNext, at.file + 1, 3, "x"}));
  EXPECT_EQ(copied(), "one");
}

}  // namespace
}  // namespace tail
