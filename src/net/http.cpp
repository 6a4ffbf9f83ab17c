// SPDX-License-Identifier: Apache-2.0
#include "net/http.h"

#include <boost/beast/http/status.hpp>
#include <fmt/format.h>
#include <strings.h>

namespace trunkline::net {

std::string_view HttpRequest::field(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (key.size() == name.size() && ::strncasecmp(key.data(), name.data(), name.size()) == 0) {
      return value;
    }
  }
  return {};
}

std::string serialize(const HttpResponse& response, HttpWriting writing) {
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(response.status));
  std::string text = fmt::format("HTTP/1.1 {} {}\r\nContent-Length: {}\r\nConnection: {}\r\n",
                                 response.status, std::string_view(reason.data(), reason.size()),
                                 response.body.size(), writing.keep_alive ? "keep-alive" : "close");
  if (!response.content_type.empty()) {
    text += fmt::format("Content-Type: {}\r\n", response.content_type);
  }
  for (const auto& [name, value] : response.fields) {
    text += fmt::format("{}: {}\r\n", name, value);
  }
  text += "\r\n";
  if (writing.with_body) {
    text += response.body;
  }
  return text;
}

}  // namespace trunkline::net
