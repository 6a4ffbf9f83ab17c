// SPDX-License-Identifier: Apache-2.0
#include "rescan/visitor.h"

#include <trunkline/client.h>

#include "rescan/ledger.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <future>
#include <mutex>
#include <string>

namespace rescan {

namespace {

using nlohmann::json;

constexpr std::int64_t kAccount = 7;
constexpr const char* kUser = "visitor";

class Visitor {
 public:
  explicit Visitor(trunkline::Server& server)
      : server_(server), client_(loop_, options(server), handlers()) {}

  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;

  // No callback runs while the members go.
  ~Visitor() { loop_.stop(); }

  // The rescan's end as it was told; null when it was not told in time.
  json rescan(std::int64_t rate) {
    if (!loop_.start().has_value()) {
      return {};
    }
    client_.connect();
    client_.subscribe("blocks", {},
                      {.on_publication = [this](const trunkline::Publication& publication) {
                        block(json::parse(publication.data));
                      }});
    client_.rpc("rescan", json{{"account", kAccount}, {"rate", rate}}.dump(),
                [this](const trunkline::ClientResult<trunkline::RpcResult>& answer) {
                  if (!answer.has_value()) {
                    end_.set_value({{"error", trunkline::to_string(answer.error())}});
                  }
                });
    std::future<json> end = end_.get_future();
    const bool told = end.wait_for(std::chrono::seconds(50)) == std::future_status::ready;
    return told ? end.get() : json();
  }

  void stop() { loop_.stop(); }

  [[nodiscard]] bool is_good() const {
    return wrong_ == 0 && blocks_ > 0 && progress_ > 0 && connections_ > 1;
  }

  // These once the loop has stopped.
  void tell() const {
    std::printf("%d blocks, %d times progress, %d connections, %d wrong\n", blocks_, progress_,
                connections_, wrong_);
  }

 private:
  static trunkline::ClientOptions options(const trunkline::Server& server) {
    return {.url = "ws://127.0.0.1:" + std::to_string(server.port()) + "/connection/websocket",
            .data = json{{"user", kUser}}.dump()};
  }

  trunkline::ClientHandlers handlers() {
    return {.on_connected = [this](std::string_view, std::string_view) { ++connections_; },
            .on_error =
                [this](const trunkline::ClientError& error) {
                  wrong("an error: " + trunkline::to_string(error));
                },
            .on_server_publication =
                [this](std::string_view, const trunkline::Publication& publication) {
                  told(json::parse(publication.data));
                }};
  }

  void wrong(const std::string& what) {
    std::fprintf(stderr, "rescan: %s\n", what.c_str());
    ++wrong_;
  }

  void block(const json& block) {
    const std::int64_t height = block["height"];
    if (blocks_ > 0 && (height != height_ + 1 || block["previous"] != hash_)) {
      wrong("block " + std::to_string(height) + " after " + std::to_string(height_));
    }
    height_ = height;
    hash_ = block["hash"];
    ++blocks_;
  }

  void told(const json& message) {
    if (ended_) {
      wrong("after the end: " + message.dump());
    } else if (!message.contains("progress")) {
      ended_ = true;
      end_.set_value(message);
    } else if (++progress_; message["progress"]["height"] <= read_) {
      wrong("progress that is none: " + message.dump());
    } else {
      read_ = message["progress"]["height"];
      drop_half_way(message["progress"]["of"]);
    }
  }

  void drop_half_way(std::int64_t of) {
    if (!dropped_ && 2 * read_ >= of) {
      dropped_ = true;
      server_.hub().disconnect_user({.user = kUser}, 3200, "half-way",
                                    [](const trunkline::Result<std::size_t>&) {});
    }
  }

  trunkline::Server& server_;
  std::promise<json> end_;
  // The loop's thread's, until it has stopped.
  int blocks_ = 0;
  int progress_ = 0;
  int connections_ = 0;
  int wrong_ = 0;
  std::int64_t height_ = 0;
  json hash_;
  std::int64_t read_ = 0;
  bool dropped_ = false;
  bool ended_ = false;
  trunkline::ClientLoop loop_;
  trunkline::Client client_;
};

}  // namespace

bool visit(trunkline::Server& server, Ledger& ledger, int seconds) {
  const std::int64_t records = ledger.tip().height * kTransactionsPerBlock;
  Visitor visitor(server);
  const json end = visitor.rescan(records / seconds + 1);
  visitor.stop();
  visitor.tell();
  if (!end.contains("result")) {
    std::fprintf(stderr, "rescan: no result but %s\n", end.dump().c_str());
    return false;
  }
  const json& result = end["result"];
  const Found expected = ledger.recount(kAccount, result["height"]);
  std::printf("found %lld transactions up to block %lld, balance %lld\n",
              static_cast<long long>(result["found"]), static_cast<long long>(result["height"]),
              static_cast<long long>(result["balance"]));
  if (result["found"] != expected.transactions || result["balance"] != expected.balance) {
    std::fprintf(stderr, "rescan: a plain query finds %lld, balance %lld\n",
                 static_cast<long long>(expected.transactions),
                 static_cast<long long>(expected.balance));
    return false;
  }
  return visitor.is_good();
}

}  // namespace rescan
