// SPDX-License-Identifier: Apache-2.0
#include "session/client_codec.h"
#include "session/json.h"

namespace trunkline::session {

namespace {

// One command's object being written: `{"id":7,"subscribe":{` and what belongs in it.
class Body {
 public:
  Body(std::uint32_t id, std::string_view command) {
    json_.open();
    if (id != 0) {
      json_.member("id").number(id);
    }
    json_.member(command).open();
  }

  Body& text(std::string_view name, std::string_view value) {
    if (!value.empty()) {
      json_.member(name).string(value);
    }
    return *this;
  }

  Body& number(std::string_view name, std::uint64_t value) {
    if (value != 0) {
      json_.member(name).number(value);
    }
    return *this;
  }

  Body& raw(std::string_view name, std::string_view value) {
    if (!value.empty()) {
      json_.member(name).raw(value);
    }
    return *this;
  }

  Body& flag(std::string_view name, bool value) { return raw(name, value ? "true" : ""); }

  JsonText& json() { return json_; }

  void end(std::string& out) {
    json_.close().close();
    out += json_.view();
  }

 private:
  JsonText json_;
};

}  // namespace

void write_connect(std::string& out, std::uint32_t id, const ConnectFields& fields) {
  Body body(id, "connect");
  body.text("token", fields.token).raw("data", fields.data);
  if (!fields.subs.empty()) {
    body.json().member("subs").raw("{");
    for (const auto& [channel, position] : fields.subs) {
      body.json().raw(body.json().view().back() == '{' ? "" : ",").string(channel);
      body.json().raw(":").open();
      body.flag("recover", true).text("epoch", position->epoch);
      body.number("offset", position->offset.value).json().close();
    }
    body.json().raw("}");
  }
  body.text("name", fields.name).text("version", fields.version);
  if (!fields.headers.empty()) {
    body.json().member("headers").open();
    for (const auto& [name, value] : fields.headers) {
      // A name is a string like any other: it may need escapes.
      const std::string quoted = json_string(name);
      body.json().member(std::string_view(quoted).substr(1, quoted.size() - 2)).string(value);
    }
    body.json().close();
  }
  body.end(out);
}

void write_subscribe(std::string& out, std::uint32_t id, const SubscribeFields& fields) {
  Body body(id, "subscribe");
  body.text("channel", fields.channel).text("token", fields.token);
  if (fields.recover_from != nullptr) {
    body.flag("recover", true).text("epoch", fields.recover_from->epoch);
    body.number("offset", fields.recover_from->offset.value);
  }
  body.raw("data", fields.data).flag("positioned", fields.positioned);
  body.flag("recoverable", fields.recoverable).flag("join_leave", fields.join_leave);
  body.end(out);
}

void write_channel_command(std::string& out, std::uint32_t id, std::string_view command,
                           std::string_view channel) {
  Body(id, command).text("channel", channel).end(out);
}

void write_publish(std::string& out, std::uint32_t id, std::string_view channel,
                   std::string_view data) {
  Body(id, "publish").text("channel", channel).raw("data", data).end(out);
}

void write_rpc(std::string& out, std::uint32_t id, std::string_view method, std::string_view data) {
  Body(id, "rpc").raw("data", data).text("method", method).end(out);
}

void write_send(std::string& out, std::string_view data) {
  Body(0, "send").raw("data", data).end(out);
}

void write_history(std::string& out, std::uint32_t id, std::string_view channel,
                   const HistoryOptions& options) {
  Body body(id, "history");
  body.text("channel", channel);
  if (options.limit != 0) {
    body.raw("limit", std::to_string(options.limit));
  }
  if (options.since.has_value()) {
    body.json().member("since").open();
    body.number("offset", options.since->offset.value).text("epoch", options.since->epoch);
    body.json().close();
  }
  body.flag("reverse", options.order == HistoryOptions::Order::kNewestFirst).end(out);
}

void write_refresh(std::string& out, std::uint32_t id, std::string_view token) {
  Body(id, "refresh").text("token", token).end(out);
}

void write_sub_refresh(std::string& out, std::uint32_t id, std::string_view channel,
                       std::string_view token) {
  Body(id, "sub_refresh").text("channel", channel).text("token", token).end(out);
}

}  // namespace trunkline::session
