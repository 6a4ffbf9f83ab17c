// SPDX-License-Identifier: Apache-2.0
//
// A peer that is made by hand: it shakes hands as a node does, with a clock of its own, and closes
// as soon as that is through.
#include "grid/handshake.h"
#include "net/grid_fixture.h"
#include "ws/frame.h"
#include "ws/handshake.h"

namespace trunkline::net {
namespace {

class HandmadePeer {
 public:
  HandmadePeer(const ReservedPort& port, std::chrono::milliseconds clock_ahead)
      : clock_ahead_(clock_ahead), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    identity_.name = port.address();
    identity_.instance.fill(1);
    identity_.secret = "a secret for the tests";
    identity_.skew_max = Duration::zero();
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port.port());
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 16), 0);
    thread_ = std::thread([this] { work(); });
  }

  HandmadePeer(const HandmadePeer&) = delete;
  HandmadePeer& operator=(const HandmadePeer&) = delete;

  // Whoever dials it must have stopped.
  ~HandmadePeer() {
    ::shutdown(listener_, SHUT_RDWR);  // wakes the thread
    thread_.join();
    ::close(listener_);
  }

  // Handshakes that have come to their end.
  [[nodiscard]] bool has_shaken(int count) {
    return signal_.wait([&] { return shaken_ >= count; });
  }

  [[nodiscard]] int dials() {
    int count = 0;
    signal_.change([&] { count = dials_; });
    return count;
  }

  // Waits for one.
  [[nodiscard]] std::optional<grid::RefusalCode> refusal() {
    EXPECT_TRUE(signal_.wait([this] { return refusal_.has_value(); }));
    return refusal_;
  }

 private:
  void work() {
    for (int number = 1;; ++number) {
      const int descriptor = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (descriptor < 0) {
        return;
      }
      signal_.change([this] { ++dials_; });
      if (upgrade(descriptor)) {
        shake(descriptor, number);
      }
      ::close(descriptor);
      input_.clear();
    }
  }

  // More of what the other side says.
  bool read(int descriptor) {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::recv(descriptor, buffer.data(), buffer.size(), 0);
    input_.append(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0U);
    return got > 0;
  }

  static void write(int descriptor, const std::string& bytes) {
    // Whoever has gone will be dialled by nobody: what counts is what it does next.
    static_cast<void>(::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }

  bool upgrade(int descriptor) {
    while (input_.find("\r\n\r\n") == std::string::npos) {
      if (!read(descriptor)) {
        return false;
      }
    }
    const std::string_view field = "Sec-WebSocket-Key: ";
    const std::size_t at = input_.find(field);
    EXPECT_NE(at, std::string::npos) << input_;
    const std::size_t from = at + field.size();
    const std::string key = input_.substr(from, input_.find("\r\n", from) - from);
    input_.erase(0, input_.find("\r\n\r\n") + 4);
    write(descriptor, fmt::format("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n"
                                  "Sec-WebSocket-Protocol: trunkline-grid\r\n\r\n",
                                  ws::accept_key(key)));
    return true;
  }

  // The payload of the next masked frame.
  std::optional<std::string> message(int descriptor) {
    std::optional<std::uint64_t> size = ws::frame_size(input_);
    while (!size.has_value() || input_.size() < *size) {
      if (!read(descriptor)) {
        return std::nullopt;
      }
      size = ws::frame_size(input_);
    }
    const std::size_t key_at = (static_cast<unsigned char>(input_[1]) & 0x7FU) < 126 ? 2 : 4;
    ws::MaskingKey key{};
    for (std::size_t i = 0; i < key.size(); ++i) {
      key[i] = static_cast<std::uint8_t>(input_[key_at + i]);
    }
    std::string payload = input_.substr(key_at + key.size(), *size - key_at - key.size());
    ws::apply_mask(payload, key);
    input_.erase(0, *size);
    return payload;
  }

  [[nodiscard]] Now now() const {
    return {TimePoint{}, std::chrono::time_point_cast<std::chrono::milliseconds>(
                             std::chrono::system_clock::now() + clock_ahead_)};
  }

  void shake(int descriptor, int number) {
    using State = grid::Handshake::State;
    grid::Nonce nonce{};
    nonce.fill(static_cast<std::uint8_t>(number));
    grid::Handshake handshake(identity_, grid::Side::kAcceptor, "", nonce);
    while (handshake.state() == State::kWaiting) {
      const std::optional<std::string> said = message(descriptor);
      if (!said.has_value()) {
        return;
      }
      std::string answer = handshake.on_message(*said, now());
      if (handshake.state() == State::kProven) {
        answer = handshake.accept();
      }
      if (!answer.empty()) {
        write(descriptor, ws::make_frame(ws::Opcode::kBinary, answer));
      }
    }
    signal_.change([&] {
      shaken_ += handshake.state() == State::kDone ? 1 : 0;
      if (handshake.state() == State::kRefused && handshake.refused_by_peer()) {
        refusal_ = handshake.refusal().code;
      }
    });
  }

  grid::Identity identity_;
  const std::chrono::milliseconds clock_ahead_;
  int listener_;
  std::string input_;
  Signal signal_;
  int dials_ = 0;
  int shaken_ = 0;
  std::optional<grid::RefusalCode> refusal_;
  std::thread thread_;
};

