// SPDX-License-Identifier: Apache-2.0
//
// A client on a running loop, and its events as the test waits for them.
#pragma once

#include <trunkline/client.h>

#include "net/client_test_server.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::net {

// Events of the loop's thread, waited for by the test's.
class Events {
 public:
  void add(std::string event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    changed_.notify_all();
  }

  // Waits until an event that begins so has come (again); returns it. The time only keeps a broken
  // test from hanging.
  std::string wait(std::string_view start) {
    std::unique_lock lock(mutex_);
    std::size_t at = 0;
    const bool found = changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      for (at = next_; at < events_.size(); ++at) {
        if (events_[at].starts_with(start)) {
          return true;
        }
      }
      return false;
    });
    if (!found) {
      ADD_FAILURE() << "no event " << start;
      return {};
    }
    next_ = at + 1;
    return events_[at];
  }

  std::vector<std::string> all() {
    const std::lock_guard lock(mutex_);
    return events_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> events_;
  std::size_t next_ = 0;
};

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() { EXPECT_TRUE(loop.start().has_value()); }

  ClientHandlers handlers() {
    return {.on_connecting =
                [this](std::uint32_t code, std::string_view) {
                  events.add(fmt::format("connecting {}", code));
                },
            .on_connected = [this](auto client,
                                   auto) { events.add(fmt::format("connected {}", client)); },
            .on_disconnected =
                [this](std::uint32_t code, std::string_view reason) {
                  events.add(fmt::format("disconnected {} {}", code, reason));
                },
            .on_error = [this](const ClientError& error) { events.add("error " + error.context); }};
  }

  SubscriptionHandlers subscription_handlers() {
    return {.on_subscribed = [this](const SubscribedContext&) { events.add("subscribed"); },
            .on_publication =
                [this](const Publication& publication) {
                  events.add(fmt::format("publication {}", publication.data));
                },
            .on_unsubscribed =
                [this](std::uint32_t code, std::string_view) {
                  events.add(fmt::format("unsubscribed {}", code));
                }};
  }

  static ClientOptions options(const ClientTestServer& server) {
    return {.url = server.url(),
            .reconnect_delay_min = std::chrono::milliseconds(1),
            .reconnect_delay_max = std::chrono::milliseconds(5)};
  }

  ClientDone<void> done(std::string what) {
    return [this, what = std::move(what)](const ClientResult<void>& result) {
      events.add(what + " " + (result.has_value() ? "ok" : std::string(name(result.error().code))));
    };
  }

  Events events;
  ClientLoop loop;
};

}  // namespace trunkline::net
