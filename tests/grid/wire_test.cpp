// SPDX-License-Identifier: Apache-2.0
#include "grid/wire.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace trunkline::grid {
namespace {

std::vector<Message> one_of_each() {
  return {
      {.type = MessageType::kRequest,
       .priority = Priority::kBulk,
       .number = 7,
       .id = 1,
       .deadline_ms = 1000,
       .payload = "in"},
      {.type = MessageType::kRequest,
       .more = true,
       .has_name = true,
       .number = 1023,
       .id = 3,
       .total = 9,
       .name = "lock",
       .payload = "in"},
      {.type = MessageType::kOpen, .has_name = true, .id = 5, .value = 1U << 20U, .name = "tail"},
      {.type = MessageType::kResponse, .id = 1, .payload = std::string_view("\0out", 4)},
      {.type = MessageType::kData, .more = true, .id = 2, .total = 100, .payload = "x"},
      {.type = MessageType::kChunk, .more = true, .id = 2, .payload = "y"},
      {.type = MessageType::kEnd, .id = 2, .value = ~0ULL},
      {.type = MessageType::kFailure,
       .not_run = true,
       .number = 65535,
       .id = 1,
       .value = 3,
       .application = 77,
       .payload = "why"},
      {.type = MessageType::kCancel, .number = 1, .id = 1, .value = 5},
      {.type = MessageType::kCredit, .value = 12},
      {.type = MessageType::kCredit, .id = 4, .value = 12},
      {.type = MessageType::kPing, .value = 1},
      {.type = MessageType::kPong, .value = 1},
      {.type = MessageType::kGoaway, .number = 1, .payload = "moved"},
  };
}

std::string bytes_of(const Message& message) {
  std::string out;
  append_message(out, message);
  return out;
}

std::string why_not(std::string bytes) {
  std::string_view rest = bytes;
  const Result<Message> taken = take_message(rest);
  return taken.has_value() ? "" : taken.error().context;
}

TEST(Wire, EveryMessageComesBackAsItWas) {
  std::string batch;
  for (const Message& message : one_of_each()) {
    const std::size_t before = batch.size();
    append_message(batch, message);
    EXPECT_EQ(batch.size() - before, overhead_of(message) + message.payload.size());
  }
  std::string_view rest = batch;
  for (const Message& message : one_of_each()) {
    const Result<Message> taken = take_message(rest);
    ASSERT_TRUE(taken.has_value()) << taken.error().context;
    EXPECT_EQ(*taken, message) << name(message.type);
  }
  EXPECT_TRUE(rest.empty());
}

TEST(Wire, AMessageThatIsCutAnywhereIsRefused) {
  for (const Message& message : one_of_each()) {
    const std::string whole = bytes_of(message);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_NE(why_not(whole.substr(0, size)), "") << name(message.type) << " " << size;
    }
  }
}

TEST(Wire, ALengthIsCheckedBeforeItIsBelieved) {
  std::string bytes = bytes_of({.type = MessageType::kResponse, .id = 1, .payload = "abc"});
  bytes[7] = '\x7f';  // 2 GiB
  EXPECT_NE(why_not(bytes), "");
}

TEST(Wire, TypesFlagsIdsAndNumbersThatAreNotInTheTableAreRefused) {
  struct Case {
    std::size_t at;
    char to;
    const char* why;
  };

  const std::string request = bytes_of({.type = MessageType::kRequest, .id = 1});
  const std::string ping = bytes_of({.type = MessageType::kPing, .value = 9});
  for (const Case& wrong : {Case{0, 0, "type 0"}, Case{0, 13, "type 13"}, Case{1, 16, "request"},
                            Case{1, '\x80', "request"}, Case{8, 0, "call id 0"}}) {
    std::string bytes = request;
    bytes[wrong.at] = wrong.to;
    EXPECT_NE(why_not(bytes).find(wrong.why), std::string::npos) << why_not(bytes);
  }
  for (const Case& wrong :
       {Case{1, 1, "ping with flags"}, Case{2, 1, "number"}, Case{8, 1, "call id"}}) {
    std::string bytes = ping;
    bytes[wrong.at] = wrong.to;
    EXPECT_NE(why_not(bytes).find(wrong.why), std::string::npos) << why_not(bytes);
  }
}

TEST(Wire, FieldsMustFitTheLengthExactly) {
  std::string bytes = bytes_of({.type = MessageType::kEnd, .id = 1, .value = 1});
  bytes[4] = 7;
  bytes.resize(kHeaderBytes + 7);
  EXPECT_NE(why_not(bytes).find("too short"), std::string::npos);
  bytes[4] = 9;
  bytes.resize(kHeaderBytes + 9);
  EXPECT_NE(why_not(bytes).find("too many"), std::string::npos);
}

TEST(Wire, ATotalMustBeMoreThanWhatIsThere) {
  const Message message{
      .type = MessageType::kData, .more = true, .id = 2, .total = 3, .payload = "abc"};
  EXPECT_NE(why_not(bytes_of(message)), "");
}

TEST(Wire, ANameHasOneTo255Bytes) {
  std::string bytes =
      bytes_of({.type = MessageType::kRequest, .has_name = true, .id = 1, .name = "a"});
  bytes[kHeaderBytes + 4] = 0;
  EXPECT_NE(why_not(bytes), "");
}

TEST(Wire, AChecksumCoversEveryByte) {
  std::string frame = "head";
  append_message(frame, {.type = MessageType::kResponse, .id = 1, .payload = "abc"});
  append_checksum(frame, 4);
  const std::string sent = frame.substr(4);
  ASSERT_TRUE(check_checksum(sent).has_value());
  EXPECT_EQ(check_checksum(sent)->size(), sent.size() - kChecksumBytes);
  for (std::size_t at = 0; at < sent.size(); ++at) {
    std::string bad = sent;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    EXPECT_FALSE(check_checksum(bad).has_value()) << at;
  }
  EXPECT_FALSE(check_checksum("abc").has_value());
}

TEST(Wire, TheExampleOfTheProtocolPageIsTrue) {
  std::string out = bytes_of({.type = MessageType::kRequest,
                              .has_name = true,
                              .number = 1,
                              .id = 1,
                              .deadline_ms = 1000,
                              .name = "lock",
                              .payload = "k1"});
  const unsigned char expected[] = {1, 2, 1,    0, 12, 0, 0, 0, 1,    0,    0,    0,    0,    0,
                                    0, 0, 0xE8, 3, 0,  0, 4, 0, 0x6C, 0x6F, 0x63, 0x6B, 0x6B, 0x31};
  EXPECT_EQ(out, std::string(reinterpret_cast<const char*>(expected), sizeof expected));
}

}  // namespace
}  // namespace trunkline::grid