class GridHandmade : public TwoNodes {
 protected:
  // A node beside `one`, that dials the handmade one.
  void dial(const std::function<void(GridOptions&)>& change) {
    do {
      own_port = std::make_unique<ReservedPort>();
    } while (!grid::is_designated(own_port->address(), port.address()));
    GridOptions of_node = options(own_port->address(), own_port->port());
    change(of_node);
    node = make(of_node);
    static_cast<void>(peer(*node, port.address()));
    start(*node);
  }

  void TearDown() override { node->stop(); }

  const ReservedPort port;
  std::unique_ptr<ReservedPort> own_port;
  std::unique_ptr<GridNode> node;
};

TEST_F(GridHandmade, OneThatClosesBehindTheHandshakeIsDialledLessAndLess) {
  HandmadePeer brief(port, 0ms);
  dial([](GridOptions& options) {
    options.redial_start = 20ms;
    options.redial_max = 1h;
    options.good_after = 1h;  // so that none of its connections is taken for a good one
  });
  ASSERT_TRUE(brief.has_shaken(5));
  // While others work for a while. Without growth it would be a hundred times and more in it.
  const auto end = std::chrono::steady_clock::now() + 1500ms;
  while (std::chrono::steady_clock::now() < end) {
    ASSERT_EQ(run(to_two->call("echo", "1", patient())).value(), "1");
  }
  // Every further one takes twice as long: so few also when this takes minutes.
  EXPECT_LE(brief.dials(), 25);
  node->stop();
}

TEST_F(GridHandmade, OneWhoseClockIsFarOffIsRefusedAndTold) {
  HandmadePeer ahead(port, 1h);
  dial([](GridOptions& options) { options.skew_max = 60s; });
  EXPECT_EQ(ahead.refusal(), grid::RefusalCode::kSkew);
  EXPECT_EQ(node->peers()[0].connects, 0U);
  node->stop();
}

TEST_F(GridHandmade, OneWhoseClockIsOffALittleIsTakenAndItsClockKnown) {
  HandmadePeer ahead(port, 30min);
  dial([](GridOptions& options) { options.skew_max = 1h; });
  EXPECT_TRUE(ahead.has_shaken(1));
  while (node->peers()[0].clock_ahead == 0ms) {
    std::this_thread::yield();
  }
  EXPECT_GT(node->peers()[0].clock_ahead, 20min);
  EXPECT_LT(node->peers()[0].clock_ahead, 40min);
  node->stop();
}

TEST_F(GridHandmade, NoClockIsWrongWhereNoneIsAskedFor) {
  HandmadePeer behind(port, -24h * 365);
  dial([](GridOptions& options) { options.skew_max = 0ms; });
  EXPECT_TRUE(behind.has_shaken(1));
  node->stop();
}

}  // namespace
}  // namespace trunkline::net
