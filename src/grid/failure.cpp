// SPDX-License-Identifier: Apache-2.0
#include "grid/failure.h"

namespace trunkline::grid {

std::string_view name(FailureCode code) {
  switch (code) {
    case FailureCode::kCancelled:
      return "cancelled";
    case FailureCode::kDeadline:
      return "deadline";
    case FailureCode::kUnknownHandler:
      return "unknown_handler";
    case FailureCode::kBusy:
      return "busy";
    case FailureCode::kTooLarge:
      return "too_large";
    case FailureCode::kMemory:
      return "memory";
    case FailureCode::kDraining:
      return "draining";
    case FailureCode::kHandler:
      return "handler";
    case FailureCode::kThrew:
      return "threw";
    case FailureCode::kAbandoned:
      return "abandoned";
    case FailureCode::kDisconnected:
      return "disconnected";
    case FailureCode::kNotConnected:
      return "not_connected";
    case FailureCode::kFull:
      return "full";
    case FailureCode::kInvalid:
      return "invalid";
  }
  return "other";
}

std::string_view name(Origin origin) {
  switch (origin) {
    case Origin::kHandler:
      return "handler";
    case Origin::kRemote:
      return "remote";
    case Origin::kTransport:
      return "transport";
    case Origin::kCaller:
      return "caller";
  }
  return "other";
}

Origin origin(const Failure& failure) {
  switch (failure.code) {
    case FailureCode::kCancelled:
    case FailureCode::kDeadline:
    case FailureCode::kFull:
    case FailureCode::kInvalid:
      return Origin::kCaller;
    case FailureCode::kUnknownHandler:
    case FailureCode::kBusy:
    case FailureCode::kTooLarge:
    case FailureCode::kMemory:
    case FailureCode::kDraining:
      return failure.is_peers ? Origin::kRemote : Origin::kCaller;
    case FailureCode::kDisconnected:
    case FailureCode::kNotConnected:
      return Origin::kTransport;
    case FailureCode::kHandler:
    case FailureCode::kThrew:
    case FailureCode::kAbandoned:
      return Origin::kHandler;
  }
  return Origin::kHandler;
}

FailureCode code_of_peer(std::uint16_t number) {
  const auto first = static_cast<std::uint16_t>(FailureCode::kCancelled);
  const auto last = static_cast<std::uint16_t>(FailureCode::kAbandoned);
  return number >= first && number <= last ? static_cast<FailureCode>(number)
                                           : FailureCode::kHandler;
}

}  // namespace trunkline::grid
