// SPDX-License-Identifier: Apache-2.0
//
// What the hub puts on the wire, in the JSON format: pushes as whole text frames. A publication's
// frame is written once and shared by all subscribers; its body (`{"data":…,"offset":…}`) is reused
// as it stands in history and recovery replies.
#pragma once

#include "hub/codec.h"
#include "hub/messages.h"
#include "session/json.h"

#include <string>
#include <string_view>

namespace trunkline::session {

class JsonCodec final : public hub::Codec {
 public:
  [[nodiscard]] replay::EncodedFrame publication_frame(const Publish& publish,
                                                       std::string_view epoch,
                                                       Offset offset) const override;
  [[nodiscard]] std::string unlogged_frame(std::string_view channel,
                                           const hub::NewPublication& publication) const override;
  [[nodiscard]] std::string join_frame(std::string_view channel,
                                       const hub::ClientInfo& info) const override;
  [[nodiscard]] std::string leave_frame(std::string_view channel,
                                        const hub::ClientInfo& info) const override;
};

// A ClientInfo object; `client` and `user` are always present.
void write_client_info(JsonText& json, const hub::ClientInfo& info);

// The result of a presence command: client infos by client id.
void write_presence(JsonText& json, const hub::Presence& presence);

// A text frame around one message.
[[nodiscard]] std::string text_frame(std::string_view message);

}  // namespace trunkline::session
