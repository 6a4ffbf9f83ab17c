// SPDX-License-Identifier: Apache-2.0
//
// What only real sockets show: cuts at any byte, thousands of streams, peers that are no use.
#include "net/grid_fixture.h"

#include <fcntl.h>

#include <filesystem>

namespace trunkline::net {
namespace {

// As long as it takes: a machine that stands still for a while must not decide.
GridCallOptions endless() {
  GridCallOptions options;
  options.timeout = std::chrono::milliseconds::max();
  options.wait_ready = true;
  return options;
}

// A connection to a port of loopback, as a program of another kind makes it.
int dial(std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  EXPECT_EQ(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return descriptor;
}

// Reads until the other side closes; what came.
std::string read_to_end(int descriptor) {
  std::string all;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 1; got > 0;) {
    got = ::recv(descriptor, buffer.data(), buffer.size(), 0);
    all.append(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0U);
  }
  return all;
}

TEST_F(TwoNodes, NoSocketIsInheritedByAChildProcess) {
  EXPECT_EQ(run(to_two->call("echo", "1", patient())).value(), "1");
  std::size_t sockets = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (!std::filesystem::read_symlink(entry, gone).string().starts_with("socket:")) {
      continue;
    }
    const int flags = ::fcntl(std::stoi(entry.path().filename()), F_GETFD);
    EXPECT_TRUE(flags < 0 || (flags & FD_CLOEXEC) != 0) << entry.path();
    ++sockets;
  }
  EXPECT_GE(sockets, 4U);
}

// --- cuts ---

class GridCuts : public Relayed {
 protected:
  // How calls of all kinds have ended.
  struct Ends {
    int well = 0;
    int lost = 0;
    int otherwise = 0;
  };

  // Begins some, and waits until each has ended.
  Ends all_kinds() {
    Ends ends;
    const auto count = [&](const std::optional<GridError>& error) {
      signal.change([&] {
        if (!error.has_value()) {
          ++ends.well;
        } else if (error->code == GridCode::kDisconnected ||
                   error->code == GridCode::kNotConnected) {
          ++ends.lost;
        } else {
          ++ends.otherwise;
        }
      });
    };
    for (const std::size_t bytes : {10U, 3'000U, 100'000U}) {
      to_two->call("echo", Bytes(bytes, 'x'), endless(),
                   [count, bytes](GridResult<std::string_view> answer) {
                     if (answer.has_value()) {
                       EXPECT_EQ(answer->size(), bytes);
                     }
                     count(answer.has_value() ? std::nullopt : std::optional(answer.error()));
                   });
    }
    run_task(talk(*to_two), [count](std::optional<std::optional<GridError>> error,
                                    const std::exception_ptr&) { count(*error); });
    EXPECT_TRUE(signal.wait([&] { return ends.well + ends.lost + ends.otherwise == 4; }));
    return ends;
  }

  static Task<std::optional<GridError>> talk(GridPeer to) {
    GridResult<GridStream> stream = co_await to.open("echo-stream", "", endless());
    if (!stream.has_value()) {
      co_return stream.error();
    }
    for (int i = 0; i < 20; ++i) {
      const Bytes message = fmt::format("{}:", i) + Bytes(500, 'x');
      const GridResult<void> sent = co_await stream->send(message);
      if (!sent.has_value()) {
        co_return sent.error();
      }
      const GridResult<std::optional<Bytes>> back = co_await stream->receive();
      if (!back.has_value()) {
        co_return back.error();
      }
      EXPECT_EQ(*back, message);
    }
    stream->finish();
    const GridResult<std::optional<Bytes>> end = co_await stream->receive();
    if (!end.has_value()) {
      co_return end.error();
    }
    EXPECT_FALSE(end->has_value());
    co_return std::nullopt;
  }

  // Everything works, whatever was before.
  void expect_well() {
    relay->cut_after(-1);
    relay->cut_back_after(-1);
    GridCallOptions again = endless();
    again.idempotent = true;
    EXPECT_EQ(run(to_two->call("echo", "well", again)).value(), "well");
  }

