// SPDX-License-Identifier: Apache-2.0
#include "net/http_client.h"

#include "net/http_client_core.h"

#include <fmt/format.h>

#include <utility>

namespace trunkline::net {

void HttpCall::cancel() {
  if (const auto core = std::exchange(core_, {}).lock()) {
    core->cancel(id_);
  }
}

void HttpCall::resume() {
  if (const auto core = core_.lock()) {
    core->resume(id_);
  }
}

Result<std::unique_ptr<HttpClient>> HttpClient::make(boost::asio::io_context& io,
                                                     HttpClientOptions options) {
  Result<Url> url = parse_url(options.url, kHttpSchemes);
  if (!url.has_value()) {
    return std::unexpected(url.error());
  }
  if (url->is_secure && !options.tls) {
    return fail(ErrorCode::kConfig, fmt::format("{}: https without a TLS context", options.url));
  }
  return std::unique_ptr<HttpClient>(
      new HttpClient(std::make_shared<HttpClientCore>(io, std::move(options), std::move(*url))));
}

HttpClient::~HttpClient() {
  core_->end();
}

HttpCall HttpClient::send(HttpCallRequest request, HttpDone done) {
  return {core_, core_->begin(std::move(request), std::move(done), {})};
}

HttpCall HttpClient::stream(HttpCallRequest request, HttpLines lines) {
  return {core_, core_->begin(std::move(request), std::move(lines.done), std::move(lines.on_line))};
}

HttpClientStats HttpClient::stats() const {
  return core_->stats();
}

}  // namespace trunkline::net
