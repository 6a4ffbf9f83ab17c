// SPDX-License-Identifier: Apache-2.0
#include "session/json_codec.h"

#include "ws/frame.h"

#include <cstdint>

namespace trunkline::session {

namespace {

std::string push_head(std::string_view channel, std::string_view kind) {
  JsonText json;
  json.raw(R"({"push":{"channel":)").string(channel).raw(R"(,")").raw(kind).raw(R"(":)");
  return json.take();
}

void write_body(JsonText& json, const hub::NewPublication& publication, std::string_view epoch,
                Offset offset, bool with_offset) {
  json.open().member("data").raw(publication.data);
  if (publication.info.has_value()) {
    json.member("info");
    write_client_info(json, *publication.info);
  }
  if (with_offset) {
    json.member("offset").number(offset.value);
  }
  if (!publication.tags.empty()) {
    json.member("tags").open();
    for (const auto& [key, value] : publication.tags) {
      json.raw(json.view().back() == '{' ? "" : ",").string(key).raw(":").string(value);
    }
    json.close();
  }
  // Whoever subscribed before the stream existed learns its epoch with the first publication.
  if (with_offset && offset.value == 1) {
    json.member("epoch").string(epoch);
  }
  json.close();
}

std::string info_frame(std::string_view channel, std::string_view kind,
                       const hub::ClientInfo& info) {
  JsonText json;
  json.raw(push_head(channel, kind)).raw(R"({"info":)");
  write_client_info(json, info);
  json.raw("}}}");
  return text_frame(json.view());
}

}  // namespace

void write_client_info(JsonText& json, const hub::ClientInfo& info) {
  json.open().member("user").string(info.user).member("client").string(info.client);
  if (!info.conn_info.empty()) {
    json.member("conn_info").raw(info.conn_info);
  }
  if (!info.chan_info.empty()) {
    json.member("chan_info").raw(info.chan_info);
  }
  json.close();
}

void write_presence(JsonText& json, const hub::Presence& presence) {
  json.open().member("presence").open();
  for (const hub::ClientInfo& info : presence) {
    json.raw(json.view().back() == '{' ? "" : ",").string(info.client).raw(":");
    write_client_info(json, info);
  }
  json.close().close();
}

std::string text_frame(std::string_view message) {
  return ws::make_frame(ws::Opcode::kText, message);
}

replay::EncodedFrame JsonCodec::publication_frame(const Publish& publish, std::string_view epoch,
                                                  Offset offset) const {
  JsonText json;
  json.raw(push_head(publish.channel, "pub"));
  const std::size_t body_begin = json.view().size();
  write_body(json, publish.publication, epoch, offset, publish.with_offset);
  const std::size_t body_end = json.view().size();
  json.raw("}}");
  const std::size_t header = ws::frame_header_size(json.view().size());
  return {.bytes = text_frame(json.view()),
          .body_begin = static_cast<std::uint32_t>(header + body_begin),
          .body_bytes = static_cast<std::uint32_t>(body_end - body_begin)};
}

std::string JsonCodec::unlogged_frame(std::string_view channel,
                                      const hub::NewPublication& publication) const {
  return publication_frame({.channel = channel, .publication = publication, .with_offset = false},
                           {}, Offset{})
      .bytes;
}

std::string JsonCodec::join_frame(std::string_view channel, const hub::ClientInfo& info) const {
  return info_frame(channel, "join", info);
}

std::string JsonCodec::leave_frame(std::string_view channel, const hub::ClientInfo& info) const {
  return info_frame(channel, "leave", info);
}

}  // namespace trunkline::session
