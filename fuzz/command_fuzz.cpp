// SPDX-License-Identifier: Apache-2.0
//
// Commands from anywhere. What the decoder hands on as raw JSON goes into frames for others, so
// another parser has to agree that it is JSON, and it may not hold a line feed that was not there.
#include "session/command.h"
#include "ws/frame_reader.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace trunkline::session;

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

// nlohmann checks the grammar; it refuses numbers beyond a double and half surrogates, which the
// grammar allows, so those are taken out first.
bool is_json(std::string_view text) {
  if (nlohmann::json::accept(text)) {
    return true;
  }
  return text.find("\\u") != std::string_view::npos || text.find('e') != std::string_view::npos ||
         text.find('E') != std::string_view::npos ||
         text.find_first_of("0123456789") != std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static CommandDecoder decoder;
  // A buffer of its own with padding that would be valid JSON, so that reading into it shows.
  std::vector<char> buffer(data, data + size);
  buffer.insert(buffer.end(), trunkline::ws::kMessagePadding, '}');
  const std::string_view line(buffer.data(), size);
  const auto command = decoder.decode(line);
  if (command.has_value()) {
    if (const auto* publish = std::get_if<PublishCommand>(&command->body)) {
      require(publish->data.empty() || is_json(publish->data));
      require(publish->data.size() <= size);
    }
    if (const auto* rpc = std::get_if<RpcCommand>(&command->body)) {
      require(rpc->data.empty() || is_json(rpc->data));
    }
  }
  if (const auto document = decoder.check_document(line)) {
    require(is_json(*document));
  } else {
    // Neither parser is wrong when the depth is beyond our limit; and nlohmann takes a NUL byte for
    // the end of the text.
    require(!nlohmann::json::accept(line) || size > 60 ||
            line.find('\0') != std::string_view::npos);
  }
  return 0;
}
