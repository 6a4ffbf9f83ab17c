// SPDX-License-Identifier: Apache-2.0
#include <trunkline/grid_msgpack.h>

#include "grid_msgpack/allocations.h"
#include "net/grid_fixture.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

namespace trunkline {
namespace {

enum class Mode : std::uint8_t { kRead, kWrite };

}  // namespace
}  // namespace trunkline

MSGPACK_ADD_ENUM(trunkline::Mode)

namespace trunkline {
namespace {

struct LockArguments {
  std::string uid{};
  std::vector<std::string> resources{};
  std::string owner{};
  std::int32_t quorum = 0;
  Mode mode = Mode::kRead;
  MSGPACK_DEFINE(uid, resources, owner, quorum, mode)

  friend bool operator==(const LockArguments&, const LockArguments&) = default;
};

struct ByName {
  std::int64_t count = 0;
  std::optional<std::string> note{};
  MSGPACK_DEFINE_MAP(count, note)

  friend bool operator==(const ByName&, const ByName&) = default;
};

// Contains itself, so the payload says how deep it is.
struct Tree {
  std::vector<Tree> children{};
  MSGPACK_DEFINE(children)
};

// Packed by the program's own code.
struct Own {
  std::string text{};
};

// Unpacks another payload while it is unpacked.
struct Nested {
  std::vector<int> inner{};
  std::string after{};

  template <class Packer>
  void msgpack_pack(Packer& packer) const {
    Bytes bytes;
    GridCodec<std::vector<int>>::pack(inner, bytes);
    packer.pack_array(2);
    packer.pack(bytes);
    packer.pack(after);
  }

  void msgpack_unpack(const msgpack::object& object) {
    const auto parts = object.as<std::tuple<std::string, std::string>>();
    if (!GridCodec<std::vector<int>>::unpack(std::get<0>(parts), inner)) {
      throw msgpack::type_error();
    }
    after = object.via.array.ptr[1].as<std::string>();
  }
};

}  // namespace

template <>
struct GridCodec<Own> {
  static void pack(const Own& own, Bytes& out) { out += "own:" + own.text; }

