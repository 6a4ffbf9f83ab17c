// SPDX-License-Identifier: Apache-2.0
#include "peers/book_text.h"

#include <gtest/gtest.h>

namespace trunkline::peers {
namespace {

using namespace std::chrono_literals;

TEST(BookText, ComesBackAsItWas) {
  const SavedBook book{.at = 1234,
                       .addresses = {{"10.0.0.1:80", 3, 10s, std::nullopt, false},
                                     {"[2001:db8::1]:80", 0, std::nullopt, 5s, true}},
                       .hosts = {{"host.example", 12.5, 0s}, {"192.0.2.1", 0, 3600s}}};
  EXPECT_EQ(parse_book(to_text(book)), book);
}

TEST(BookText, NamesTheLineThatItCannotRead) {
  const std::string head = "trunkline-peers 1 1000\n";
  for (const char* line :
       {"address 10.0.0.1:80", "address nowhere 0 - -", "address 10.0.0.1:80 x - -",
        "address 10.0.0.1:80 0 -5 -", "address 10.0.0.1:80 0 - - down",
        "address 10.0.0.1:80 0 9999999999999 -", "host a", "host a nan 0", "host a -1 0",
        "host a 1 -1", "peer 1"}) {
    const auto parsed = parse_book(head + "\n" + line);
    ASSERT_FALSE(parsed.has_value()) << line;
    EXPECT_EQ(parsed.error().code, ErrorCode::kMalformed);
    EXPECT_TRUE(parsed.error().context.contains("line 3")) << line;
  }
  for (const char* text : {"", "trunkline-peers 2 1000\n", "hello\n", "trunkline-peers 1 x\n"}) {
    EXPECT_FALSE(parse_book(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace trunkline::peers
