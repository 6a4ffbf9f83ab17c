// SPDX-License-Identifier: Apache-2.0
#include "ws/close_code.h"

namespace trunkline::ws {

bool may_be_sent(CloseCode code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

CloseCode close_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kProtocolError:
      return kCloseProtocolError;
    case ErrorCode::kInvalidPayload:
      return kCloseInvalidPayload;
    case ErrorCode::kMessageTooBig:
      return kCloseMessageTooBig;
    default:
      return kCloseInternalError;
  }
}

}  // namespace trunkline::ws