  Signal signal;
};

TEST_F(GridCuts, AtAnyByteOfEitherDirectionEachCallEndsOnceWellOrAsLost) {
  begin();
  expect_well();
  int lost = 0;
  std::vector<std::int64_t> places{5'000, 20'000, 66'000, 100'500};
  for (std::int64_t place = 0; place < 800; place += 31) {
    places.push_back(place);
  }
  for (const std::int64_t place : places) {
    for (const bool back : {false, true}) {
      if (back) {
        relay->cut_back_after(place);
      } else {
        relay->cut_after(place);
      }
      const Ends ends = all_kinds();
      EXPECT_EQ(ends.otherwise, 0) << place;
      lost += ends.lost;
      expect_well();
    }
  }
  // A cut may have come before the calls, with what the nodes say by themselves; but not each time.
  EXPECT_GT(lost, 50);
  // Nothing is left of them.
  EXPECT_EQ(one->peers()[0].calls_open, 0U);
  EXPECT_EQ(one->peers()[0].unsent_bytes, 0U);
}

TEST_F(GridCuts, AtAnyByteOfTheHandshakeItIsDialledAgain) {
  begin();
  expect_well();
  GridCallOptions again = endless();
  again.idempotent = true;
  for (std::int64_t place = 0; place < 700; place += 23) {
    for (const bool back : {false, true}) {
      if (back) {
        relay->cut_next_back_after(place);
      } else {
        relay->cut_next_after(place);
      }
      relay->cut_after(0);
      EXPECT_EQ(run(to_two->call("echo", "over it", again)).value(), "over it") << place;
      expect_well();
    }
  }
}

// --- many streams ---

Task<GridResult<void>> hold_open(GridRequest, GridStream stream) {
  while (true) {
    GridResult<std::optional<Bytes>> message = co_await stream.receive();
    if (!message.has_value() || !message->has_value()) {
      co_return GridResult<void>{};
    }
    static_cast<void>(co_await stream.send(std::move(**message)));
  }
}

// One message there and back; the stream stays open.
Task<GridResult<std::optional<GridStream>>> open_and_talk(GridPeer to, int number) {
  GridResult<GridStream> stream = co_await to.open("hold", "", endless());
  if (!stream.has_value()) {
    co_return std::unexpected(stream.error());
  }
  const Bytes message = fmt::format("{}", number);
  const GridResult<void> sent = co_await stream->send(message);
  const GridResult<std::optional<Bytes>> back = co_await stream->receive();
  if (!sent.has_value() || !back.has_value() || *back != message) {
    co_return std::optional<GridStream>{};
  }
  co_return std::optional<GridStream>(std::move(*stream));
}

// The same again, and the end.
Task<bool> talk_and_finish(GridStream stream, int number) {
  const Bytes message = fmt::format("{} again", number);
  const GridResult<void> sent = co_await stream.send(message);
  const GridResult<std::optional<Bytes>> back = co_await stream.receive();
  stream.finish();
  const GridResult<std::optional<Bytes>> end = co_await stream.receive();
  co_return sent.has_value() && back.has_value() && *back == message&& end.has_value() &&
      !end->has_value();
}

class GridCrowd : public GridTest {};

TEST_F(GridCrowd, TenThousandStreamsAreOpenAtOnceWithDataOnEach) {
  constexpr std::size_t kStreams = 10'000;
  const ReservedPort port_one;
  const ReservedPort port_two;
  const auto crowded = [](GridOptions options) {
    options.handlers_max = kStreams;
    // One connection: what is open on another one that ends is not in the statistics.
    options.reverse_dial_after = 1h;
    return options;
  };
  const auto one = make(crowded(options(port_one.address(), port_one.port())));
  const auto two = make(crowded(options(port_two.address(), port_two.port())));
  two->handle_stream("hold", hold_open);
  const GridPeer to_two = peer(*one, port_two.address());
  static_cast<void>(peer(*two, port_one.address()));
  start(*one);
  start(*two);

  Signal signal;
  std::vector<GridStream> open;
  std::size_t failed = 0;
  for (std::size_t i = 0; i < kStreams; ++i) {
    run_task(open_and_talk(to_two, static_cast<int>(i)),
             [&](std::optional<GridResult<std::optional<GridStream>>> stream,
                 const std::exception_ptr&) {
               signal.change([&] {
                 if (stream->has_value() && (*stream)->has_value()) {
                   open.push_back(std::move(***stream));
                 } else {
                   ++failed;
                 }
               });
             });
  }
  ASSERT_TRUE(signal.wait([&] { return open.size() + failed == kStreams; }));
  EXPECT_EQ(failed, 0U);
  EXPECT_EQ(one->peers()[0].calls_open, kStreams);
  EXPECT_EQ(two->peers()[0].handlers_running, kStreams);

  std::size_t well = 0;
  std::size_t ended = 0;
  for (std::size_t i = 0; i < kStreams; ++i) {
    run_task(talk_and_finish(std::move(open[i]), static_cast<int>(i)),
             [&](std::optional<bool> is_well, const std::exception_ptr&) {
               signal.change([&] {
                 well += *is_well ? 1U : 0U;
                 ++ended;
               });
             });
  }
  ASSERT_TRUE(signal.wait([&] { return ended == kStreams; }));
  EXPECT_EQ(well, kStreams);
  EXPECT_EQ(one->peers()[0].calls_open, 0U);
  EXPECT_EQ(two->peers()[0].handlers_running, 0U);
}

// --- peers that are no use ---

// Accepts on a port, and closes at once or keeps it without a word.
class UselessPeer {
 public:
  explicit UselessPeer(std::uint16_t port) : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 16), 0);
  }

  UselessPeer(const UselessPeer&) = delete;
  UselessPeer& operator=(const UselessPeer&) = delete;

  ~UselessPeer() {
    ::shutdown(listener_, SHUT_RDWR);  // wakes the thread
    if (thread_.joinable()) {
      thread_.join();
    }
    ::close(listener_);
  }

  // Waits for the next one.
  [[nodiscard]] int accept() const { return ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC); }

  // Closes each, from now on.
  void close_all() {
    thread_ = std::thread([this] {
      for (int descriptor = accept(); descriptor >= 0; descriptor = accept()) {
        ::close(descriptor);
        signal_.change([this] { ++dials_; });
      }
    });
  }

  [[nodiscard]] bool is_dialled() {
    return signal_.wait([this] { return dials_ > 0; });
  }

  [[nodiscard]] int dials() {
    int count = 0;
    signal_.change([&] { count = dials_; });
    return count;
  }

 private:
  int listener_;
  Signal signal_;
  int dials_ = 0;
  std::thread thread_;
};

