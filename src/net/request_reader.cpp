// SPDX-License-Identifier: Apache-2.0
#include "net/request_reader.h"

#include <boost/asio/buffer.hpp>

namespace trunkline::net {

namespace http = boost::beast::http;

namespace {

// "0" and two line ends. Every body in chunks ends with so many bytes, so none is complete with
// fewer; and Beast (1.81) asserts that it is given so many when it comes back to the last chunk.
constexpr std::size_t kLastChunkBytes = 5;

}  // namespace

void RequestReader::begin() {
  parser_.emplace();
  parser_->header_limit(kHeadBytesMax);
  parser_->body_limit(body_bytes_max_);
  parser_->eager(true);
}

boost::system::error_code RequestReader::read() {
  boost::system::error_code error;
  std::size_t used = 0;
  while (used < unread_.size() && !parser_->is_done()) {
    if (parser_->is_header_done() && parser_->chunked() &&
        unread_.size() - used < kLastChunkBytes) {
      break;
    }
    const std::size_t took =
        parser_->put(boost::asio::buffer(unread_.data() + used, unread_.size() - used), error);
    used += took;
    if (error || took == 0) {
      break;
    }
  }
  unread_.erase(0, used);
  return error == http::error::need_more ? boost::system::error_code{} : error;
}

}  // namespace trunkline::net
