// SPDX-License-Identifier: Apache-2.0
#include "net/response_reader.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace trunkline::net {

namespace http = boost::beast::http;

namespace {

constexpr std::string_view kHeadEnd = "\r\n\r\n";
// A chunk's size with its extensions, or one field behind the body.
constexpr std::size_t kLineBytesMax = 4UL * 1024;

std::unexpected<Error> malformed(std::string what) {
  return fail(ErrorCode::kMalformed, std::move(what));
}

bool has_no_body(unsigned status) {
  return status == 204 || status == 304;
}

// The size that a chunk's line says (RFC 9112, section 7.1); what follows ';' is not ours.
std::optional<std::uint64_t> chunk_size(std::string_view line) {
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
  const std::string_view rest(end, static_cast<std::size_t>(line.data() + line.size() - end));
  const bool is_size = error == std::errc{} && (rest.empty() || rest[0] == ';' || rest[0] == ' ');
  return is_size ? std::optional(size) : std::nullopt;
}

}  // namespace

Result<void> ResponseReader::read(std::string_view bytes, std::string& body) {
  while (!bytes.empty() && state_ != State::kDone) {
    Result<void> good;
    switch (state_) {
      case State::kHead:
        good = read_head(bytes);
        break;
      case State::kChunkSize:
      case State::kChunkEnd:
      case State::kTrailer:
        good = read_line(bytes);
        break;
      case State::kFixed:
      case State::kChunk:
      case State::kUntilClose:
        read_body(bytes, body);
        break;
      case State::kDone:
        break;
    }
    if (!good.has_value()) {
      return good;
    }
  }
  has_excess_ = has_excess_ || !bytes.empty();
  return {};
}

Result<void> ResponseReader::end() {
  ended_ = true;
  if (state_ == State::kUntilClose) {
    state_ = State::kDone;
  }
  return state_ == State::kDone
             ? Result<void>{}
             : fail(ErrorCode::kUnavailable,
                    has_head() ? "closed in the middle of the answer" : "closed without an answer");
}

Result<void> ResponseReader::read_head(std::string_view& bytes) {
  const std::size_t before = pending_.size();
  const std::size_t searched = before < kHeadEnd.size() ? 0 : before - kHeadEnd.size();
  pending_ += bytes;
  const std::size_t end = pending_.find(kHeadEnd, searched);
  const std::size_t size = end == std::string::npos ? pending_.size() : end + kHeadEnd.size();
  if (head_bytes_ + size > kHeadBytesMax) {
    return malformed(fmt::format("a head of more than {} bytes", kHeadBytesMax));
  }
  if (end == std::string::npos) {
    bytes = {};
    return {};
  }
  bytes.remove_prefix(size - before);
  pending_.resize(size);
  head_bytes_ += size;
  const std::string head = std::exchange(pending_, {});
  return begin_body(head);
}

Result<void> ResponseReader::begin_body(std::string_view head) {
  http::response_parser<http::empty_body> parser;
  parser.skip(true);
  parser.header_limit(static_cast<std::uint32_t>(kHeadBytesMax) + 1024);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(head.data(), head.size()), error);
  if (error || !parser.is_header_done()) {
    return malformed("not an HTTP response: " + error.message());
  }
  const auto& message = parser.get();
  const unsigned status = message.result_int();
  if (status == 101) {
    return malformed("a change of the protocol that nobody asked for");
  }
  if (status < 200) {
    return {};  // an interim response: the real one follows
  }
  status_ = status;
  keep_alive_ = message.keep_alive();
  for (const auto& field : message) {
    fields_.emplace_back(std::string(field.name_string().data(), field.name_string().size()),
                         std::string(field.value().data(), field.value().size()));
  }
  head_bytes_ = 0;
  const bool has_coding = message.find(http::field::transfer_encoding) != message.end();
  if (has_no_body(status)) {
    state_ = State::kDone;
  } else if (parser.chunked()) {
    state_ = State::kChunkSize;
  } else if (has_coding) {
    return malformed("a Transfer-Encoding that is not chunked");
  } else if (const auto length = parser.content_length()) {
    length_ = *length;
    left_ = *length;
    state_ = left_ == 0 ? State::kDone : State::kFixed;
  } else {
    state_ = State::kUntilClose;
  }
  return {};
}

Result<void> ResponseReader::read_line(std::string_view& bytes) {
  const std::size_t end = bytes.find('\n');
  const std::size_t used = end == std::string_view::npos ? bytes.size() : end + 1;
  if (pending_.size() + used > kLineBytesMax) {
    return malformed("a body in chunks that are none");
  }
  pending_ += bytes.substr(0, used);
  bytes.remove_prefix(used);
  if (end == std::string_view::npos) {
    return {};
  }
  const std::string line = std::exchange(pending_, {});
  if (!line.ends_with("\r\n")) {
    return malformed("a body in chunks that are none");
  }
  return on_line(std::string_view(line).substr(0, line.size() - 2));
}

Result<void> ResponseReader::on_line(std::string_view line) {
  if (state_ == State::kChunkSize) {
    const auto size = chunk_size(line);
    if (!size.has_value()) {
      return malformed("a chunk whose size is no number");
    }
    left_ = *size;
    state_ = left_ == 0 ? State::kTrailer : State::kChunk;
  } else if (state_ == State::kChunkEnd) {
    if (!line.empty()) {
      return malformed("a chunk longer than it says");
    }
    state_ = State::kChunkSize;
  } else if (line.empty()) {
    state_ = State::kDone;
  } else {
    head_bytes_ += line.size();
    if (head_bytes_ > kHeadBytesMax) {
      return malformed("too many fields behind the body");
    }
  }
  return {};
}

void ResponseReader::read_body(std::string_view& bytes, std::string& body) {
  if (state_ == State::kUntilClose) {
    body += bytes;
    bytes = {};
    return;
  }
  const auto used = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
  body += bytes.substr(0, used);
  bytes.remove_prefix(used);
  left_ -= used;
  if (left_ == 0) {
    state_ = state_ == State::kChunk ? State::kChunkEnd : State::kDone;
  }
}

}  // namespace trunkline::net
