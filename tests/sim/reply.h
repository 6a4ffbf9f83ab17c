// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::sim {

// One line from the server, taken apart. Absent fields are empty, zero or false.
struct Reply {
  std::uint32_t id = 0;
  std::string kind;  // of a reply or push: "subscribe", "pub", "error" …; empty: a ping
  bool push = false;
  std::string channel;     // of a push
  std::uint32_t code = 0;  // of an error or an unsubscribe push
  std::string client;      // of a connect reply
  std::string epoch;
  std::uint64_t offset = 0;
  std::uint64_t gap_from = 0;
  std::uint64_t gap_to = 0;
  bool recovered = false;
  bool was_recovering = false;
  bool positioned = false;
  std::string data;                       // of a subscribe reply
  std::vector<std::string> publications;  // as they stand; a pub push has one
  std::vector<Reply> subs;                // of a connect reply, each with its channel
};

// Thread: the simulation's.
class ReplyReader {
 public:
  ReplyReader();
  ReplyReader(const ReplyReader&) = delete;
  ReplyReader& operator=(const ReplyReader&) = delete;
  ~ReplyReader();

  // False when the line is not what a server may send.
  bool read(std::string_view line, Reply& reply);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace trunkline::sim
