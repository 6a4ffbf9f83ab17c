// SPDX-License-Identifier: Apache-2.0
//
// Responses of HTTP backends. The first byte says how the bytes are cut: however that is, the
// reader comes to the same status, body and end.
#include "net/response_reader.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using trunkline::net::ResponseReader;

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

struct Outcome {
  bool good = true;
  bool done = false;
  bool keeps = false;
  unsigned status = 0;
  std::string body{};

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome read(std::string_view bytes, std::size_t piece) {
  ResponseReader reader;
  Outcome outcome;
  for (std::size_t at = 0; at < bytes.size() && outcome.good; at += piece) {
    outcome.good = reader.read(bytes.substr(at, piece), outcome.body).has_value();
    require(outcome.body.size() <= bytes.size());
  }
  outcome.keeps = outcome.good && reader.keeps_connection();
  outcome.good = outcome.good && reader.end().has_value();
  require(outcome.good == (outcome.good && reader.is_done()));
  require(!outcome.keeps || outcome.good);
  outcome.done = reader.is_done();
  outcome.status = reader.status();
  if (!outcome.good) {
    return {.good = false};  // what came before the mistake depends on the cuts
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  require(read(bytes, std::max<std::size_t>(bytes.size(), 1)) == read(bytes, 1U + data[0]));
  return 0;
}
