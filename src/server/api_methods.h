// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "server/api_call.h"
#include "server/api_params.h"

namespace trunkline::server {

// The methods that look at, or act on, all shards. (api_methods.cpp)
void api_channels(const ApiContext& context, ApiParams params, ApiDone done);
void api_info(const ApiContext& context, ApiParams params, ApiDone done);
void api_disconnect(const ApiContext& context, ApiParams params, ApiDone done);
void api_send(const ApiContext& context, ApiParams params, ApiDone done);
void api_subscribe(const ApiContext& context, ApiParams params, ApiDone done);
void api_unsubscribe(const ApiContext& context, ApiParams params, ApiDone done);

}  // namespace trunkline::server
