// SPDX-License-Identifier: Apache-2.0
#include "grid/call_table.h"

#include "grid/mux_fixture.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace trunkline::grid {
namespace {

class CallTableTest : public MuxTest {
 protected:
  void SetUp() override {
    MuxTest::SetUp();
    table = std::make_unique<CallTable>(*a->mux);
  }

  std::vector<Call*> take(std::uint32_t count) {
    std::vector<Call*> calls;
    for (std::uint32_t i = 0; i < count; ++i) {
      calls.push_back(&table->take());
    }
    return calls;
  }

  std::unique_ptr<CallTable> table;
};

constexpr std::uint32_t kMany = 5 * CallTable::kBlockCalls + 1;

TEST_F(CallTableTest, HoldsNothingBeforeTheFirstCall) {
  EXPECT_EQ(table->size(), 0U);
  EXPECT_EQ(table->live(), 0U);
}

TEST_F(CallTableTest, CallsStayWhereTheyAreWhileItGrows) {
  const std::vector<Call*> calls = take(kMany);
  EXPECT_EQ(table->live(), kMany);
  EXPECT_EQ(table->size(), 6U * CallTable::kBlockCalls);
  for (std::uint32_t i = 0; i < kMany; ++i) {
    EXPECT_EQ(calls[i]->index, i);
    EXPECT_EQ(&(*table)[i], calls[i]);
    EXPECT_EQ(calls[i]->mux, a->mux.get());
  }
}

TEST_F(CallTableTest, PlacesAreUsedAgainBeforeThereAreMore) {
  const std::vector<Call*> calls = take(2 * CallTable::kBlockCalls);
  std::set<std::uint32_t> given_back;
  for (std::size_t i = 0; i < calls.size(); i += 3) {
    given_back.insert(calls[i]->index);
    table->give_back(*calls[i]);
  }
  EXPECT_EQ(table->live(), calls.size() - given_back.size());
  while (!given_back.empty()) {
    EXPECT_EQ(given_back.erase(table->take().index), 1U);
  }
  EXPECT_EQ(table->size(), 2U * CallTable::kBlockCalls);
}

TEST_F(CallTableTest, APlaceIsAsNewWhenItIsTakenAgain) {
  Call& call = table->take();
  const CallRef first{call.index, call.generation};
  call.is_own = call.is_deaf = call.owes_credit = call.input_ended = true;
  call.rare_part().unlisted_name = "x";
  call.granted = call.reserved = call.window_max = 7;
  table->give_back(call);
  EXPECT_FALSE(call.in_use());
  Call& again = table->take();
  EXPECT_EQ(&again, &call);
  EXPECT_NE((CallRef{again.index, again.generation}), first);
  EXPECT_FALSE(again.is_own || again.is_deaf || again.owes_credit || again.input_ended);
  EXPECT_EQ(again.rare, nullptr);
  EXPECT_EQ(again.granted + again.reserved + again.window_max, 0U);
  EXPECT_EQ(again.deadline(), TimePoint::max());
}

TEST_F(CallTableTest, ABurstIsLetGoOfWhenAllOfItIsOver) {
  const std::vector<Call*> burst = take(kMany);
  std::uint32_t generation = 0;
  for (Call* call : burst) {
    EXPECT_FALSE(table->shed());
    generation = std::max(generation, call->generation);
    table->give_back(*call);
  }
  EXPECT_TRUE(table->shed());
  EXPECT_EQ(table->size(), 0U);
  EXPECT_GT(table->take().generation, generation);
}

TEST_F(CallTableTest, TheBlockOfAFewCallsIsKept) {
  for (Call* call : take(CallTable::kBlockCalls)) {
    table->give_back(*call);
  }
  EXPECT_FALSE(table->shed());
  EXPECT_EQ(table->size(), CallTable::kBlockCalls);
}

}  // namespace
}  // namespace trunkline::grid
