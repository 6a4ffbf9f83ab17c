// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace trunkline::app {

// The lines of a descriptor, by one thread, until another one says that no more are wanted.
class LineInput {
 public:
  // Does not own it.
  explicit LineInput(int descriptor);
  LineInput(const LineInput&) = delete;
  LineInput& operator=(const LineInput&) = delete;
  ~LineInput();

  // The next one without its newline; none: that was all, or end() was called. Waits.
  [[nodiscard]] std::optional<std::string> next();
  // Ends it. Thread: any.
  void end() const;

 private:
  // More of it; false: there is no more.
  bool read_more();

  const int descriptor_;
  const int wake_;  // an eventfd
  std::string read_;
  std::size_t taken_ = 0;
};

}  // namespace trunkline::app
