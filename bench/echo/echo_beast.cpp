// SPDX-License-Identifier: Apache-2.0
//
// The same echo by Boost.Beast, as fast as its documentation allows: one thread, an io_context
// without locks, concrete executors, no compression, no timers, no fragmentation, the fast masking
// generator, one buffer a connection that is kept.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdio>
#include <memory>
#include <utility>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(Socket socket) : stream_(std::move(socket)) {
    stream_.next_layer().set_option(asio::ip::tcp::no_delay(true));
    stream_.auto_fragment(false);
    stream_.secure_prng(false);
    buffer_.reserve(4096);
  }

  void start() {
    stream_.async_accept([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) {
        self->read();
      }
    });
  }

 private:
  void read() {
    stream_.async_read(
        buffer_, [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
          if (!error) {
            self->write();
          }
        });
  }

  void write() {
    stream_.text(stream_.got_text());
    stream_.async_write(buffer_.data(), [self = shared_from_this()](
                                            const boost::system::error_code& error, std::size_t) {
      if (!error) {
        self->buffer_.consume(self->buffer_.size());
        self->read();
      }
    });
  }

  websocket::stream<Socket, false> stream_;
  beast::flat_buffer buffer_;
};

void accept_next(Acceptor& acceptor) {
  acceptor.async_accept([&acceptor](const boost::system::error_code& error, Socket socket) {
    if (!error) {
      std::make_shared<Session>(std::move(socket))->start();
    }
    accept_next(acceptor);
  });
}

}  // namespace

int main() {
  asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
  Acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  fmt::print("listening on http://127.0.0.1:{}\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  accept_next(acceptor);
  context.run();
}
