// SPDX-License-Identifier: Apache-2.0
//
// A document of counters is edited a thousand times a second while subscribers come and go. Each
// one starts with a snapshot, applies every publication after it, and compares its copy with what
// the server's document was at the same position. One that differs ends the program with an error.
//
//   snapshot_feed [SECONDS]
#include <trunkline/server.h>

#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>

namespace {

constexpr std::size_t kCounters = 16;
constexpr int kSubscribers = 8;
constexpr auto kEditInterval = std::chrono::milliseconds(1);

using Counters = std::array<std::int64_t, kCounters>;

std::string to_json(const Counters& counters) {
  std::string json = "[";
  for (const std::int64_t counter : counters) {
    json += json.size() > 1 ? "," : "";
    json += std::to_string(counter);
  }
  return json + "]";
}

// Reads the integers of a JSON text in their order; enough for the two forms used here.
template <std::size_t N>
std::array<std::int64_t, N> integers(std::string_view json) {
  std::array<std::int64_t, N> found{};
  std::size_t at = 0;
  for (std::int64_t& number : found) {
    at = json.find_first_of("-0123456789", at);
    if (at == std::string_view::npos) {
      break;
    }
    const char* end = json.data() + json.size();
    at = static_cast<std::size_t>(std::from_chars(json.data() + at, end, number).ptr - json.data());
  }
  return found;
}

// The server's side: the state as of the newest position that publish() has told, and what it was
// at the positions before, for the comparison.
class Document {
 public:
  // An edit is applied when its position is known, so that state and position always belong
  // together. Positions arrive in order: one thread publishes to one channel.
  void apply(std::size_t index, std::int64_t add, const trunkline::Position& position) {
    const std::lock_guard lock(mutex_);
    counters_[index] += add;
    position_ = position;
    past_.push_back(counters_);
    if (past_.size() > kPast) {
      past_.pop_front();
    }
  }

  [[nodiscard]] trunkline::Snapshot snapshot() const {
    const std::lock_guard lock(mutex_);
    return {to_json(counters_), position_};
  }

  // The state at an offset; nothing when it is too long ago or not known yet.
  [[nodiscard]] std::optional<Counters> at(trunkline::Offset offset) const {
    const std::lock_guard lock(mutex_);
    if (!position_.has_value() || offset > position_->offset ||
        position_->offset.value - offset.value >= past_.size()) {
      return std::nullopt;
    }
    return past_[past_.size() - 1 - (position_->offset.value - offset.value)];
  }

 private:
  static constexpr std::size_t kPast = 100'000;

  mutable std::mutex mutex_;
  Counters counters_{};
  std::optional<trunkline::Position> position_;
  std::deque<Counters> past_;
};

struct Totals {
  std::atomic<std::uint64_t> starts{0};
  std::atomic<std::uint64_t> edits{0};
  std::atomic<std::uint64_t> compared{0};
  std::atomic<std::uint64_t> wrong{0};
};

// A subscriber's copy.
class Copy {
 public:
  Copy(trunkline::Hub& hub, const Document& document, Totals& totals)
      : document_(document), totals_(totals) {
    subscription_ = hub.subscribe(
        "document", {},
        {.on_start = [this](const trunkline::SubscriptionStart& start) { begin(start); },
         .on_publication = [this](const trunkline::HubPublication& edit) { apply(edit); },
         .on_end =
             [this](const trunkline::Error& error) {
               std::fprintf(stderr, "a subscription ended: %s\n",
                            trunkline::to_string(error).c_str());
               ++totals_.wrong;
             }});
  }

  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  ~Copy() { subscription_.end(); }

 private:
  void begin(const trunkline::SubscriptionStart& start) {
    counters_ = integers<kCounters>(start.data);
    offset_ = start.position.offset;
    ++totals_.starts;
    compare();
  }

  void apply(const trunkline::HubPublication& edit) {
    const auto [index, add] = integers<2>(edit.json);
    if (edit.offset != offset_.next()) {
      ++totals_.wrong;
    }
    offset_ = edit.offset;
    counters_[static_cast<std::size_t>(index)] += add;
    ++totals_.edits;
    compare();
  }

  void compare() {
    // A publication may be here before its publisher has been told the position.
    if (const std::optional<Counters> expected = document_.at(offset_)) {
      ++totals_.compared;
      totals_.wrong += *expected == counters_ ? 0 : 1;
    }
  }

  const Document& document_;
  Totals& totals_;
  Counters counters_{};
  trunkline::Offset offset_;
  trunkline::HubSubscription subscription_;
};

}  // namespace

int main(int argc, char** argv) {
  const int seconds = argc > 1 ? std::atoi(argv[1]) : 5;
  trunkline::ServerOptions options;
  options.demo = true;
  options.listen = false;  // the hub as a library: no socket is opened
  auto server = trunkline::Server::create(std::move(options));
  if (!server.has_value()) {
    std::fprintf(stderr, "%s\n", trunkline::to_string(server.error()).c_str());
    return 1;
  }
  trunkline::Hub& hub = (*server)->hub();
  Document document;
  Totals totals;
  std::mt19937_64 random(std::random_device{}());
  hub.on_snapshot("document", [&document](const trunkline::SnapshotRequest& /*request*/,
                                          trunkline::SnapshotDone done) {
    // As slow as a database would be; publications go on meanwhile.
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    done(document.snapshot());
  });
  if (const auto started = (*server)->start(); !started.has_value()) {
    std::fprintf(stderr, "%s\n", trunkline::to_string(started.error()).c_str());
    return 1;
  }

  std::array<std::unique_ptr<Copy>, kSubscribers> copies;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  auto next_edit = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() < end) {
    const std::size_t index = random() % kCounters;
    const auto add = static_cast<std::int64_t>(random() % 200) - 100;
    hub.publish("document", "[" + std::to_string(index) + "," + std::to_string(add) + "]", {},
                [&document, index, add](const trunkline::Result<trunkline::Position>& position) {
                  if (position.has_value()) {
                    document.apply(index, add, *position);
                  }
                });
    if (random() % 20 == 0) {
      auto& copy = copies[random() % kSubscribers];
      copy = copy ? nullptr : std::make_unique<Copy>(hub, document, totals);
    }
    next_edit += kEditInterval;
    std::this_thread::sleep_until(next_edit);
  }
  for (auto& copy : copies) {
    copy.reset();
  }
  (*server)->stop();
  std::printf(
      "%llu subscriptions started from a snapshot, %llu edits applied, %llu copies compared, "
      "%llu wrong\n",
      static_cast<unsigned long long>(totals.starts), static_cast<unsigned long long>(totals.edits),
      static_cast<unsigned long long>(totals.compared),
      static_cast<unsigned long long>(totals.wrong));
  return totals.wrong == 0 && totals.compared > 0 ? 0 : 1;
}
