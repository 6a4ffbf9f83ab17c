// SPDX-License-Identifier: Apache-2.0
//
// Uses the installed library as its users do: public headers only, nothing of this repository.
#include <trunkline/error.h>
#include <trunkline/position.h>
#include <trunkline/version.h>

#include <cstdio>
#include <string>

int main() {
  const trunkline::Error error{trunkline::ErrorCode::kTimeout, "dial"};
  const std::string text = trunkline::to_string(error);
  std::printf("trunkline %s: %s\n", TRUNKLINE_VERSION, text.c_str());
  return text.find("dial") != std::string::npos ? 0 : 1;
}
