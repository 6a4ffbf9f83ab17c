// SPDX-License-Identifier: Apache-2.0
#include "grid/id_map.h"

#include "core/random.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <vector>

namespace trunkline::grid {
namespace {

TEST(IdMap, AgreesWithAMapWhateverIsDone) {
  Random random(5);
  IdMap ids;
  std::map<std::uint64_t, std::uint32_t> slow;
  std::uint64_t last = 1;
  for (int step = 0; step < 200'000; ++step) {
    if (slow.empty() || (random.one_in(2) && slow.size() < 300)) {
      last += 2 * (1 + random.below(3));
      const auto value = static_cast<std::uint32_t>(random.next());
      ids.insert(last, value);
      slow[last] = value;
    } else {
      const auto chosen =
          std::next(slow.begin(), static_cast<std::ptrdiff_t>(random.below(slow.size())));
      ids.erase(chosen->first);
      slow.erase(chosen);
    }
    const std::uint64_t asked = 1 + random.below(last + 4);
    const auto found = slow.find(asked);
    ASSERT_EQ(ids.find(asked), found == slow.end() ? IdMap::kNone : found->second);
    ASSERT_EQ(ids.size(), slow.size());
  }
  for (const auto& [id, value] : slow) {
    EXPECT_EQ(ids.find(id), value);
  }
}

TEST(IdMap, AnEmptyOneFindsNothing) {
  const IdMap ids;
  EXPECT_EQ(ids.find(1), IdMap::kNone);
}

}  // namespace
}  // namespace trunkline::grid
