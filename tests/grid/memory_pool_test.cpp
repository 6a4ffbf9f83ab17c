// SPDX-License-Identifier: Apache-2.0
#include "grid/memory_pool.h"

#include <gtest/gtest.h>

namespace trunkline::grid {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kKiB = 1024;
constexpr TimePoint kStart{};

std::string buffer_of(std::size_t bytes) {
  std::string buffer;
  buffer.reserve(bytes);
  return buffer;
}

TEST(MemoryPool, WhatIsReservedIsNeverMoreThanThereIs) {
  MemoryPool pool(100);
  EXPECT_TRUE(pool.try_reserve(60));
  EXPECT_FALSE(pool.try_reserve(41));
  EXPECT_TRUE(pool.try_reserve(40));
  pool.release(100);
  EXPECT_EQ(pool.used(), 0U);
}

TEST(MemoryPool, ABufferThatNobodyHasTakenIsUsedAgain) {
  MemoryPool pool(1024 * kKiB);
  std::string buffer = buffer_of(100 * kKiB);
  const char* const memory = buffer.data();
  pool.give_buffer(std::move(buffer), kStart);
  bool is_new = true;
  const std::string again = pool.take_buffer(90 * kKiB, kStart, is_new);
  EXPECT_FALSE(is_new);
  EXPECT_EQ(again.data(), memory);
  EXPECT_TRUE(again.empty());
}

TEST(MemoryPool, ABufferIsNotUsedForWhatIsFarSmallerOrLarger) {
  MemoryPool pool(1024 * kKiB);
  pool.give_buffer(buffer_of(400 * kKiB), kStart);
  bool is_new = false;
  static_cast<void>(pool.take_buffer(40 * kKiB, kStart, is_new));
  EXPECT_TRUE(is_new);
  is_new = false;
  EXPECT_GE(pool.take_buffer(500 * kKiB, kStart, is_new).capacity(), 500 * kKiB);
  EXPECT_TRUE(is_new);
}

TEST(MemoryPool, BuffersGoWhenTheirRoomIsNeeded) {
  MemoryPool pool(200 * kKiB);
  pool.give_buffer(buffer_of(100 * kKiB), kStart);
  ASSERT_TRUE(pool.try_reserve(150 * kKiB));
  bool is_new = false;
  static_cast<void>(pool.take_buffer(100 * kKiB, kStart, is_new));
  EXPECT_TRUE(is_new);
  // Nor is one kept for which there is no room.
  pool.give_buffer(buffer_of(100 * kKiB), kStart);
  is_new = false;
  static_cast<void>(pool.take_buffer(100 * kKiB, kStart, is_new));
  EXPECT_TRUE(is_new);
  pool.release(150 * kKiB);
}

TEST(MemoryPool, BuffersGoWhenNobodyHasUsedThemForAWhile) {
  MemoryPool pool(1024 * kKiB);
  pool.give_buffer(buffer_of(100 * kKiB), kStart);
  pool.drop_buffers(kStart + 9s, 10s);
  bool is_new = true;
  pool.give_buffer(pool.take_buffer(100 * kKiB, kStart, is_new), kStart);
  EXPECT_FALSE(is_new);
  pool.drop_buffers(kStart + 10s, 10s);
  static_cast<void>(pool.take_buffer(100 * kKiB, kStart, is_new));
  EXPECT_TRUE(is_new);
}

}  // namespace
}  // namespace trunkline::grid
