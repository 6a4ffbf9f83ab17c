// SPDX-License-Identifier: Apache-2.0
#include "server/snapshots.h"

#include "server/json_view.h"

#include <exception>
#include <memory>

namespace trunkline::server {

namespace {

// Carries the answer to the shard that asked, once; an answer that is destroyed uncalled says so.
class SnapshotAnswer {
 public:
  SnapshotAnswer(net::Runtime& runtime, hub::ShardId shard, hub::Done<session::Snapshot> done)
      : runtime_(runtime), shard_(shard), done_(std::move(done)) {}

  SnapshotAnswer(SnapshotAnswer&& other) noexcept
      : runtime_(other.runtime_),
        shard_(other.shard_),
        done_(std::exchange(other.done_, nullptr)) {}

  SnapshotAnswer(const SnapshotAnswer&) = delete;
  SnapshotAnswer& operator=(const SnapshotAnswer&) = delete;
  SnapshotAnswer& operator=(SnapshotAnswer&&) = delete;

  ~SnapshotAnswer() { give(fail(ErrorCode::kInternal, "the snapshot function gave no answer")); }

  void operator()(Result<Snapshot> snapshot) { give(std::move(snapshot)); }

 private:
  void give(Result<Snapshot> snapshot) {
    if (!done_) {
      return;
    }
    Result<session::Snapshot> result = std::unexpected(Error{});
    if (snapshot.has_value()) {
      // It is spliced into a reply: it must be JSON to the last token.
      if (std::optional<std::string> data = checked_json(snapshot->data)) {
        result = session::Snapshot{std::move(*data), std::move(snapshot->position)};
      } else {
        result = fail(ErrorCode::kMalformed, "the snapshot is not JSON");
      }
    } else {
      result = std::unexpected(std::move(snapshot.error()));
    }
    runtime_.post(shard_, [done = std::exchange(done_, nullptr), result = std::move(result)](
                              net::Shard& /*shard*/) mutable { done(std::move(result)); });
  }

  net::Runtime& runtime_;
  hub::ShardId shard_;
  hub::Done<session::Snapshot> done_;
};

}  // namespace

void Snapshots::add(std::string prefix, SnapshotFunction function) {
  functions_.emplace_back(std::move(prefix), std::move(function));
}

const SnapshotFunction* Snapshots::find(std::string_view channel) const {
  const SnapshotFunction* best = nullptr;
  std::size_t longest = 0;
  for (const auto& [prefix, function] : functions_) {
    if (channel.starts_with(prefix) && (best == nullptr || prefix.size() >= longest)) {
      best = &function;
      longest = prefix.size();
    }
  }
  return best;
}

void Snapshots::run(const SnapshotFunction& function, SnapshotRequest request,
                    net::Runtime& runtime, hub::ShardId shard, hub::Done<session::Snapshot> done) {
  WorkerPool::Work work =
      [function, request = std::move(request),
       answer = SnapshotAnswer(runtime, shard, std::move(done))](bool stopped) mutable {
        if (stopped) {
          return;  // the answer is destroyed with this, and says so
        }
        try {
          function(request, std::move(answer));
        } catch (const std::exception&) {
          // The answer was destroyed on the way and has said so.
        }
      };
  // Work that was not taken answers when it is destroyed.
  static_cast<void>(workers_.post(work));
}

}  // namespace trunkline::server
