// SPDX-License-Identifier: Apache-2.0
#include "server/core.h"

#include <trunkline/version.h>

#include "net/clock.h"
#include "server/api.h"
#include "server/gather.h"
#include "server/json_view.h"
#include "server/metrics.h"
#include "server/page.h"
#include "session/permissions.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <optional>
#include <random>
#include <utility>

namespace trunkline::server {

namespace {

constexpr unsigned kSnapshotThreads = 2;

std::string fresh_id() {
  std::random_device entropy;
  return Random((std::uint64_t{entropy()} << 32U) | entropy()).uuid();
}

// What the page of this server may do in a browser: nothing that this server did not send.
const std::vector<std::pair<std::string, std::string>> kPageFields = {
    {"Content-Security-Policy",
     "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Cache-Control", "no-cache"}};

// What one shard tells for /metrics.
struct ShardReport {
  net::ShardStats net;
  ProxyStats proxy;
  std::optional<session::JobCounts> jobs;
};

net::HttpResponse text(unsigned status, std::string body) {
  return {.status = status,
          .content_type = "text/plain; charset=utf-8",
          .body = std::move(body),
          .fields = {}};
}

}  // namespace

Core::Core(ServerConfig config, ServerOptions options)
    : config_(std::move(config)),
      options_(std::move(options)),
      node_(fresh_id()),
      started_(net::monotonic_now()),
      authenticator_(config_.token, config_.subscription_token),
      runtime_(runtime_options(), authenticator_),
      outlet_(std::make_shared<Outlet>(runtime_)),
      locals_(runtime_.shards()),
      hub_(*this) {
  handlers_.log = [this](std::string_view line) { log(line); };
}

Core::~Core() {
  stop(Duration{0});
  outlet_->close();
}

net::RuntimeOptions Core::runtime_options() {
  net::RuntimeOptions options{.address = config_.address,
                              .port = config_.port,
                              .listen = options_.listen,
                              .shards = config_.shards,
                              .shard = {},
                              .limits = {},
                              .prepare = {}};
  options.shard.session.client = config_.client;
  options.shard.session.channel = config_.channel;
  options.shard.session.server_version = TRUNKLINE_VERSION;
  options.shard.engine.total_bytes_max = config_.replay_bytes_max;
  options.shard.outbox = config_.outbox;
  options.shard.use_io_uring = config_.io_uring;
  options.shard.pacing.wait_max = config_.publish_wait_max;
  options.shard.drain_per_second = config_.shutdown_rate;
  options.shard.catch_up_bytes_per_turn = config_.catch_up_bytes_per_turn;
  options.shard.compression = config_.compression;
  options.shard.compression_settings = config_.compression_settings;
  options.shard.message_bytes_max = config_.message_size_limit;
  options.limits = config_.limits;
  options.shard.http = [this](net::Shard& shard, net::HttpRequest request,
                              net::HttpRespond respond) {
    handle(shard, std::move(request), std::move(respond));
  };
  options.shard.log = [this](std::string_view line) { log(line); };
  options.prepare = [this](net::Shard& shard) { prepare(shard); };
  return options;
}

void Core::prepare(net::Shard& shard) {
  session::Environment& environment = shard.environment();
  shard_snapshots_.push_back(std::make_unique<ShardSnapshots>(snapshots_, runtime_, shard.self()));
  environment.snapshots = shard_snapshots_.back().get();
  add_application(shard);
  if (jobs_) {
    environment.server_channels = [this](std::string_view user,
                                         std::span<const std::string> asked) {
      return jobs_->resumed(user, asked);
    };
    if (shard.self() == JobHost::kShard) {
      jobs_->live_on(shard, shard_proxies_.empty() ? nullptr : shard_proxies_[shard.self()]);
    }
  }
}

void Core::add_application(net::Shard& shard) {
  std::unique_ptr<ShardHandlers> handlers;
  std::unique_ptr<ShardProxy> proxy;
  if (!handlers_.empty() || jobs_) {
    handlers = std::make_unique<ShardHandlers>(handlers_, outlet_, jobs_.get(), shard.self());
  }
  if (!config_.proxy.empty()) {
    proxy = std::make_unique<ShardProxy>(config_.proxy, proxy_tls_, shard, runtime_.shards(),
                                         [this](std::string_view line) { log(line); });
    shard_proxies_.push_back(proxy.get());
  }
  if (handlers && proxy) {
    applications_.push_back(
        std::make_unique<ComposedApplication>(std::move(handlers), std::move(proxy)));
  } else if (handlers) {
    applications_.push_back(std::move(handlers));
  } else if (proxy) {
    applications_.push_back(std::move(proxy));
  } else {
    return;
  }
  shard.environment().application = applications_.back().get();
}

Result<void> Core::start() {
  if (!handlers_.jobs.empty() || !config_.jobs.proxied.empty()) {
    if (config_.has_job_namespace) {
      return fail(ErrorCode::kConfig,
                  "channel.namespaces: 'job' is the server's where there are jobs; rename it");
    }
    jobs_ = std::make_unique<JobHost>(config_.jobs, config_.channel, handlers_, outlet_);
  }
  if (config_.tls_enabled) {
    Result<std::shared_ptr<const net::TlsContext>> tls = net::TlsContext::load(config_.tls);
    if (!tls.has_value()) {
      return std::unexpected(tls.error());
    }
    runtime_.set_tls(*tls);
  }
  Result<ProxyTls> proxy_tls = load_proxy_tls(config_.proxy);
  if (!proxy_tls.has_value()) {
    return std::unexpected(proxy_tls.error());
  }
  proxy_tls_ = std::move(*proxy_tls);
  snapshots_.start(kSnapshotThreads);
  workers_.start(config_.worker_threads);
  Result<void> started = runtime_.start();
  running_ = started.has_value();
  return started;
}

Result<void> Core::reload_certificate() {
  if (!config_.tls_enabled) {
    return {};
  }
  Result<std::shared_ptr<const net::TlsContext>> tls = net::TlsContext::load(config_.tls);
  if (!tls.has_value()) {
    return std::unexpected(tls.error());
  }
  runtime_.set_tls(*tls);
  return {};
}

// The clients are told of their jobs' ends before they are told to leave: once these are published,
// each shard ends the turn in which it heard of them.
void Core::stop_jobs(Duration timeout) {
  const auto told = std::make_shared<std::promise<void>>();
  const std::future<void> all_told = told->get_future();
  jobs_->begin_stop([this, told] {
    gather<int>(
        runtime_, JobHost::kShard, [](net::Shard& /*shard*/) { return 0; },
        [told](const std::vector<int>& /*shards*/) { told->set_value(); });
  });
  all_told.wait_for(timeout);
}

void Core::stop(Duration timeout) {
  if (!std::exchange(running_, false)) {
    return;
  }
  const TimePoint until = net::monotonic_now() + timeout;
  if (jobs_) {
    stop_jobs(timeout);
  }
  runtime_.stop(timeout);
  if (jobs_) {
    jobs_->end_stop(std::max(until - net::monotonic_now(), Duration{0}));
  }
  snapshots_.stop();
  workers_.stop();
  // The shards' threads have ended: what lived on them is this thread's now.
  for (LocalSubscribers& locals : locals_) {
    while (!locals.empty()) {
      const std::shared_ptr<LocalSubscriber> last = *locals.begin();
      last->end(Error{ErrorCode::kClosed, "the server has stopped"});
    }
  }
}

std::chrono::seconds Core::uptime() const {
  return std::chrono::duration_cast<std::chrono::seconds>(net::monotonic_now() - started_);
}

std::string Core::url() const {
  const bool any = config_.address == "0.0.0.0" || config_.address == "::";
  const bool v6 = config_.address.find(':') != std::string::npos;
  const std::string host = any ? "127.0.0.1" : v6 ? "[" + config_.address + "]" : config_.address;
  return fmt::format("{}://{}:{}", config_.tls_enabled ? "https" : "http", host, runtime_.port());
}

std::optional<hub::ChannelSettings> Core::settings(std::string_view channel) const {
  const session::ChannelOptions* options = session::find_options(config_.channel, channel);
  if (options == nullptr || !session::is_valid_channel(config_.channel, channel)) {
    return std::nullopt;
  }
  return session::channel_settings(config_.channel, *options);
}

void Core::log(std::string_view line) {
  const std::lock_guard lock(log_mutex_);
  // Most lines are caused by clients: they must not be able to fill a disk.
  if (!log_rate_.try_take(net::monotonic_now())) {
    ++log_lines_left_out_;
    return;
  }
  if (log_lines_left_out_ > 0) {
    options_.log(fmt::format("{} lines were left out: more than {} a second",
                             std::exchange(log_lines_left_out_, 0), kLogRate.count));
  }
  options_.log(line);
}

void Core::answer_metrics(net::Shard& shard, net::HttpRespond respond) {
  gather<ShardReport>(
      runtime_, shard.self(),
      [this](net::Shard& each) {
        ShardReport report{.net = each.stats(), .proxy = {}, .jobs = {}};
        if (each.self() == net::Runtime::kDoorShard) {
          report.net.admission = runtime_.admission();
        }
        if (!shard_proxies_.empty()) {
          report.proxy = shard_proxies_[each.self()]->stats();
        }
        if (jobs_ && each.self() == JobHost::kShard) {
          report.jobs = jobs_->counts();
        }
        return report;
      },
      [this, respond = std::move(respond)](std::vector<ShardReport> all) mutable {
        std::vector<net::ShardStats> shards;
        ServerFacts facts{.limits = config_.limits, .uptime = uptime(), .jobs = {}, .proxies = {}};
        for (ShardReport& report : all) {
          shards.push_back(std::move(report.net));
          facts.jobs = report.jobs.value_or(facts.jobs);
          if (!shard_proxies_.empty()) {
            facts.proxies.push_back(std::move(report.proxy));
          }
        }
        respond({.status = 200,
                 .content_type = "text/plain; version=0.0.4; charset=utf-8",
                 .body = metrics_text(shards, facts),
                 .fields = {}});
      });
}

net::HttpResponse Core::page_at(std::string_view path) const {
  const auto page = [](std::string_view content_type, std::string_view content) {
    return net::HttpResponse{.status = 200,
                             .content_type = std::string(content_type),
                             .body = std::string(content),
                             .fields = kPageFields};
  };
  const auto own = std::ranges::find(options_.pages, path, &Page::path);
  if (own != options_.pages.end()) {
    return page(own->content_type, own->content);
  }
  if (const PageFile* file = find_page_file(path)) {
    return page(file->content_type, file->content);
  }
  return text(404, "nothing here; the page is at /, clients connect to /connection/websocket\n");
}

void Core::handle(net::Shard& shard, net::HttpRequest request, net::HttpRespond respond) {
  if (request.path == "/api" || request.path.starts_with("/api/")) {
    handle_api(*this, shard, request, std::move(respond));
    return;
  }
  if (request.method != "GET" && request.method != "HEAD") {
    respond(text(405, "this path takes GET\n"));
    return;
  }
  if (request.path == "/health") {
    // Each shard has to answer: a server whose loop hangs is not healthy.
    gather<int>(
        runtime_, shard.self(), [](net::Shard& /*shard*/) { return 0; },
        [respond = std::move(respond)](const std::vector<int>& /*shards*/) mutable {
          respond({.status = 200, .content_type = "application/json", .body = "{}", .fields = {}});
        });
    return;
  }
  if (request.path == "/metrics") {
    answer_metrics(shard, std::move(respond));
    return;
  }
  respond(page_at(request.path));
}

}  // namespace trunkline::server
