// SPDX-License-Identifier: Apache-2.0
//
// The HTTP API for backends: POST /api/<method> with a JSON body and an API key; the methods,
// parameters and results of Centrifugo's server API. Also the older form, POST /api with
// {"method":…,"params":…}.
#pragma once

#include "net/http.h"
#include "net/shard.h"

#include <functional>
#include <string>
#include <string_view>

namespace trunkline::server {

class Core;

// Whether the request carries the configured API key (`X-API-Key`, `Authorization: apikey …` or
// `?api_key=`).
[[nodiscard]] bool is_api_authorized(const Core& core, const net::HttpRequest& request);

// Thread: the shard that received the request.
void handle_api(Core& core, net::Shard& shard, const net::HttpRequest& request,
                net::HttpRespond respond);

}  // namespace trunkline::server
