// SPDX-License-Identifier: Apache-2.0
#include "grid/id_map.h"

#include "core/random.h"
#include "grid/mux_fixture.h"

#include <cstdint>
#include <map>
#include <memory>

namespace trunkline::grid {
namespace {

class IdMapTest : public MuxTest {
 protected:
  void SetUp() override {
    MuxTest::SetUp();
    calls = std::make_unique<CallTable>(*a->mux);
    ids = std::make_unique<IdMap>(*calls);
  }

  Call& insert(std::uint64_t id) {
    Call& call = calls->take();
    call.wire_id = id;
    ids->insert(call);
    return call;
  }

  void erase(Call& call) {
    ids->erase(call);
    calls->give_back(call);
  }

  std::unique_ptr<CallTable> calls;
  std::unique_ptr<IdMap> ids;
};

TEST_F(IdMapTest, AgreesWithAMapWhateverIsDone) {
  Random random(5);
  std::map<std::uint64_t, std::uint32_t> slow;
  std::uint64_t last = 1;
  for (int step = 0; step < 200'000; ++step) {
    if (slow.empty() || (random.one_in(2) && slow.size() < 300)) {
      last += 2 * (1 + random.below(3));
      slow[last] = insert(last).index;
    } else {
      const auto chosen =
          std::next(slow.begin(), static_cast<std::ptrdiff_t>(random.below(slow.size())));
      erase((*calls)[chosen->second]);
      slow.erase(chosen);
    }
    const std::uint64_t asked = 1 + random.below(last + 4);
    const auto found = slow.find(asked);
    ASSERT_EQ(ids->find(asked), found == slow.end() ? IdMap::kNone : found->second);
    ASSERT_EQ(ids->size(), slow.size());
  }
  for (const auto& [id, index] : slow) {
    EXPECT_EQ(ids->find(id), index);
  }
}

TEST_F(IdMapTest, IdsThatDifferOnlyInTheirUpperHalfAreToldApart) {
  constexpr std::uint64_t kFar = 1UL << 32U;
  std::map<std::uint64_t, std::uint32_t> slow;
  for (std::uint64_t far = 0; far < 5; ++far) {
    for (std::uint64_t low = 1; low < 40; low += 2) {
      slow[far * kFar + low] = insert(far * kFar + low).index;
    }
  }
  const std::uint32_t of_low_0 = insert(3 * kFar).index;
  EXPECT_EQ(ids->find(3 * kFar), of_low_0);
  EXPECT_EQ(ids->find(4 * kFar), IdMap::kNone);
  for (std::uint64_t far : {1U, 3U, 0U}) {
    for (std::uint64_t low = 1; low < 40; low += 2) {
      const auto gone = slow.find(far * kFar + low);
      erase((*calls)[gone->second]);
      slow.erase(gone);
      EXPECT_EQ(ids->find(far * kFar + low), IdMap::kNone);
      for (const auto& [id, index] : slow) {
        ASSERT_EQ(ids->find(id), index);
      }
    }
  }
}

TEST_F(IdMapTest, AnEmptyOneFindsNothing) {
  EXPECT_EQ(ids->find(1), IdMap::kNone);
  erase(insert(1));
  EXPECT_EQ(ids->find(1), IdMap::kNone);
  ids->shed();
  EXPECT_EQ(ids->find(1), IdMap::kNone);
  EXPECT_EQ(ids->find(3), IdMap::kNone);
  const std::uint32_t index = insert(3).index;
  EXPECT_EQ(ids->find(3), index);
}

}  // namespace
}  // namespace trunkline::grid
