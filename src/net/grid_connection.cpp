// SPDX-License-Identifier: Apache-2.0
#include "net/grid_connection.h"

#include "net/grid_driver.h"
#include "net/system_error_text.h"
#include "ws/frame.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// Received before the others get their turn.
constexpr std::size_t kReadBytesPerTurn = 128UL * 1024;

// What is handed to the socket at a time: a small call waits behind no more than this and what the
// kernel keeps unsent.
constexpr std::size_t kFrameBytes = 64UL * 1024;
constexpr int kUnsentBytes = 128 * 1024;

// An idle connection keeps no larger write buffer than this; the node has one for all.
constexpr std::size_t kIdleWriteBytes = 256;

constexpr auto kEndingTime = std::chrono::seconds(1);

constexpr std::size_t kUnsentPongBytesMax = 64UL * 1024;

}  // namespace

GridConnection::GridConnection(GridDriver& driver, std::shared_ptr<PeerConnection> peer_connection,
                               grid::Side side, std::string peer)
    : driver_(driver),
      peer_connection_(std::move(peer_connection)),
      side_(side),
      peer_(std::move(peer)),
      socket_(driver.io()),
      timer_(driver.io()),
      reader_(side == grid::Side::kDialler ? ws::Role::kClient : ws::Role::kServer,
              {.message_bytes_max = driver.frame_bytes_max()}) {}

GridConnection::~GridConnection() {
  peer_connection_->close("ended");
}

Result<void> GridConnection::start(std::chrono::milliseconds deadline) {
  const auto* socket = dynamic_cast<const PeerSocket*>(peer_connection_.get());
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (socket == nullptr ||
      ::getsockname(socket->descriptor(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return fail(ErrorCode::kSystem, "the connection is no socket");
  }
  // Of its own, so that it does not matter who closes first.
  const int own = ::fcntl(socket->descriptor(), F_DUPFD_CLOEXEC, 0);
  if (own < 0) {
    return fail(ErrorCode::kSystem, "dup: " + system_error_text(errno));
  }
  error_code error;
  socket_.assign(address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), own, error);
  if (error) {
    ::close(own);
    return fail(ErrorCode::kSystem, "socket: " + error.message());
  }
  ::setsockopt(own, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentBytes, sizeof kUnsentBytes);
  wire_.attach(own);
  if (Result<void> begun = begin_tls(); !begun.has_value()) {
    return begun;
  }
  upgrade_ = std::make_unique<GridUpgrade>(side_, peer_, driver_.random_bytes(16));
  timer_.expires_after(deadline);
  timer_.async_wait([self = shared_from_this()](const error_code& failed) {
    if (!failed && self->state_ == State::kUpgrading) {
      self->lost("the WebSocket's handshake took too long");
    }
  });
  if (side_ == grid::Side::kDialler) {
    Result<std::string> request = upgrade_->request();
    if (!request.has_value()) {
      return std::unexpected(request.error());
    }
    out_ = std::move(*request);
    write();
  }
  wait_readable();
  return {};
}

Result<void> GridConnection::begin_tls() {
  const GridCertificates& certificates = driver_.certificates();
  if (certificates.dialling == nullptr) {
    return {};
  }
  if (side_ == grid::Side::kDialler) {
    return wire_.dial_tls(certificates.dialling, host_of(peer_));
  }
  wire_.accept_tls(certificates.accepting);
  return {};
}

// No buffer is held while there is nothing to read but the beginning of a frame.
void GridConnection::wait_readable() {
  if (wire_.holds_received()) {
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
      if (self->state_ != State::kEnded) {
        self->on_readable();
      }
    });
    return;
  }
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code& error) {
    if (!error && self->state_ != State::kEnded) {
      self->on_readable();
    }
  });
}

void GridConnection::on_readable() {
  driver_.begin_turn();
  const std::span<char> buffer = driver_.read_buffer();
  std::size_t held = unread_.copy(buffer.data(), buffer.size());
  unread_ = {};
  for (std::size_t total = 0; total < kReadBytesPerTurn;) {
    const std::span<char> free = buffer.subspan(held);
    const ssize_t got = wire_.receive(free);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      break;
    }
    if (got <= 0) {
      lost(got == 0          ? "the peer has closed the connection"
           : errno == EPROTO ? wire_.failure()
                             : "read: " + system_error_text(errno));
      return;
    }
    const std::span<char> bytes = buffer.first(held + static_cast<std::size_t>(got));
    held = unfinished_bytes({bytes.data(), bytes.size()});
    received(bytes.first(bytes.size() - held));
    if (state_ == State::kEnded) {
      return;
    }
    std::memmove(buffer.data(), bytes.last(held).data(), held);
    total += static_cast<std::size_t>(got);
    if (static_cast<std::size_t>(got) < free.size()) {
      break;
    }
  }
  unread_.assign(buffer.data(), held);
  if (held > 0) {
    driver_.core().heard(id_);
  }
  // TLS may have waited for what came, or have something to say to it.
  if (wire_.is_tls() && !is_blocked_ && (wire_.holds_unsent() || !out_.empty())) {
    write();
    if (state_ == State::kEnded) {
      return;
    }
  }
  wait_readable();
}

