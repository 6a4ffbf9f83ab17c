// SPDX-License-Identifier: Apache-2.0
//
// One HTTP/1.1 response of bytes, however they were cut (RFC 9112). Beast reads the head; the
// body's framing is read here, because a line of a streamed body has to come out with its last
// byte, and Beast's parser (1.81) wants five bytes ahead in a body of chunks. No socket.
#pragma once

#include <trunkline/error.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::net {

using HttpFields = std::vector<std::pair<std::string, std::string>>;

// Thread: one at a time.
class ResponseReader {
 public:
  // Of the head with interim responses before it, and of the fields behind a body of chunks.
  static constexpr std::size_t kHeadBytesMax = 16UL * 1024;

  // Takes what came and appends what it holds of the body. Errors end the reader: kMalformed.
  [[nodiscard]] Result<void> read(std::string_view bytes, std::string& body);
  // The connection has ended. Error: kUnavailable when that cuts the response.
  [[nodiscard]] Result<void> end();

  [[nodiscard]] bool has_head() const { return state_ != State::kHead; }

  [[nodiscard]] bool is_done() const { return state_ == State::kDone; }

  // The connection may carry another exchange.
  [[nodiscard]] bool keeps_connection() const {
    return is_done() && keep_alive_ && !ended_ && !has_excess_;
  }

  // The following once there is a head.
  [[nodiscard]] unsigned status() const { return status_; }

  [[nodiscard]] HttpFields take_fields() { return std::move(fields_); }

  // How long the body is going to be, when the head says so.
  [[nodiscard]] std::optional<std::uint64_t> length() const { return length_; }

 private:
  enum class State : std::uint8_t {
    kHead,
    kFixed,       // a body whose length the head says
    kChunkSize,   // the line before a chunk
    kChunk,       // inside of one
    kChunkEnd,    // the line end behind it
    kTrailer,     // fields behind the last one
    kUntilClose,  // a body that ends with the connection
    kDone
  };

  Result<void> read_head(std::string_view& bytes);
  Result<void> begin_body(std::string_view head);
  Result<void> read_line(std::string_view& bytes);
  Result<void> on_line(std::string_view line);
  void read_body(std::string_view& bytes, std::string& body);

  State state_ = State::kHead;
  bool keep_alive_ = false;
  bool ended_ = false;
  bool has_excess_ = false;  // bytes behind the response
  unsigned status_ = 0;
  HttpFields fields_;
  std::optional<std::uint64_t> length_;
  std::uint64_t left_ = 0;      // of the body, or of the chunk
  std::size_t head_bytes_ = 0;  // of interim responses, then of trailers
  std::string pending_;         // a head or line that is not complete
};

}  // namespace trunkline::net
