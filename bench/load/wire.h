// SPDX-License-Identifier: Apache-2.0
//
// The little of HTTP, WebSocket and the client protocol that the raw loads speak.
#pragma once

#include <trunkline/error.h>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::bench {

struct Endpoint {
  std::uint16_t port = 0;
  // The last part of the address 127.0.0.x to come from; 0: the system chooses. One has some
  // 28,000 ports.
  unsigned source = 0;
  int receive_bytes = 0;  // SO_RCVBUF; 0: the system's
};

// A socket that waits when used without MSG_DONTWAIT, at most ten seconds, and that is reset when
// closed: thousands of ports in TIME_WAIT would be missing in the next row.
[[nodiscard]] Result<int> open_socket(const Endpoint& endpoint);
// The same, but its connection is still under way: writable when it is there.
[[nodiscard]] Result<int> begin_socket(const Endpoint& endpoint);

// As recv() and send() do, but not interrupted: an io_uring that this thread has given up
// interrupts whatever waits when the kernel tidies up behind it.
ssize_t receive(int fd, std::span<char> out);
[[nodiscard]] Result<void> send_all(int fd, std::string_view bytes);

[[nodiscard]] std::string upgrade_request(std::uint16_t port);
// Whether these bytes are the whole answer that accepts upgrade_request().
[[nodiscard]] bool is_upgraded(std::string_view answer);

// Opens so many WebSockets side by side.
[[nodiscard]] Result<std::vector<int>> open_websockets(const Endpoint& endpoint, std::size_t count);

struct Opened {
  int fd = -1;
  std::string reply;  // to the last command
};

// Opens a connection for each channel, side by side, and subscribes it; an empty channel only
// connects.
[[nodiscard]] Result<std::vector<Opened>> open_group(const Endpoint& endpoint,
                                                     std::span<const std::string> channels);

// Masked frames of commands: connect has id 1, subscribe 2.
[[nodiscard]] std::string connect_frame();
[[nodiscard]] std::string subscribe_frame(std::string_view channel);
[[nodiscard]] std::string recover_frame(std::string_view channel, std::string_view epoch,
                                        std::uint64_t offset);

// Appends the masked frame of a publish command: its data is a JSON string of `bytes` bytes that
// begins with the number and the time.
void append_publish(std::string& out, std::string_view channel, std::uint64_t number,
                    std::uint64_t sent_ns, std::size_t bytes);

// Publishes so many in `frames` of append_publish, through a connection of its own, and waits until
// the server has all of them.
[[nodiscard]] Result<void> publish_all(std::uint16_t port, std::string_view frames,
                                       std::size_t count);

struct Push {
  std::uint64_t number = 0;
  std::uint64_t sent_ns = 0;
  std::uint64_t offset = 0;
};

// Nothing when the line is no publication of append_publish.
[[nodiscard]] std::optional<Push> parse_push(std::string_view line);
// Calls for each publication inside a subscribe reply. Returns how many.
std::size_t for_each_publication(std::string_view reply,
                                 const std::function<void(const Push&)>& take);

// The text behind `before` up to `end`; empty when there is none.
[[nodiscard]] std::string_view between(std::string_view text, std::string_view before, char end);
// The digits behind `name`.
[[nodiscard]] std::optional<std::uint64_t> number_behind(std::string_view line,
                                                         std::string_view name);

// A value that the server's /metrics tells; nothing when it does not.
[[nodiscard]] std::optional<double> read_metric(std::uint16_t port, std::string_view name);

}  // namespace trunkline::bench