// How much at the end the reader should not see yet: the beginning of a frame of which the rest
// will fit behind it. The reader would copy it into memory of its own and hand it out from there.
// What does not look right is the reader's, at once.
std::size_t GridConnection::unfinished_bytes(std::string_view bytes) const {
  static constexpr char kWholeBinary = '\x82';
  if (state_ != State::kOpen || !reader_.is_between_messages()) {
    return 0;
  }
  while (!bytes.empty()) {
    const std::optional<std::uint64_t> size = ws::frame_size(bytes);
    if (!size.has_value() || *size > bytes.size()) {
      const bool is_masked = bytes.size() > 1 && (bytes[1] & '\x80') != 0;
      const bool is_expected = bytes[0] == kWholeBinary &&
                               (bytes.size() == 1 || is_masked == (side_ == grid::Side::kAcceptor));
      const bool will_fit = size.value_or(0) <= driver_.read_buffer().size();
      return is_expected && will_fit ? bytes.size() : 0;
    }
    bytes.remove_prefix(*size);
  }
  return 0;
}

void GridConnection::received(std::span<char> bytes) {
  if (state_ == State::kUpgrading) {
    read_upgrade({bytes.data(), bytes.size()});
  } else if (state_ == State::kOpen) {
    take(bytes);
  }
}

void GridConnection::read_upgrade(std::string_view bytes) {
  const Result<bool> stands = upgrade_->take(bytes);
  if (stands.has_value() && !*stands) {
    return;
  }
  out_ += upgrade_->answer();
  if (!stands.has_value()) {
    state_ = State::kEnding;
    write();
    driver_.log(fmt::format("grid: no WebSocket with {}: {}", peer_.empty() ? "a caller" : peer_,
                            stands.error().context));
    finish(stands.error().context);
    return;
  }
  open(upgrade_->rest());
}

void GridConnection::open(std::string rest) {
  upgrade_.reset();
  timer_.cancel();
  state_ = State::kOpen;
  id_ = driver_.opened(shared_from_this());
  if (!rest.empty()) {
    const std::size_t bytes = rest.size();
    rest.append(ws::kMessagePadding, '\0');
    take({rest.data(), bytes});
  }
  if (state_ != State::kEnded) {
    write();
  }
}

void GridConnection::take(std::span<char> bytes) {
  const std::shared_ptr<GridConnection> self = shared_from_this();
  const Result<void> read = reader_.read(bytes, *this);
  if (!read.has_value() && state_ == State::kOpen) {
    driver_.lost(std::exchange(id_, 0), read.error().context);
    end({}, read.error().context);
  }
}

bool GridConnection::on_text(std::span<char> /*message*/) {
  driver_.lost(std::exchange(id_, 0), "a text message where only binary ones are spoken");
  end({}, "a text message where only binary ones are spoken");
  return false;
}

bool GridConnection::on_binary(std::span<char> message) {
  driver_.core().received(id_, {message.data(), message.size()});
  driver_.program().wake_receivers();
  // What has come of the next frame meanwhile can wait for it: the peer has nothing to do until it
  // gets the answers to this one.
  flush();
  return state_ == State::kOpen;
}

bool GridConnection::on_ping(std::string_view payload) {
  // A peer that pings and does not read gets no pongs beyond this.
  if (out_.size() - out_sent_ < kUnsentPongBytesMax) {
    out_ += make_frame(ws::Opcode::kPong, payload);
    write();
  }
  return state_ == State::kOpen;
}

bool GridConnection::on_pong(std::string_view /*payload*/) {
  return true;
}

bool GridConnection::on_close(ws::CloseCode /*code*/, std::string_view reason) {
  const std::string why = reason.empty() ? "the peer has closed the connection"
                                         : "closed by the peer: " + std::string(reason);
  driver_.lost(std::exchange(id_, 0), why);
  end({}, {});
  return false;
}

std::string GridConnection::make_frame(ws::Opcode opcode, std::string_view payload) {
  return side_ == grid::Side::kDialler
             ? ws::make_masked_frame(opcode, payload, driver_.masking_key())
             : ws::make_frame(opcode, payload);
}

void GridConnection::flush() {
  if (state_ == State::kOpen && !is_blocked_) {
    write();
  }
}

