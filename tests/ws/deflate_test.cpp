// SPDX-License-Identifier: Apache-2.0
#include "ws/deflate.h"

#include "core/random.h"
#include "ws/deflate_fixture.h"

#include <zlib.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace trunkline::ws {
namespace {

using namespace std::string_literals;

constexpr std::size_t kNoLimit = 100UL << 20U;
constexpr DeflateParameters kNoContext{.server_no_context_takeover = true,
                                       .client_no_context_takeover = true};

std::string random_bytes(Random& random, std::size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(static_cast<unsigned char>(random.next() >> 13U));
  }
  return bytes;
}

// Words from a small vocabulary: compresses, and refers back at every distance.
std::string random_text(Random& random, std::size_t size) {
  std::string text;
  while (text.size() < size) {
    text += "\"word" + std::to_string(random.below(300)) + "\": ";
  }
  text.resize(size);
  return text;
}

std::string deflated(Deflater& deflater, std::string_view message) {
  std::string payload;
  deflater.compress(message, payload);
  return payload;
}

std::string inflated(Inflater& inflater, std::string_view payload) {
  std::vector<char> message;
  EXPECT_TRUE(inflater.inflate(payload, message, kNoLimit).has_value());
  EXPECT_TRUE(inflater.finish(message, kNoLimit).has_value());
  return {message.begin(), message.end()};
}

TEST(Deflater, MakesTheExampleOfTheRfc) {
  Deflater deflater({}, kWindowBitsMax);
  EXPECT_EQ(deflated(deflater, "Hello"), "\xF2\x48\xCD\xC9\xC9\x07\x00"s);
  EXPECT_EQ(deflated(deflater, "Hello"), "\xF2\x00\x11\x00\x00"s);  // with the window of the first
  deflater.reset();
  EXPECT_EQ(deflated(deflater, "Hello"), "\xF2\x48\xCD\xC9\xC9\x07\x00"s);
}

TEST(Deflater, MakesOneByteOfAnEmptyMessageEveryTime) {
  Deflater deflater({}, kWindowBitsMax);
  Inflater inflater(kWindowBitsMax);
  for (const std::string_view message : {"", "", "Hello", "", "", "Hello"}) {
    const std::string payload = deflated(deflater, message);
    EXPECT_EQ(payload == "\0"s, message.empty());
    EXPECT_EQ(inflated(inflater, payload), message);
  }
}

