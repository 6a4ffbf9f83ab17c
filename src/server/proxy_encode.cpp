// SPDX-License-Identifier: Apache-2.0
#include "server/base64.h"
#include "server/proxy_body.h"
#include "session/json.h"

namespace trunkline::server {

namespace {

using session::JsonText;

// What all bodies begin with. JSON over WebSocket is what clients speak here.
void begin(JsonText& json, const session::Caller& caller) {
  json.open().member("client").string(caller.client);
  json.member("transport").string("websocket");
  json.member("protocol").string("json");
  json.member("encoding").string("json");
}

void begin_with_user(JsonText& json, const session::Caller& caller) {
  begin(json, caller);
  json.member("user").string(caller.user);
}

void payload(JsonText& json, std::string_view data, const ProxyEncoding& encoding) {
  if (data.empty()) {
    return;
  }
  if (encoding.binary) {
    json.member("b64data").string(encode_base64(data));
  } else {
    json.member("data").raw(data);
  }
}

void meta(JsonText& json, const session::Caller& caller, const ProxyEncoding& encoding) {
  if (encoding.include_meta && caller.context && !caller.context->meta.empty()) {
    json.member("meta").raw(caller.context->meta);
  }
}

}  // namespace

std::string encode_connect(const session::ConnectQuestion& question,
                           const ProxyEncoding& encoding) {
  JsonText json;
  begin(json, question.caller);
  if (!question.name.empty()) {
    json.member("name").string(question.name);
  }
  if (!question.version.empty()) {
    json.member("version").string(question.version);
  }
  payload(json, question.data, encoding);
  if (!question.channels.empty()) {
    json.member("channels").raw("[");
    for (const std::string& channel : question.channels) {
      json.raw(json.view().ends_with('[') ? "" : ",").string(channel);
    }
    json.raw("]");
  }
  return json.close().take();
}

std::string encode_refresh(const session::Caller& caller, const ProxyEncoding& encoding) {
  JsonText json;
  begin_with_user(json, caller);
  meta(json, caller, encoding);
  return json.close().take();
}

std::string encode_subscribe(const session::SubscribeQuestion& question,
                             const ProxyEncoding& encoding) {
  JsonText json;
  begin_with_user(json, question.caller);
  json.member("channel").string(question.channel);
  meta(json, question.caller, encoding);
  payload(json, question.data, encoding);
  return json.close().take();
}

std::string encode_publish(const session::PublishQuestion& question,
                           const ProxyEncoding& encoding) {
  JsonText json;
  begin_with_user(json, question.caller);
  json.member("channel").string(question.channel);
  payload(json, question.data, encoding);
  meta(json, question.caller, encoding);
  return json.close().take();
}

std::string encode_sub_refresh(const session::SubRefreshQuestion& question,
                               const ProxyEncoding& encoding) {
  JsonText json;
  begin_with_user(json, question.caller);
  json.member("channel").string(question.channel);
  meta(json, question.caller, encoding);
  return json.close().take();
}

std::string encode_rpc(const session::RpcQuestion& question, const ProxyEncoding& encoding) {
  JsonText json;
  begin_with_user(json, question.caller);
  if (!question.method.empty()) {
    json.member("method").string(question.method);
  }
  payload(json, question.data, encoding);
  meta(json, question.caller, encoding);
  return json.close().take();
}

}  // namespace trunkline::server
