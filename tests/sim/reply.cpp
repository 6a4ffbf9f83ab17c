// SPDX-License-Identifier: Apache-2.0
#include "sim/reply.h"

#include <simdjson.h>

#include <utility>

namespace trunkline::sim {

namespace {

namespace json = simdjson::ondemand;

// Calls `each` with every member of an object; false when the JSON is broken or `each` says so.
template <class Each>
bool members(json::object object, Each each) {
  for (auto field : object) {
    std::string_view key;
    json::value value;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS ||
        std::move(field).value().get(value) != simdjson::SUCCESS || !each(key, value)) {
      return false;
    }
  }
  return true;
}

template <class Each>
bool members(json::value value, Each each) {
  json::object object;
  return value.get_object().get(object) == simdjson::SUCCESS && members(object, each);
}

bool take(json::value value, std::string& into) {
  std::string_view text;
  const bool good = value.get_string().get(text) == simdjson::SUCCESS;
  into = text;
  return good;
}

bool take(json::value value, std::uint64_t& into) {
  return value.get_uint64().get(into) == simdjson::SUCCESS;
}

bool take(json::value value, std::uint32_t& into) {
  std::uint64_t number = 0;
  const bool good = take(value, number);
  into = static_cast<std::uint32_t>(number);
  return good;
}

bool take(json::value value, bool& into) {
  return value.get_bool().get(into) == simdjson::SUCCESS;
}

bool take_raw(json::value value, std::string& into) {
  json::object object;
  std::string_view text;
  const bool good = value.get_object().get(object) == simdjson::SUCCESS &&
                    object.raw_json().get(text) == simdjson::SUCCESS;
  into = text;
  return good;
}

bool take_publications(json::value value, std::vector<std::string>& into) {
  json::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) {
    return false;
  }
  for (auto element : array) {
    json::value publication;
    if (std::move(element).get(publication) != simdjson::SUCCESS ||
        !take_raw(publication, into.emplace_back())) {
      return false;
    }
  }
  return true;
}

bool read_result(json::value value, Reply& reply);

bool take_subs(json::value value, std::vector<Reply>& into) {
  return members(value, [&into](std::string_view key, json::value member) {
    Reply& reply = into.emplace_back();
    reply.channel = key;
    return read_result(member, reply);
  });
}

bool read_result(json::value value, Reply& reply) {
  return members(value, [&reply](std::string_view key, json::value member) {
    return key == "code"             ? take(member, reply.code)
           : key == "client"         ? take(member, reply.client)
           : key == "epoch"          ? take(member, reply.epoch)
           : key == "offset"         ? take(member, reply.offset)
           : key == "recovered"      ? take(member, reply.recovered)
           : key == "was_recovering" ? take(member, reply.was_recovering)
           : key == "from"           ? take(member, reply.gap_from)
           : key == "to"             ? take(member, reply.gap_to)
           : key == "positioned"     ? take(member, reply.positioned)
           : key == "data"           ? take_raw(member, reply.data)
           : key == "publications"   ? take_publications(member, reply.publications)
           : key == "subs"           ? take_subs(member, reply.subs)
                                     : true;
  });
}

bool read_push(json::value value, Reply& reply) {
  reply.push = true;
  return members(value, [&reply](std::string_view key, json::value member) {
    if (key == "channel") {
      return take(member, reply.channel);
    }
    reply.kind = key;
    return key == "pub" ? take_raw(member, reply.publications.emplace_back())
                        : read_result(member, reply);
  });
}

}  // namespace

struct ReplyReader::Parser {
  json::parser parser;
  std::string buffer;
};

ReplyReader::ReplyReader() : parser_(std::make_unique<Parser>()) {}

ReplyReader::~ReplyReader() = default;

bool ReplyReader::read(std::string_view line, Reply& reply) {
  std::string& buffer = parser_->buffer;
  buffer.assign(line);
  buffer.append(simdjson::SIMDJSON_PADDING, '\0');
  json::document document;
  json::object root;
  if (parser_->parser.iterate(buffer.data(), line.size(), buffer.size()).get(document) !=
          simdjson::SUCCESS ||
      document.get_object().get(root) != simdjson::SUCCESS) {
    return false;
  }
  return members(root, [&reply](std::string_view key, json::value member) {
    if (key == "id") {
      return take(member, reply.id);
    }
    if (key == "push") {
      return read_push(member, reply);
    }
    reply.kind = key;
    return read_result(member, reply);
  });
}

}  // namespace trunkline::sim
