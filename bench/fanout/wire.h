// SPDX-License-Identifier: Apache-2.0
//
// The little of the client protocol that the raw load speaks.
#pragma once

#include <trunkline/error.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::bench {

// Opens so many connections side by side and subscribes them, all or all but
// the last. Returns sockets that wait when used without MSG_DONTWAIT, at most
// ten seconds, and that are reset when closed: thousands of ports in TIME_WAIT
// would be missing in the next row.
[[nodiscard]] Result<std::vector<int>> open_group(std::uint16_t port, std::size_t count,
                                                  bool last_only_connects,
                                                  std::string_view channel);

// Appends the masked frame of a publish command: its data is a JSON string of
// `bytes` bytes that begins with the number and the time.
void append_publish(std::string& out, std::string_view channel, std::uint64_t number,
                    std::uint64_t sent_ns, std::size_t bytes);

struct Push {
  std::uint64_t number = 0;
  std::uint64_t offset = 0;
};

// Nothing when the line is no publication of append_publish.
[[nodiscard]] std::optional<Push> parse_push(std::string_view line);

}  // namespace trunkline::bench
