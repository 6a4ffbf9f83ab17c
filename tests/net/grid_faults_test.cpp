// SPDX-License-Identifier: Apache-2.0
//
// Two nodes with a bad link between them.
#include "net/grid_fixture.h"

namespace trunkline::net {
namespace {

class GridFaults : public Relayed {};

TEST_F(GridFaults, AConnectionThatIsCutInMidFrameComesBack) {
  begin();
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(run(to_two->call("echo", "before", patient())).value(), "before");
    relay->cut_after(100'000 + round * 7);
    const GridResult<Bytes> cut = run(to_two->call("echo", Bytes(1U << 20U, 'x'), patient()));
    ASSERT_FALSE(cut.has_value());
    EXPECT_EQ(cut.error().code, GridCode::kDisconnected);
    EXPECT_EQ(cut.error().origin, GridOrigin::kTransport);
  }
  EXPECT_EQ(run(to_two->call("echo", "after", patient())).value(), "after");
}

TEST_F(GridFaults, AnIdempotentCallIsMadeAgain) {
  begin();
  EXPECT_EQ(run(to_two->call("echo", "before", patient())).value(), "before");
  relay->cut_after(100'000);
  GridCallOptions options = patient();
  options.idempotent = true;
  EXPECT_EQ(run(to_two->call("echo", Bytes(1U << 20U, 'x'), options)).value().size(), 1U << 20U);
}

TEST_F(GridFaults, APeerThatIsSilentIsGoneAndComesBack) {
  begin([](GridOptions& options) { options.ping_interval = 250ms; });
  // A machine that is busy elsewhere may be taken for a silent peer, too.
  GridCallOptions again = patient();
  again.idempotent = true;
  EXPECT_EQ(run(to_two->call("echo", "before", again)).value(), "before");
  relay->stall(true);
  EXPECT_EQ(run(to_two->call("echo", "lost", patient())).error().origin, GridOrigin::kTransport);
  relay->stall(false);
  EXPECT_EQ(run(to_two->call("echo", "after", again)).value(), "after");
}

TEST_F(GridFaults, SlowIsNotDead) {
  begin([](GridOptions& options) {
    options.ping_interval = 10'000ms;
    options.write_deadline = 2'000ms;
  });
  EXPECT_EQ(run(to_two->call("echo", "before", patient())).value(), "before");
  relay->slow(2'000);  // twice as long as the write deadline, each way
  const auto large = std::make_shared<std::promise<std::size_t>>();
  to_two->call("quick", Bytes(8U << 20U, 'x'), patient(),
               [large](GridResult<std::string_view> result) {
                 large->set_value(result.has_value() ? result->size() : 0);
               });
  EXPECT_EQ(run(to_two->call("echo", "beside", patient())).value(), "beside");
  EXPECT_EQ(large->get_future().get(), 8U << 20U);
  EXPECT_EQ(one->peers()[0].connects, 1U);
}

TEST_F(GridFaults, FortyStreamsOnALostConnectionEndWithAnError) {
  begin();
  Signal signal;
  int open = 0;
  int failed = 0;
  int ended = 0;
  two->handle_stream("list", [](GridRequest, GridStream stream) -> Task<GridResult<void>> {
    static_cast<void>(co_await stream.send("first"));
    const GridResult<std::optional<Bytes>> never = co_await stream.receive();
    co_return never.has_value() ? GridResult<void>{} : std::unexpected(never.error());
  });
  const auto list = [&](GridPeer to) -> Task<GridResult<bool>> {
    GridResult<GridStream> stream =
        co_await to.open("list", "", {.timeout = kPatience, .wait_ready = true});
    static_cast<void>(co_await stream->receive());
    signal.change([&] { ++open; });
    const GridResult<std::optional<Bytes>> next = co_await stream->receive();
    if (!next.has_value()) {
      co_return std::unexpected(next.error());
    }
    co_return true;
  };
  for (int i = 0; i < 40; ++i) {
    run_task(list(*to_two), [&](std::optional<GridResult<bool>> result, const std::exception_ptr&) {
      signal.change([&] {
        failed += !result->has_value() && result->error().code == GridCode::kDisconnected ? 1 : 0;
        ++ended;
      });
    });
  }
  ASSERT_TRUE(signal.wait([&] { return open == 40; }));
  relay->cut_after(0);
  to_two->call("echo", "makes it notice", {}, [](GridResult<std::string_view>) {});
  ASSERT_TRUE(signal.wait([&] { return ended == 40; }));
  EXPECT_EQ(failed, 40);
}

TEST_F(GridFaults, NonsenseFromTheNetworkEndsOnlyItsOwnConnection) {
  begin();
  EXPECT_EQ(run(to_two->call("echo", "before", patient())).value(), "before");
  for (const std::string& nonsense :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(1000, '\xff'), std::string(),
        std::string("GET /grid HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: trunkline-grid\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n") +
            std::string("\x82\x84\0\0\0\0abcd", 10)}) {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(inside.port());
    ASSERT_EQ(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    ::send(descriptor, nonsense.data(), nonsense.size(), MSG_NOSIGNAL);
    ::shutdown(descriptor, SHUT_WR);
    std::array<char, 4096> buffer{};
    while (::recv(descriptor, buffer.data(), buffer.size(), 0) > 0) {
    }
    ::close(descriptor);
  }
  EXPECT_EQ(run(to_two->call("echo", "after", patient())).value(), "after");
  EXPECT_EQ(one->peers()[0].connects, 1U);
}

TEST_F(GridFaults, WhoIsSilentInTheHandshakeIsDroppedAndItsSocketClosed) {
  begin([](GridOptions& options) { options.handshake_deadline = 100ms; });
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(inside.port());
  ASSERT_EQ(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  char byte = 0;
  EXPECT_EQ(::recv(descriptor, &byte, 1, 0), 0);  // blocks until it is closed there
  ::close(descriptor);
}

}  // namespace
}  // namespace trunkline::net