// The header is written in front of what was gathered, so nothing is moved.
bool GridConnection::fill() {
  if (state_ != State::kOpen || !driver_.core().wants_write(id_)) {
    return false;
  }
  if (out_.capacity() < driver_.write_buffer_bytes()) {
    driver_.swap_write_buffer(out_);
  }
  out_.assign(ws::kFrameHeaderBytesMax, '\0');
  is_filling_ = true;
  driver_.core().gather(id_, out_, kFrameBytes);
  is_filling_ = false;
  const std::size_t payload_bytes = out_.size() - ws::kFrameHeaderBytesMax;
  if (payload_bytes == 0) {
    out_ = std::exchange(last_words_, {});
    return !out_.empty();
  }
  const bool is_masked = side_ == grid::Side::kDialler;
  const std::size_t header_bytes =
      ws::frame_header_size(payload_bytes) + (is_masked ? ws::MaskingKey{}.size() : 0U);
  out_sent_ = ws::kFrameHeaderBytesMax - header_bytes;
  ws::write_frame_header(out_.data() + out_sent_, ws::Opcode::kBinary, payload_bytes);
  if (is_masked) {
    const ws::MaskingKey key = driver_.masking_key();
    out_[out_sent_ + 1] = static_cast<char>(out_[out_sent_ + 1] | static_cast<char>(0x80));
    std::memcpy(out_.data() + ws::kFrameHeaderBytesMax - key.size(), key.data(), key.size());
    ws::apply_mask(std::span(out_).subspan(ws::kFrameHeaderBytesMax), key);
  }
  out_ += std::exchange(last_words_, {});
  return true;
}

GridConnection::Sent GridConnection::send_out() {
  while (out_sent_ < out_.size() || wire_.holds_unsent()) {
    const ssize_t sent = wire_.send(std::string_view(out_).substr(out_sent_));
    if (sent >= 0) {
      out_sent_ += static_cast<std::size_t>(sent);
      if (id_ != 0) {
        driver_.core().socket_progressed(id_);
      } else if (state_ == State::kEnding) {
        arm_ending();
      }
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return Sent::kBlocked;
    } else if (errno == EINPROGRESS) {
      return Sent::kTooEarly;
    } else if (errno != EINTR) {
      return Sent::kFailed;
    }
  }
  out_sent_ = 0;
  out_.clear();
  return Sent::kAll;
}

void GridConnection::write() {
  while (!is_blocked_ && state_ != State::kEnded) {
    const Sent sent = send_out();
    if (sent == Sent::kFailed) {
      lost("write: " + system_error_text(errno));
      return;
    }
    if (sent == Sent::kTooEarly) {
      return;  // what comes brings it on
    }
    if (sent == Sent::kBlocked) {
      is_blocked_ = true;
      if (id_ != 0) {
        driver_.core().socket_blocked(id_);
      }
      socket_.async_wait(tcp::socket::wait_write,
                         [self = shared_from_this()](const error_code& error) {
                           self->is_blocked_ = false;
                           if (!error && self->state_ != State::kEnded) {
                             self->driver_.begin_turn();
                             self->write();
                           }
                         });
      return;
    }
    if (!fill()) {
      break;
    }
  }
  if (state_ == State::kEnded || is_blocked_) {
    return;
  }
  if (id_ != 0) {
    driver_.core().socket_idle(id_);
  }
  if (out_.capacity() > kIdleWriteBytes) {
    if (driver_.write_buffer_bytes() < out_.capacity()) {
      driver_.swap_write_buffer(out_);
    }
    out_ = {};
  }
  if (state_ == State::kEnding && !std::exchange(is_shut_, true)) {
    wire_.finish();
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }
}

void GridConnection::end(std::string_view last, std::string_view reason) {
  if (state_ == State::kEnding || state_ == State::kEnded) {
    return;
  }
  id_ = 0;
  if (state_ == State::kUpgrading) {
    finish(reason);
    return;
  }
  state_ = State::kEnding;
  std::string words = last.empty() ? std::string() : make_frame(ws::Opcode::kBinary, last);
  words += make_frame(ws::Opcode::kClose, ws::close_payload(ws::kCloseNormal, reason));
  arm_ending();
  if (is_filling_) {
    last_words_ = std::move(words);
    return;  // fill() puts them behind its frame
  }
  out_ += words;
  write();
}

// A socket that is closed with bytes unread would take the last words back, so the peer closes it;
// if it has not done so a while after it took the last byte, it is closed here.
void GridConnection::arm_ending() {
  timer_.expires_after(kEndingTime);
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) {
      self->finish("ended");
    }
  });
}

void GridConnection::abort(std::string_view reason) {
  id_ = 0;
  finish(reason);
}

// The socket is no good any more.
void GridConnection::lost(std::string_view why) {
  const grid::ConnectionId id = std::exchange(id_, 0);
  const std::string kept(why);
  if (state_ == State::kUpgrading && !wire_.failure().empty()) {
    driver_.log(fmt::format("grid: no TLS with {}: {}", peer_.empty() ? "a caller" : peer_, kept));
  }
  finish(kept);
  if (id != 0) {
    driver_.lost(id, kept);
  }
}

void GridConnection::finish(std::string_view why) {
  if (state_ == State::kEnded) {
    return;
  }
  const std::shared_ptr<GridConnection> self = shared_from_this();
  state_ = State::kEnded;
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
  peer_connection_->close(why);
  // Before there was a WebSocket it was one more dial that has failed.
  driver_.forget(*this, upgrade_ != nullptr ? why : std::string_view{});
}

}  // namespace trunkline::net
