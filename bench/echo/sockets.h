// SPDX-License-Identifier: Apache-2.0
//
// What the two echo servers on a bare epoll share, and what is not measured: listening, accepting
// and the opening handshake. They end by SIGTERM's default.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::bench {

// A socket that listens on a free port of loopback. Says "listening on http://127.0.0.1:PORT" on
// standard output.
int listen_on_loopback();

// The next connection, ready to use and without waits; -1 when there is none.
int accept_one(int listener);

void watch(int poll, int fd, std::uint32_t events, int operation);

// Believes that the bytes are a whole request for a WebSocket.
std::string answer_upgrade(std::string_view request);

}  // namespace trunkline::bench