TEST(Deflater, RoundTripsWithEveryWindowLevelAndMemoryLevel) {
  Random random(7692);
  const std::string message = random_text(random, 40'000) + random_bytes(random, 3000);
  for (std::uint8_t bits = kWindowBitsMin; bits <= kWindowBitsMax; ++bits) {
    for (int level = 0; level <= 9; ++level) {
      const CompressionSettings settings{.level = level, .memory_level = 1 + level % 9};
      Deflater deflater(settings, bits);
      Inflater inflater(bits);
      for (int i = 0; i < 3; ++i) {
        ASSERT_EQ(inflated(inflater, deflated(deflater, message)), message)
            << int{bits} << " " << level;
      }
    }
  }
}

// Byte by byte out of zlib, which then has nothing but the agreed window to refer to.
TEST(Deflater, RefersToNothingOutsideItsWindow) {
  Random random(8);
  const std::string message = random_text(random, 100'000) + std::string(2000, 'r');
  for (std::uint8_t bits = kWindowBitsMin; bits <= kWindowBitsMax; ++bits) {
    Deflater deflater({.level = 6}, bits);
    const std::string payload = deflated(deflater, message) + "\x00\x00\xFF\xFF"s;
    z_stream stream{};
    ASSERT_EQ(inflateInit2(&stream, -int{bits}), Z_OK);
    stream.next_in = reinterpret_cast<const Bytef*>(payload.data());
    stream.avail_in = static_cast<uInt>(payload.size());
    std::string out;
    Bytef byte = 0;
    int status = Z_OK;
    while (status == Z_OK) {
      stream.next_out = &byte;
      stream.avail_out = 1;
      status = ::inflate(&stream, Z_SYNC_FLUSH);
      if (stream.avail_out == 0) {
        out += static_cast<char>(byte);
      }
    }
    inflateEnd(&stream);
    EXPECT_EQ(status, Z_BUF_ERROR) << int{bits};
    EXPECT_EQ(out, message) << int{bits};
    EXPECT_LT(payload.size(), message.size()) << int{bits};
  }
}

// The output of such messages is longer than they are, and than deflateBound says.
TEST(Deflater, RoundTripsIncompressibleMessages) {
  Random random(1951);
  for (const std::size_t size : {65'535UL, 65'536UL, 65'537UL, 70'000UL, 131'072UL, 1UL << 20U}) {
    for (const int memory_level : {1, 8, 9}) {
      const std::string message = random_bytes(random, size);
      Deflater deflater({.memory_level = memory_level}, kWindowBitsMax);
      Inflater inflater(kWindowBitsMax);
      const std::string payload = deflated(deflater, message);
      EXPECT_GT(payload.size(), size);
      ASSERT_EQ(inflated(inflater, payload), message) << size;
    }
  }
}

// At the sizes around its own steps zlib is left with a full buffer, and may flush twice.
TEST(Deflater, RoundTripsWhereTheOutputJustFillsAStep) {
  Random random(1024);
  const std::string message = random_bytes(random, 1100);
  Deflater deflater({}, kWindowBitsMax);
  Inflater inflater(kWindowBitsMax);
  for (std::size_t size = 980; size <= 1060; ++size) {
    deflater.reset();
    inflater.reset();
    ASSERT_EQ(inflated(inflater, deflated(deflater, message.substr(0, size))),
              message.substr(0, size));
  }
}

TEST(Inflater, StopsAtTheLimit) {
  Deflater deflater({}, kWindowBitsMax);
  const std::string bomb = deflated(deflater, std::string(64UL << 20U, '\0'));
  for (const std::size_t limit : {0UL, 1UL, 100'000UL}) {
    Inflater inflater(kWindowBitsMax);
    std::vector<char> message;
    const auto result = inflater.inflate(bomb, message, limit);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::kMessageTooBig);
    EXPECT_EQ(message.size(), limit);
    EXPECT_LE(message.capacity(), 2 * limit + 2);
  }
}

TEST(Inflater, TakesTheLargestLimit) {
  Inflater inflater(kWindowBitsMax);
  std::vector<char> message;
  EXPECT_TRUE(inflater.inflate("\xF2\x48\xCD\xC9\xC9\x07\x00"s, message, SIZE_MAX).has_value());
  EXPECT_EQ(std::string(message.begin(), message.end()), "Hello");
}

TEST(DeflateSender, SendsPlainWhatIsBelowTheThreshold) {
  DeflateScratch scratch({.threshold_bytes = 10});
  DeflateSender sender(Role::kServer, {}, scratch);
  EXPECT_EQ(sender.frame(Opcode::kText, std::string(9, 'x')), "\x81\x09xxxxxxxxx");
  EXPECT_EQ(sender.frame(Opcode::kText, std::string(10, 'x')).front(), '\xC1');
}

TEST(DeflateSender, SendsPlainWhatDoesNotShrinkWithoutContextTakeover) {
  Random random(3);
  const std::string noise = random_bytes(random, 500);
  DeflateScratch scratch({});
  DeflateSender sender(Role::kServer, kNoContext, scratch);
  EXPECT_EQ(sender.frame(Opcode::kBinary, noise), make_frame(Opcode::kBinary, noise));
}

// The state has seen the message, so the peer's window has to as well.
TEST(DeflateSender, SendsCompressedWhatDoesNotShrinkWithContextTakeover) {
  Random random(3);
  const std::string noise = random_bytes(random, 500);
  DeflateScratch scratch({});
  DeflateSender sender(Role::kServer, {}, scratch);
  DeflateReader client;
  const std::string first = sender.frame(Opcode::kBinary, noise);
  const std::string second = sender.frame(Opcode::kBinary, noise);
  EXPECT_LT(second.size(), 50U);
  ASSERT_TRUE(client.read(first + second));
  EXPECT_EQ(client.recorder.events, "binary:" + noise + ";binary:" + noise + ";");
}

TEST(DeflateSender, MasksInTheClientRole) {
  DeflateScratch scratch({.threshold_bytes = 0});
  DeflateSender sender(Role::kClient, {}, scratch);
  EXPECT_EQ(
      sender.masked_frame(Opcode::kText, "Hello", {1, 2, 3, 4}),
      make_masked_frame(Opcode::kText, "\xF2\x48\xCD\xC9\xC9\x07\x00"s, {1, 2, 3, 4}, Rsv1::kSet));
}

TEST(CompressedFrame, IsTakenByEveryConnectionWithoutContextTakeover) {
  Random random(5);
  const std::string text = random_text(random, 2000);
  DeflateScratch scratch({});
  const auto frame = make_compressed_frame(Opcode::kText, text, scratch);
  ASSERT_TRUE(frame.has_value());
  EXPECT_LT(frame->size(), text.size());
  for (const DeflateParameters& agreed : {kNoContext, DeflateParameters{}}) {
    DeflateReader client(Role::kClient, agreed);
    ASSERT_TRUE(client.read(*frame + *frame));
    EXPECT_EQ(client.recorder.events, "text:" + text + ";text:" + text + ";");
  }
}

TEST(CompressedFrame, IsTheSameEveryTime) {
  Random random(6);
  const std::string text = random_text(random, 2000);
  DeflateScratch scratch({});
  const auto first = make_compressed_frame(Opcode::kText, text, scratch);
  EXPECT_EQ(make_compressed_frame(Opcode::kText, text, scratch), first);
}

TEST(CompressedFrame, IsNotMadeWhereItWouldNotBeSmaller) {
  Random random(5);
  DeflateScratch scratch({.threshold_bytes = 100});
  EXPECT_FALSE(make_compressed_frame(Opcode::kText, std::string(99, 'x'), scratch).has_value());
  EXPECT_TRUE(make_compressed_frame(Opcode::kText, std::string(100, 'x'), scratch).has_value());
  EXPECT_FALSE(
      make_compressed_frame(Opcode::kBinary, random_bytes(random, 300), scratch).has_value());
  DeflateScratch all({.threshold_bytes = 0});
  EXPECT_FALSE(make_compressed_frame(Opcode::kText, "", all).has_value());
  EXPECT_FALSE(make_compressed_frame(Opcode::kText, "Hi", all).has_value());
}

TEST(CompressedFrame, IsForSendersWithoutContextAndWithAWindowAsLarge) {
  DeflateScratch scratch({.window_bits = 12});
  const auto takes = [&scratch](Role role, const DeflateParameters& agreed) {
    return DeflateSender(role, agreed, scratch).takes_shared_frames();
  };
  EXPECT_TRUE(takes(Role::kServer, {.server_no_context_takeover = true}));
  EXPECT_TRUE(
      takes(Role::kServer, {.server_no_context_takeover = true, .server_max_window_bits = 12}));
  EXPECT_FALSE(
      takes(Role::kServer, {.server_no_context_takeover = true, .server_max_window_bits = 11}));
  EXPECT_FALSE(takes(Role::kServer, {.client_no_context_takeover = true}));
  EXPECT_FALSE(takes(Role::kServer, {}));
}

// Both roles talk to each other: random messages of every kind, cut into random pieces.
class Conversation {
 public:
  Conversation(std::uint64_t seed, const DeflateParameters& agreed)
      : random_(seed), client_(Role::kClient, agreed), server_(Role::kServer, agreed) {
    const CompressionSettings settings{.level = static_cast<int>(random_.below(10)),
                                       .memory_level = 1 + static_cast<int>(random_.below(9)),
                                       .threshold_bytes = random_.below(200)};
    scratch_ = std::make_unique<DeflateScratch>(settings);
    to_client_ = std::make_unique<DeflateSender>(Role::kServer, agreed, *scratch_);
    to_server_ = std::make_unique<DeflateSender>(Role::kClient, agreed, *scratch_);
  }

  void exchange() {
    for (int i = 0; i < 12; ++i) {
      const bool text = random_.one_in(2);
      const std::string message =
          text || random_.one_in(2) ? random_text(random_, size()) : random_bytes(random_, size());
      const Opcode opcode = text ? Opcode::kText : Opcode::kBinary;
      sent_ += (text ? "text:" : "binary:") + message + ";";
      bytes_to_client_ += to_client_->frame(opcode, message);
      bytes_to_server_ += to_server_->masked_frame(opcode, message, {7, 6, 9, 2});
    }
    deliver(bytes_to_client_, client_);
    deliver(bytes_to_server_, server_);
  }

 private:
  std::size_t size() { return random_.below(1UL << random_.below(17)); }

  void deliver(std::string_view bytes, DeflateReader& side) {
    while (!bytes.empty()) {
      const std::size_t piece = std::min<std::size_t>(1 + random_.below(9000), bytes.size());
      ASSERT_TRUE(side.read(bytes.substr(0, piece))) << side.recorder.events.substr(0, 100);
      bytes.remove_prefix(piece);
    }
    EXPECT_TRUE(side.recorder.events == sent_);
    EXPECT_EQ(side.reader.buffered_bytes(), 0U);
  }

  Random random_;
  DeflateReader client_;
  DeflateReader server_;
  std::unique_ptr<DeflateScratch> scratch_;
  std::unique_ptr<DeflateSender> to_client_;
  std::unique_ptr<DeflateSender> to_server_;
  std::string sent_;
  std::string bytes_to_client_;
  std::string bytes_to_server_;
};

TEST(DeflateScratch, CountsWhatTheStatesOfConnectionsHold) {
  Random random(7);
  const std::string message = random_text(random, 5000);
  DeflateScratch scratch{{}};
  EXPECT_EQ(scratch.state_bytes(), 0U);
  static_cast<void>(
      DeflateSender(Role::kServer, kNoContext, scratch).frame(Opcode::kText, message));
  const ZlibBytes shared = scratch.state_bytes();
  EXPECT_GT(shared, 200'000U);
  {
    DeflateSender sender(Role::kServer, {}, scratch);
    static_cast<void>(sender.frame(Opcode::kText, message));
    EXPECT_EQ(scratch.state_bytes(), 2 * shared);
  }
  EXPECT_EQ(scratch.state_bytes(), shared);
}

TEST(DeflateScratch, CountsWhatReadersHoldBetweenMessages) {
  Random random(7);
  DeflateReader reader(Role::kServer);
  const std::string frame =
      DeflateSender(Role::kClient, {}, reader.scratch)
          .masked_frame(Opcode::kText, random_text(random, 5000), {1, 2, 3, 4});
  EXPECT_EQ(reader.scratch.state_bytes(), 0U);
  ASSERT_TRUE(reader.read(frame));
  EXPECT_GT(reader.scratch.state_bytes(), 32'768U);  // the window
}

// TRUNKLINE_DEFLATE_SEED repeats one.
TEST(Deflate, BothRolesUnderstandEachOther) {
  const char* given = std::getenv("TRUNKLINE_DEFLATE_SEED");
  const std::uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10) : 20'261'121;
  for (std::uint64_t seed = first; seed < first + (given != nullptr ? 1 : 40); ++seed) {
    SCOPED_TRACE("TRUNKLINE_DEFLATE_SEED=" + std::to_string(seed));
    Random random(seed);
    const auto bits = [&random] { return static_cast<std::uint8_t>(8 + random.below(8)); };
    const DeflateParameters agreed{.server_no_context_takeover = random.one_in(2),
                                   .client_no_context_takeover = random.one_in(2),
                                   .server_max_window_bits = bits(),
                                   .client_max_window_bits = bits()};
    Conversation(seed, agreed).exchange();
  }
}

}  // namespace
}  // namespace trunkline::ws
