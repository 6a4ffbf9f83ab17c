// SPDX-License-Identifier: Apache-2.0
#include "locks/lock_table.h"

#include <gtest/gtest.h>

namespace locks {
namespace {

using namespace std::chrono_literals;

class Table : public ::testing::Test {
 protected:
  static LockRequest request(char owner, const std::string& name = "door") {
    LockRequest request{.owner = {}, .lease_ms = 1000, .name = name};
    request.owner.fill(owner);
    return request;
  }

  const LockTable::TimePoint start{100h};
  const LockTable::TimePoint up = start + 1s;
  LockTable table{1s, 2, start};
};

TEST_F(Table, GrantsNothingUntilWhatItMayHaveForgottenHasRunOut) {
  EXPECT_EQ(table.acquire(request('a'), up - 1ns).verdict, Verdict::kTooEarly);
  EXPECT_EQ(table.refresh(request('a'), up - 1ns).verdict, Verdict::kTooEarly);
  EXPECT_EQ(table.acquire(request('a'), up).verdict, Verdict::kGranted);
}

TEST_F(Table, ALockIsItsOwnersUntilItsLeaseHasRunOut) {
  EXPECT_EQ(table.acquire(request('a'), up).verdict, Verdict::kGranted);
  EXPECT_EQ(table.acquire(request('b'), up + 999ms).verdict, Verdict::kHeld);
  EXPECT_EQ(table.acquire(request('b'), up + 1s).verdict, Verdict::kGranted);
  EXPECT_EQ(table.refresh(request('a'), up + 1s).verdict, Verdict::kHeld);
}

TEST_F(Table, ARefreshMakesItLongerAndSaysWhetherThereWasAGap) {
  EXPECT_EQ(table.refresh(request('a'), up).verdict, Verdict::kGranted);
  EXPECT_EQ(table.refresh(request('a'), up + 900ms).verdict, Verdict::kKept);
  EXPECT_EQ(table.acquire(request('b'), up + 1800ms).verdict, Verdict::kHeld);
  EXPECT_EQ(table.refresh(request('a'), up + 1900ms).verdict, Verdict::kGranted);
}

TEST_F(Table, OneThatIsLateDoesNotMakeItShorter) {
  LockRequest brief = request('a');
  brief.lease_ms = 1;
  EXPECT_EQ(table.acquire(request('a'), up).verdict, Verdict::kGranted);
  EXPECT_EQ(table.refresh(brief, up + 10ms).verdict, Verdict::kKept);
  EXPECT_EQ(table.acquire(request('b'), up + 999ms).verdict, Verdict::kHeld);
}

TEST_F(Table, OnlyItsOwnerGivesItBack) {
  EXPECT_EQ(table.acquire(request('a'), up).verdict, Verdict::kGranted);
  EXPECT_EQ(table.release(request('b'), up).verdict, Verdict::kReleased);
  EXPECT_EQ(table.acquire(request('b'), up).verdict, Verdict::kHeld);
  EXPECT_EQ(table.release(request('a'), up).verdict, Verdict::kReleased);
  EXPECT_EQ(table.acquire(request('b'), up).verdict, Verdict::kGranted);
}

TEST_F(Table, RefusesWhatItCannotKeep) {
  LockRequest endless = request('a');
  endless.lease_ms = 1001;
  EXPECT_EQ(table.acquire(endless, up).verdict, Verdict::kRefused);
  EXPECT_EQ(table.acquire(request('a', "1"), up).verdict, Verdict::kGranted);
  EXPECT_EQ(table.acquire(request('a', "2"), up).verdict, Verdict::kGranted);
  EXPECT_EQ(table.acquire(request('a', "3"), up).verdict, Verdict::kRefused);
  // What has run out makes room.
  EXPECT_EQ(table.acquire(request('a', "3"), up + 1s).verdict, Verdict::kGranted);
  EXPECT_EQ(table.size(), 1U);
}

TEST(LockMessages, GoThroughTheirCodec) {
  LockRequest request{.owner = {}, .lease_ms = 0x81020304, .name = "door"};
  request.owner.fill('\xfe');
  trunkline::Bytes bytes;
  trunkline::GridCodec<LockRequest>::pack(request, bytes);
  EXPECT_EQ(bytes.size(), 24U);
  LockRequest read;
  ASSERT_TRUE(trunkline::GridCodec<LockRequest>::unpack(bytes, read));
  EXPECT_EQ(read.owner, request.owner);
  EXPECT_EQ(read.lease_ms, request.lease_ms);
  EXPECT_EQ(read.name, "door");
  EXPECT_FALSE(trunkline::GridCodec<LockRequest>::unpack(bytes.substr(0, 20), read));
  LockReply reply;
  EXPECT_FALSE(trunkline::GridCodec<LockReply>::unpack("\x7f", reply));
  EXPECT_FALSE(trunkline::GridCodec<LockReply>::unpack("", reply));
}

}  // namespace
}  // namespace locks