  static bool unpack(std::string_view bytes, Own& own) {
    own.text = bytes;
    return bytes.starts_with("own:");
  }
};

namespace {

template <class T>
Bytes packed(const T& value) {
  Bytes bytes;
  GridCodec<T>::pack(value, bytes);
  return bytes;
}

template <class T>
std::optional<T> unpacked(std::string_view bytes) {
  T value{};
  return GridCodec<T>::unpack(bytes, value) ? std::optional(std::move(value)) : std::nullopt;
}

template <class T>
void expect_comes_back(const T& value) {
  const std::optional<T> back = unpacked<T>(packed(value));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, value);
}

const LockArguments kLock{"6f1c", {"disk/1", "disk/2"}, "node-17.example:9000", 3, Mode::kWrite};

TEST(GridMsgpack, WhatMsgpackCanPackComesBack) {
  expect_comes_back(kLock);
  expect_comes_back(ByName{-5, "note"});
  expect_comes_back(ByName{1, std::nullopt});
  expect_comes_back(true);
  expect_comes_back(std::int64_t{-3'000'000'000});
  expect_comes_back(std::uint64_t{1} << 63U);
  expect_comes_back(1.5F);
  expect_comes_back(-0.25);
  expect_comes_back(std::string(100'000, 'x'));
  expect_comes_back(std::vector<char>{'a', '\0', 'b'});
  expect_comes_back(std::vector<std::uint8_t>(70'000, 7));
  expect_comes_back(std::map<std::string, std::vector<int>>{{"a", {}}, {"b", {1, -2, 70'000}}});
  expect_comes_back(std::set<int>{3, 1, 2});
  expect_comes_back(std::tuple<int, std::string, bool>{1, "x", true});
  expect_comes_back(std::optional<int>{});
  expect_comes_back(Mode::kWrite);
}

TEST(GridMsgpack, PackingAppends) {
  Bytes bytes = "in front";
  GridCodec<int>::pack(7, bytes);
  EXPECT_EQ(bytes, "in front\x07");
}

TEST(GridMsgpack, AProgramsOwnCodecWins) {
  EXPECT_EQ(packed(Own{"text"}), "own:text");
  static_assert(!GridMsgpackType<std::string_view>);
  static_assert(!GridMsgpackType<msgpack::object>);
}

TEST(GridMsgpack, ASmallStructCostsNoAllocationOnceThereAreBuffers) {
  Bytes bytes;
  LockArguments back;
  std::size_t before = 0;
  for (int round = 0; round < 3; ++round) {
    before = allocations();
    bytes.clear();
    GridCodec<LockArguments>::pack(kLock, bytes);
    ASSERT_TRUE(GridCodec<LockArguments>::unpack(bytes, back));
  }
  EXPECT_EQ(allocations() - before, 0U);
  EXPECT_EQ(back, kLock);
}

TEST(GridMsgpack, WhatIsCutShortOrOfAnotherTypeIsNone) {
  const Bytes bytes = packed(kLock);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(unpacked<LockArguments>(bytes.substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(unpacked<LockArguments>(bytes + '\0').has_value());
  EXPECT_FALSE(unpacked<LockArguments>(packed(std::string("text"))).has_value());
  EXPECT_FALSE(unpacked<std::uint8_t>(packed(256)).has_value());
  EXPECT_FALSE(unpacked<unsigned>(packed(-1)).has_value());
  EXPECT_FALSE(unpacked<int>("\xc1").has_value());
  EXPECT_TRUE(unpacked<LockArguments>(bytes).has_value());
}

TEST(GridMsgpack, EveryByteMayBeAnother) {
  const Bytes bytes = packed(kLock);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      Bytes other = bytes;
      other[at] = static_cast<char>(value);
      static_cast<void>(unpacked<LockArguments>(other));  // no exception, nothing read beyond
    }
  }
  EXPECT_EQ(unpacked<LockArguments>(bytes), kLock);
}

TEST(GridMsgpack, WhatIsClaimedMustBeThere) {
  EXPECT_FALSE(unpacked<std::vector<int>>("\xdd\xff\xff\xff\xff").has_value());
  EXPECT_FALSE((unpacked<std::map<int, int>>("\xdf\xff\xff\xff\xff").has_value()));
  EXPECT_FALSE(unpacked<std::string>("\xdb\xff\xff\xff\xff").has_value());
  EXPECT_FALSE(unpacked<std::vector<char>>("\xc6\xff\xff\xff\xff").has_value());
  // Arrays in arrays, each of which claims as much as could be there.
  Bytes bytes;
  for (int depth = 0; depth < 20'000; ++depth) {
    bytes += std::string("\xdd\x00\x01\x00\x00", 5);
  }
  EXPECT_FALSE(unpacked<Tree>(bytes).has_value());
}

TEST(GridMsgpack, DepthIsBounded) {
  const auto of_depth = [](std::size_t levels) { return Bytes(levels, '\x91') + '\x90'; };
  EXPECT_TRUE(unpacked<Tree>(of_depth(kGridMsgpackDepthMax - 1)).has_value());
  EXPECT_FALSE(unpacked<Tree>(of_depth(kGridMsgpackDepthMax + 1)).has_value());
  EXPECT_FALSE(unpacked<Tree>(of_depth(1'000'000)).has_value());
}

TEST(GridMsgpack, AnUnpackingMayHaveAnotherInside) {
  const Nested nested{{1, 2, 3}, "after"};
  const std::optional<Nested> back = unpacked<Nested>(packed(nested));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->inner, nested.inner);
  EXPECT_EQ(back->after, "after");
}

class GridMsgpackCalls : public net::TwoNodes {};

TEST_F(GridMsgpackCalls, TypedHandlersAndCalls) {
  two->handle<LockArguments, std::map<std::string, bool>>(
      "lock", [](LockArguments lock, GridRequest) -> Task<GridResult<std::map<std::string, bool>>> {
        std::map<std::string, bool> locked;
        for (const std::string& resource : lock.resources) {
          locked[resource] = resource != "disk/2";
        }
        co_return locked;
      });
  const auto locked =
      net::run(to_two->call<LockArguments, std::map<std::string, bool>>("lock", kLock, patient()));
  EXPECT_EQ(locked.value(), (std::map<std::string, bool>{{"disk/1", true}, {"disk/2", false}}));
  const auto wrong = net::run(to_two->call<int, int>("lock", 5, patient()));
  EXPECT_EQ(wrong.error().text, "the request is of another type");
  EXPECT_EQ(wrong.error().origin, GridOrigin::kHandler);
}

}  // namespace
}  // namespace trunkline
