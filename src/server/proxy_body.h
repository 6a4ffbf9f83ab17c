// SPDX-License-Identifier: Apache-2.0
//
// What a backend is asked and what it answers, as the JSON bodies that Centrifugo 6 documents
// (docs/proxy.md). Pure functions: bytes of a backend may be anything.
#pragma once

#include <trunkline/error.h>

#include "core/time.h"
#include "server/proxy_config.h"
#include "session/application.h"

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::server {

// How bodies are written.
struct ProxyEncoding {
  bool binary = false;        // payloads of clients in base64
  bool include_meta = false;  // what is attached to the connection
};

[[nodiscard]] std::string encode_connect(const session::ConnectQuestion& question,
                                         const ProxyEncoding& encoding);
[[nodiscard]] std::string encode_refresh(const session::Caller& caller,
                                         const ProxyEncoding& encoding);
[[nodiscard]] std::string encode_subscribe(const session::SubscribeQuestion& question,
                                           const ProxyEncoding& encoding);
[[nodiscard]] std::string encode_publish(const session::PublishQuestion& question,
                                         const ProxyEncoding& encoding);
[[nodiscard]] std::string encode_sub_refresh(const session::SubRefreshQuestion& question,
                                             const ProxyEncoding& encoding);
[[nodiscard]] std::string encode_rpc(const session::RpcQuestion& question,
                                     const ProxyEncoding& encoding);

// What a body comes to: a grant, or what the backend has against it.
template <class Grant>
struct ProxyAnswer {
  std::expected<Grant, session::Refusal> decision;
  // Members of the result that are known and have no effect here, and others that are not known.
  std::vector<std::string> ignored;
};

// Errors of all: kMalformed with what is wrong, for the log. Nothing is granted by a body that
// lacks a result, but for rpc, whose result may be nothing.
// Raw JSON in grants has been checked to the last token.
[[nodiscard]] Result<ProxyAnswer<session::ConnectGrant>> decode_connect(std::string_view body,
                                                                        WallTime now);
[[nodiscard]] Result<ProxyAnswer<session::RefreshGrant>> decode_refresh(std::string_view body,
                                                                        WallTime now);
[[nodiscard]] Result<ProxyAnswer<session::SubscribeGrant>> decode_subscribe(std::string_view body,
                                                                            WallTime now);
[[nodiscard]] Result<ProxyAnswer<session::PublishGrant>> decode_publish(std::string_view body);
[[nodiscard]] Result<ProxyAnswer<session::SubRefreshGrant>> decode_sub_refresh(
    std::string_view body, WallTime now);
[[nodiscard]] Result<ProxyAnswer<session::RpcGrant>> decode_rpc(std::string_view body);

}  // namespace trunkline::server
