// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline::net {

// Makes HTTP/1.1 requests of bytes, one after the other, however they were cut. No socket. Thread:
// one at a time.
class RequestReader {
 public:
  using Message =
      boost::beast::http::request<boost::beast::http::string_body, boost::beast::http::fields>;

  static constexpr std::uint32_t kHeadBytesMax = 16U * 1024;

  explicit RequestReader(std::uint64_t body_bytes_max) : body_bytes_max_(body_bytes_max) {
    begin();
  }

  // Ready for the next request; what follows the last one is kept for it.
  void begin();

  // Takes what came: read() uses it.
  void add(std::string_view bytes) { unread_ += bytes; }

  // Reads on until the request is complete or the bytes are used up. Errors (not HTTP, or too
  // large) end the reader.
  boost::system::error_code read();

  [[nodiscard]] bool is_done() const { return parser_->is_done(); }

  // Its head is complete.
  [[nodiscard]] bool has_head() const { return parser_->is_header_done(); }

  // The request, as far as it is known.
  [[nodiscard]] Message& message() { return parser_->get(); }

  [[nodiscard]] const Message& message() const { return parser_->get(); }

  // Bytes behind the request.
  [[nodiscard]] bool has_unread() const { return !unread_.empty(); }

  [[nodiscard]] std::string take_unread() { return std::exchange(unread_, {}); }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  const std::uint64_t body_bytes_max_;
  std::optional<Parser> parser_;
  std::string unread_;
};

}  // namespace trunkline::net