std::string upgrade_of_a_peer() {
  return "GET /grid HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: trunkline-grid\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
}

class GridUseless : public TwoNodes {
 protected:
  // A node beside `one`, that dials a peer at the port.
  std::unique_ptr<GridNode> node_that_dials(const ReservedPort& port,
                                            const std::function<void(GridOptions&)>& change) {
    own_port = std::make_unique<ReservedPort>();
    while (!grid::is_designated(own_port->address(), port.address())) {
      own_port = std::make_unique<ReservedPort>();
    }
    GridOptions of_node = options(own_port->address(), own_port->port());
    change(of_node);
    auto node = make(of_node);
    static_cast<void>(peer(*node, port.address()));
    start(*node);
    return node;
  }

  std::unique_ptr<ReservedPort> own_port;
};

TEST_F(GridUseless, OneThatAcceptsAndClosesItsSocketIsDialledSeldom) {
  const ReservedPort port;
  UselessPeer useless(port.port());
  useless.close_all();
  const auto node = node_that_dials(port, [](GridOptions& options) {
    options.redial_start = 10s;
    options.redial_max = 60s;
  });
  ASSERT_TRUE(useless.is_dialled());
  // While others work for a while.
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(run(to_two->call("echo", "1", endless())).value(), "1");
  }
  // At once it would be thousands. So few also when this takes minutes.
  EXPECT_LE(useless.dials(), 8);
}

TEST_F(GridUseless, OneThatIsDialledAndSilentIsDroppedAndItsSocketClosed) {
  const ReservedPort port;
  const UselessPeer useless(port.port());
  const auto node =
      node_that_dials(port, [](GridOptions& options) { options.handshake_deadline = 100ms; });
  const int descriptor = useless.accept();
  EXPECT_TRUE(read_to_end(descriptor).starts_with("GET "));
  ::close(descriptor);
}

TEST_F(GridUseless, OneThatIsSilentBehindTheWebSocketIsToldAndItsSocketClosed) {
  const ReservedPort port;
  GridOptions quick = options(port.address(), port.port());
  quick.handshake_deadline = 100ms;
  const auto node = make(quick);
  start(*node);
  const int descriptor = dial(port.port());
  const std::string upgrade = upgrade_of_a_peer();
  EXPECT_EQ(::send(descriptor, upgrade.data(), upgrade.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(upgrade.size()));
  const std::string told = read_to_end(descriptor);
  EXPECT_TRUE(told.starts_with("HTTP/1.1 101 ")) << told;
  EXPECT_NE(told.find("the handshake took longer than 100 ms"), std::string::npos);
  ::close(descriptor);
}

TEST_F(GridUseless, OneThatSaysAnImpossibleLengthIsCutOff) {
  const ReservedPort port;
  const auto node = make(options(port.address(), port.port()));
  start(*node);
  const int descriptor = dial(port.port());
  // With its header the length comes to 0 in 64 bits.
  const std::string words = upgrade_of_a_peer() + '\x82' + std::string(8, '\xFF') + '\xF2' + "mask";
  EXPECT_EQ(::send(descriptor, words.data(), words.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(words.size()));
  EXPECT_TRUE(read_to_end(descriptor).starts_with("HTTP/1.1 101 "));
  ::close(descriptor);
  node->stop();  // its thread is not caught in it
}

// --- slow ---

class GridSlow : public Relayed {};

TEST_F(GridSlow, AMessageOf48MiBToAReaderOf8MiBASecondFailsNobody) {
  begin([](GridOptions& options) { options.write_deadline = 3'000ms; });
  two->handle_inline("size", [](std::string_view payload, GridReply reply) {
    reply.respond(fmt::format("{}", payload.size()));
  });
  EXPECT_EQ(run(to_two->call("echo", "before", endless())).value(), "before");
  relay->slow(8'388);  // a millisecond
  std::promise<std::string> large;
  std::atomic<bool> is_done = false;
  to_two->call("size", Bytes(48U << 20U, 'x'), endless(), [&](GridResult<std::string_view> result) {
    large.set_value(result.has_value() ? std::string(*result) : to_string(result.error()));
    is_done = true;
  });
  while (!is_done) {
    ASSERT_EQ(run(to_two->call("echo", "beside", endless())).value(), "beside");
  }
  EXPECT_EQ(large.get_future().get(), fmt::format("{}", 48U << 20U));
  EXPECT_EQ(one->peers()[0].connects, 1U);
}

}  // namespace
}  // namespace trunkline::net
