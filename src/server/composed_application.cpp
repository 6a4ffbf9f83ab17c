// SPDX-License-Identifier: Apache-2.0
#include "server/composed_application.h"

namespace trunkline::server {

void ComposedApplication::connect(session::ConnectQuestion question,
                                  session::Decide<session::ConnectGrant> decide) {
  if (handlers_->decides_connect(question.has_token)) {
    handlers_->connect(std::move(question), std::move(decide));
  } else {
    proxy_->connect(std::move(question), std::move(decide));
  }
}

void ComposedApplication::subscribe(session::SubscribeQuestion question,
                                    session::Decide<session::SubscribeGrant> decide) {
  if (handlers_->has_subscribe(question.channel)) {
    handlers_->subscribe(std::move(question), std::move(decide));
  } else {
    proxy_->subscribe(std::move(question), std::move(decide));
  }
}

void ComposedApplication::publish(session::PublishQuestion question,
                                  session::Decide<session::PublishGrant> decide) {
  if (handlers_->has_publish(question.channel)) {
    handlers_->publish(std::move(question), std::move(decide));
  } else {
    proxy_->publish(std::move(question), std::move(decide));
  }
}

void ComposedApplication::refresh(session::Caller caller,
                                  session::Decide<session::RefreshGrant> decide) {
  if (handlers_->decides_refresh()) {
    handlers_->refresh(std::move(caller), std::move(decide));
  } else {
    proxy_->refresh(std::move(caller), std::move(decide));
  }
}

void ComposedApplication::sub_refresh(session::SubRefreshQuestion question,
                                      session::Decide<session::SubRefreshGrant> decide) {
  proxy_->sub_refresh(std::move(question), std::move(decide));
}

void ComposedApplication::rpc(session::RpcQuestion question,
                              session::Decide<session::RpcGrant> decide) {
  if (handlers_->has_rpc(question.method)) {
    handlers_->rpc(std::move(question), std::move(decide));
  } else {
    proxy_->rpc(std::move(question), std::move(decide));
  }
}

}  // namespace trunkline::server
