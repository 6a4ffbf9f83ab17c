// SPDX-License-Identifier: Apache-2.0
#include "net/dialled_stream.h"

#include "net/system_error_text.h"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace trunkline::net {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// Encrypted at a time, which is memory besides the bytes themselves: a record of TLS.
constexpr std::size_t kEncryptBytes = 16UL * 1024;

constexpr const char* kClosedByPeer = "the other side closed the connection";

}  // namespace

DialledStream::DialledStream(asio::io_context& io, StreamBuffers& buffers, const Url& url,
                             std::shared_ptr<const TlsContext> tls, StreamOwner& owner)
    : io_(io),
      buffers_(buffers),
      url_(url),
      context_(std::move(tls)),
      owner_(&owner),
      socket_(io),
      resolver_(io) {}

// — the way there —

void DialledStream::start() {
  error_code error;
  const auto address = asio::ip::make_address(url_.host, error);
  if (error) {
    resolve();
    return;
  }
  endpoints_.emplace_back(address, static_cast<std::uint16_t>(std::stoul(url_.port)));
  asio::post(io_, [self = shared_from_this()] { self->try_next_endpoint(); });
}

void DialledStream::resolve() {
  resolver_.async_resolve(url_.host, url_.port,
                          [self = shared_from_this()](const error_code& error,
                                                      const tcp::resolver::results_type& results) {
                            if (error) {
                              self->failure_ = "resolve: " + error.message();
                            }
                            for (const auto& entry : results) {
                              self->endpoints_.push_back(entry.endpoint());
                            }
                            // The first one is taken from the back.
                            std::ranges::reverse(self->endpoints_);
                            self->try_next_endpoint();
                          });
}

void DialledStream::try_next_endpoint() {
  while (state_ == State::kConnecting && !endpoints_.empty()) {
    const tcp::endpoint endpoint = endpoints_.back();
    endpoints_.pop_back();
    error_code error;
    socket_.close(error);
    if (socket_.open(endpoint.protocol(), error)) {
      failure_ = "socket: " + error.message();
      continue;
    }
    socket_.non_blocking(true, error);
    socket_.set_option(tcp::no_delay(true), error);
    socket_.async_connect(endpoint, [self = shared_from_this()](const error_code& failed) {
      if (self->state_ != State::kConnecting) {
        return;
      }
      if (failed) {
        self->failure_ = "connect: " + failed.message();
        self->try_next_endpoint();
      } else {
        self->open();
      }
    });
    return;
  }
  if (state_ == State::kConnecting) {
    lost(StreamEnd::kLost, failure_);
  }
}

// What was sent waits behind TLS's own handshake, when there is one.
void DialledStream::open() {
  if (url_.is_secure) {
    Result<std::unique_ptr<TlsStream>> dialled = TlsStream::dial(context_, url_.host);
    if (!dialled.has_value()) {
      lost(StreamEnd::kLost, dialled.error().context);
      return;
    }
    tls_ = std::move(*dialled);
  }
  state_ = State::kOpen;
  write();
  wait_readable();
}

// — reading —

void DialledStream::wait_readable() {
  if (is_reading_ || is_paused_ || state_ != State::kOpen) {
    return;
  }
  is_reading_ = true;
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code& error) {
    self->is_reading_ = false;
    if (!error && self->state_ == State::kOpen && !self->is_paused_) {
      self->on_readable();
    }
  });
}

void DialledStream::resume() {
  is_paused_ = false;
  wait_readable();
}

void DialledStream::on_readable() {
  const std::span<char> buffer = buffers_.received;
  const ssize_t got = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
    lost(StreamEnd::kLost, "read: " + system_error_text(errno));
    return;
  }
  if (got == 0) {
    // Under TLS only close_notify says that nothing was cut off.
    lost(tls_ ? StreamEnd::kLost : StreamEnd::kOrderly, kClosedByPeer);
    return;
  }
  if (got > 0) {
    const auto bytes = static_cast<std::size_t>(got);
    if (tls_) {
      received_tls(buffer.first(bytes));
    } else {
      owner_->on_stream_bytes(*this, {buffer.data(), bytes});
    }
  }
  wait_readable();
}

void DialledStream::received_tls(std::span<const char> bytes) {
  const bool goes_on = tls_->receive(bytes, buffers_.decrypted, [this](std::span<char> said) {
    owner_->on_stream_bytes(*this, {said.data(), said.size()});
    return state_ == State::kOpen;
  });
  if (state_ != State::kOpen) {
    return;
  }
  write();  // what the handshake answers, an alert, or what had to wait for the handshake
  if (!goes_on && state_ == State::kOpen) {
    const std::string failure = tls_->failure();
    lost(failure.empty() ? StreamEnd::kOrderly : StreamEnd::kLost,
         failure.empty() ? kClosedByPeer : failure);
  }
}

// — writing —

void DialledStream::send(std::string_view bytes) {
  out_ += bytes;
  if (state_ == State::kOpen) {
    write();
  }
}

void DialledStream::write() {
  while (!is_blocked_ && state_ == State::kOpen) {
    if (tls_ && !encrypt_next()) {
      lose_later("TLS: nothing can be sent any more");
      return;
    }
    const std::string_view bytes =
        tls_ ? tls_->pending() : std::string_view(out_).substr(out_sent_);
    if (bytes.empty()) {
      break;
    }
    const ssize_t sent =
        ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0 && tls_) {
      tls_->sent(static_cast<std::size_t>(sent));
    } else if (sent >= 0) {
      out_sent_ += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      is_blocked_ = true;
      socket_.async_wait(tcp::socket::wait_write,
                         [self = shared_from_this()](const error_code& error) {
                           self->is_blocked_ = false;
                           if (!error && self->state_ == State::kOpen) {
                             self->write();
                           }
                         });
    } else if (errno != EINTR) {
      // What the other side said before it closed may still be there to be read.
      lose_later("write: " + system_error_text(errno));
      return;
    }
  }
  if (out_sent_ == out_.size()) {
    out_sent_ = 0;
    out_ = std::string{};
  }
}

// The next bytes go through TLS when the socket has taken those before. False: TLS has failed.
bool DialledStream::encrypt_next() {
  if (!tls_->pending().empty() || !tls_->is_open() || out_sent_ == out_.size()) {
    return true;
  }
  const std::string_view piece = std::string_view(out_).substr(out_sent_, kEncryptBytes);
  out_sent_ += piece.size();
  return tls_->encrypt({&piece, 1});
}

// — the end —

void DialledStream::lose_later(std::string why) {
  asio::post(io_, [self = shared_from_this(), why = std::move(why)] {
    if (self->state_ == State::kOpen) {
      self->lost(StreamEnd::kLost, why);
    }
  });
}

void DialledStream::lost(StreamEnd end, const std::string& why) {
  const auto self = shared_from_this();
  StreamOwner* owner = owner_;
  close();
  if (owner != nullptr) {
    owner->on_stream_end(*this, end, why);
  }
}

void DialledStream::close() {
  if (state_ == State::kOpen && tls_ && tls_->is_open() && !is_blocked_ &&
      tls_->pending().empty() && out_sent_ == out_.size()) {
    tls_->close();
    // Whether the socket takes it or not, nobody waits for it.
    [[maybe_unused]] const ssize_t sent =
        ::send(socket_.native_handle(), tls_->pending().data(), tls_->pending().size(),
               MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  owner_ = nullptr;
  state_ = State::kEnded;
  resolver_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace trunkline::net
