// SPDX-License-Identifier: Apache-2.0
//
// What a node's options promise: checksums, limits of messages, memory and calls, priorities; and
// that nobody who waits keeps the connection from working.
#include "net/grid_fixture.h"

namespace trunkline::net {
namespace {

// Fails at once instead of waiting or being asked again.
GridCallOptions once() {
  GridCallOptions options;
  options.timeout = kPatience;
  return options;
}

// --- checksums ---

class GridChecksums : public Relayed {
 protected:
  // `one` is who does not listen.
  void begin_with(bool of_one, bool of_two) {
    begin([=](GridOptions& options) {
      options.checksums = options.listen.empty() ? of_one : of_two;
    });
    two->handle("never", [this](GridRequest request) -> Task<GridResult<Bytes>> {
      signal.change([this] { ++running; });
      while (!request.stop.stop_requested()) {
        const auto nothing = [] { std::this_thread::yield(); };
        static_cast<void>(co_await two->offload(nothing));
      }
      co_return Bytes();
    });
  }

  // What is falsified on the way ends everything that is open, and what comes later is well.
  void expect_corruption_is_seen(bool back) {
    EXPECT_EQ(run(to_two->call("echo", "before", patient())).value(), "before");
    const std::uint64_t connects = one->peers()[0].connects;
    GridStream stream = run(to_two->open("echo-stream", "", patient())).value();
    EXPECT_TRUE(run(stream.send("1")).has_value());
    EXPECT_EQ(run(stream.receive()).value(), "1");
    const auto waiting = std::make_shared<std::promise<GridError>>();
    signal.change([this] { running = 0; });
    to_two->call("never", "", once(), [waiting](GridResult<std::string_view> result) {
      waiting->set_value(result.has_value() ? GridError{.code = GridCode::kInvalid}
                                            : result.error());
    });
    EXPECT_TRUE(signal.wait([this] { return running == 1; }));
    if (back) {
      relay->falsify_back_after(100'000);
    } else {
      relay->falsify_after(100'000);
    }
    const GridResult<Bytes> large = run(to_two->call("echo", Bytes(1U << 20U, 'x'), once()));
    ASSERT_FALSE(large.has_value());
    EXPECT_EQ(large.error().code, GridCode::kDisconnected) << to_string(large.error());
    EXPECT_EQ(waiting->get_future().get().code, GridCode::kDisconnected);
    EXPECT_EQ(run(stream.receive()).error().code, GridCode::kDisconnected);
    EXPECT_EQ(run(to_two->call("echo", "after", patient())).value(), "after");
    EXPECT_EQ(one->peers()[0].connects, connects + 1);
  }

  // Everything works as it does without.
  void expect_well() {
    const Bytes large(300'000, 'x');
    EXPECT_EQ(run(to_two->call("echo", "small", patient())).value(), "small");
    EXPECT_EQ(run(to_two->call("echo", large, patient())).value(), large);
    GridStream stream = run(to_two->open("echo-stream", "", patient())).value();
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(run(stream.send(fmt::format("{}", i))).has_value());
      EXPECT_EQ(run(stream.receive()).value(), fmt::format("{}", i));
    }
    stream.finish();
    EXPECT_EQ(run(stream.receive()).value(), std::nullopt);
    EXPECT_EQ(one->peers()[0].connects, 1U);
  }

  Signal signal;
  int running = 0;
};

TEST_F(GridChecksums, OfBothSeeWhatIsFalsifiedOnTheWay) {
  begin_with(true, true);
  expect_well();
  expect_corruption_is_seen(false);
  expect_corruption_is_seen(true);
}

TEST_F(GridChecksums, OfTheDiallerAloneAreUsedByBoth) {
  begin_with(true, false);
  expect_well();
  expect_corruption_is_seen(false);
  expect_corruption_is_seen(true);
}

TEST_F(GridChecksums, OfTheAcceptorAloneAreUsedByBoth) {
  begin_with(false, true);
  expect_well();
  expect_corruption_is_seen(false);
  expect_corruption_is_seen(true);
}

// --- limits ---

class GridLimits : public Relayed {
 protected:
  // Whoever has gone over a limit has done nobody else any harm.
  void expect_same_connection() {
    EXPECT_EQ(run(to_two->call("echo", "still here", once())).value(), "still here");
    EXPECT_EQ(one->peers()[0].connects, 1U);
  }
};

TEST_F(GridLimits, AMessageIsNoLargerThanItsReceiverTakes) {
  constexpr std::size_t kMost = 100'000;
  begin([](GridOptions& options) { options.message_bytes_max = kMost; });
  two->handle("answers", [](GridRequest request) -> Task<GridResult<Bytes>> {
    co_return Bytes(request.payload == "many" ? kMost + 1 : kMost, 'x');
  });
  EXPECT_EQ(run(to_two->call("answers", "few", patient())).value().size(), kMost);
  EXPECT_EQ(run(to_two->call("echo", Bytes(kMost, 'x'), once())).value().size(), kMost);

  const GridError request = run(to_two->call("echo", Bytes(kMost + 1, 'x'), once())).error();
  EXPECT_EQ(request.code, GridCode::kTooLarge);
  EXPECT_TRUE(request.not_run);
  EXPECT_EQ(run(to_two->call("answers", "many", once())).error().code, GridCode::kTooLarge);
  GridStream stream = run(to_two->open("echo-stream", "", once())).value();
  EXPECT_EQ(run(stream.send(Bytes(kMost + 1, 'x'))).error().code, GridCode::kTooLarge);
  expect_same_connection();
}

TEST_F(GridLimits, AMessageThatDoesNotFitIntoMemoryIsRefused) {
  begin([](GridOptions& options) { options.memory_bytes_max = 1U << 20U; });
  EXPECT_EQ(run(to_two->call("echo", Bytes(300'000, 'x'), patient())).value().size(), 300'000U);
  const GridError refused = run(to_two->call("echo", Bytes(2U << 20U, 'x'), once())).error();
  EXPECT_EQ(refused.code, GridCode::kMemory);
  EXPECT_TRUE(refused.not_run);
  // What it had reserved is free again.
  EXPECT_EQ(run(to_two->call("echo", Bytes(300'000, 'x'), once())).value().size(), 300'000U);
  expect_same_connection();
}

TEST_F(GridLimits, StreamsThatDoNotFitIntoMemoryAreRefused) {
  begin([](GridOptions& options) {
    if (!options.listen.empty()) {
      options.memory_bytes_max = 1U << 20U;
    }
  });
  EXPECT_EQ(run(to_two->call("echo", "before", patient())).value(), "before");
  std::vector<GridStream> open;
  int refused = 0;
  for (int i = 0; i < 80; ++i) {
    GridStream stream = run(to_two->open("echo-stream", "", once())).value();
    const GridResult<void> sent = run(stream.send("1"));
    const GridResult<std::optional<Bytes>> back = run(stream.receive());
    if (back.has_value()) {
      EXPECT_TRUE(sent.has_value());
      EXPECT_EQ(*back, "1");
      open.push_back(std::move(stream));
    } else {
      EXPECT_EQ(back.error().code, GridCode::kMemory);
      EXPECT_TRUE(back.error().not_run);
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(open.size(), 30U);
  for (GridStream& stream : open) {
    EXPECT_TRUE(run(stream.send("2")).has_value());
    EXPECT_EQ(run(stream.receive()).value(), "2");
    stream.finish();
    EXPECT_EQ(run(stream.receive()).value(), std::nullopt);
  }
  GridStream again = run(to_two->open("echo-stream", "", once())).value();
  EXPECT_TRUE(run(again.send("3")).has_value());
  EXPECT_EQ(run(again.receive()).value(), "3");
  expect_same_connection();
}

TEST_F(GridLimits, CallsAreNoMoreThanThePeerTakes) {
  constexpr int kMost = 4;
  begin([](GridOptions& options) { options.calls_max = kMost; });
  std::mutex mutex;
  std::vector<GridReply> replies;
  Signal signal;
  int arrived = 0;
  int answered = 0;
  two->handle_inline("later", [&](std::string_view, GridReply reply) {
    const std::lock_guard lock(mutex);
    replies.push_back(std::move(reply));
    signal.change([&] { ++arrived; });
  });
  EXPECT_EQ(run(to_two->call("echo", "before", patient())).value(), "before");
  for (int i = 0; i < kMost; ++i) {
    to_two->call("later", "", once(), [&](GridResult<std::string_view> result) {
      EXPECT_TRUE(result.has_value());
      signal.change([&] { ++answered; });
    });
  }
  ASSERT_TRUE(signal.wait([&] { return arrived == kMost; }));
  const GridError full = run(to_two->call("echo", "", once())).error();
  EXPECT_EQ(full.code, GridCode::kFull);
  EXPECT_EQ(full.origin, GridOrigin::kCaller);
  EXPECT_TRUE(full.not_run);
  for (GridReply& reply : replies) {
    reply.respond("now");
  }
  ASSERT_TRUE(signal.wait([&] { return answered == kMost; }));
  expect_same_connection();
}

TEST_F(GridLimits, ABulkCallCompletesBesideSmallOnes) {
  begin();
  EXPECT_EQ(run(to_two->call("echo", "before", patient())).value(), "before");
  GridCallOptions bulk = once();
  bulk.priority = GridPriority::kBulk;
  GridCallOptions small = once();
  small.priority = GridPriority::kSmall;
  std::atomic<int> ended = 0;
  for (const std::size_t bytes : {10UL, 8UL << 20U}) {
    to_two->call("quick", Bytes(bytes, 'x'), bulk, [&, bytes](GridResult<std::string_view> result) {
      EXPECT_EQ(result.has_value() ? result->size() : 0, bytes);
      ++ended;
    });
  }
  do {
    ASSERT_EQ(run(to_two->call("echo", "beside", small)).value(), "beside");
  } while (ended < 2);
  // Nothing is said of a large one that calls itself small but that it comes.
  EXPECT_EQ(run(to_two->call("echo", Bytes(1U << 20U, 'x'), small)).value().size(), 1U << 20U);
  expect_same_connection();
}

// --- who waits, and who is gone ---

class GridWaiting : public Relayed {
 protected:
  // Before the gate goes.
  void TearDown() override {
    one->stop();
    two->stop();
  }

  Gate gate;
};

TEST_F(GridWaiting, AHandlerThatDoesNotReadBlocksOnlyItsOwnStream) {
  begin();
  two->handle_blocking_stream("reads-later",
                              [this](GridRequest, GridBlockingStream stream) -> GridResult<void> {
                                gate.wait();
                                std::size_t bytes = 0;
                                while (true) {
                                  const GridResult<std::optional<Bytes>> message = stream.receive();
                                  if (!message.has_value() || !message->has_value()) {
                                    return message.has_value() ? stream.send(std::to_string(bytes))
                                                               : std::unexpected(message.error());
                                  }
                                  bytes += (*message)->size();
                                }
                              });
  constexpr int kMessages = 800;
  std::atomic<int> sent = 0;
  const auto send_all = [&sent](GridStream stream) -> Task<GridResult<std::optional<Bytes>>> {
    for (int i = 0; i < kMessages; ++i) {
      const GridResult<void> one_more = co_await stream.send(Bytes(10'000, 'x'));
      if (!one_more.has_value()) {
        co_return std::unexpected(one_more.error());
      }
      ++sent;
    }
    stream.finish();
    co_return co_await stream.receive();
  };
  std::promise<GridResult<std::optional<Bytes>>> end;
  run_task(send_all(run(to_two->open("reads-later", "", patient())).value()),
           [&end](std::optional<GridResult<std::optional<Bytes>>> result,
                  const std::exception_ptr&) { end.set_value(std::move(*result)); });
  ASSERT_TRUE(gate.has_waiting(1));
  GridStream other = run(to_two->open("echo-stream", "", patient())).value();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(run(other.send(Bytes(2000, 'y'))).has_value());
    ASSERT_EQ(run(other.receive()).value()->size(), 2000U);
    ASSERT_EQ(run(to_two->call("echo", "beside", once())).value(), "beside");
  }
  EXPECT_LT(sent, kMessages);
  gate.open();
  EXPECT_EQ(end.get_future().get().value(), std::to_string(kMessages * 10'000));
  EXPECT_EQ(one->peers()[0].connects, 1U);
}

TEST_F(GridWaiting, PingsFlowWhileEveryThreadForHandlersIsStuck) {
  begin([](GridOptions& options) {
    options.ping_interval = 500ms;
    options.blocking_threads = 2;
  });
  two->handle_blocking("stuck", [this](GridRequest) -> GridResult<Bytes> {
    gate.wait();
    return Bytes("done");
  });
  EXPECT_EQ(run(to_two->call("echo", "before", patient())).value(), "before");
  std::vector<std::future<bool>> calls;
  for (int i = 0; i < 3; ++i) {
    const auto done = std::make_shared<std::promise<bool>>();
    calls.push_back(done->get_future());
    to_two->call("stuck", "", once(), [done](GridResult<std::string_view> result) {
      done->set_value(result.has_value() && *result == "done");
    });
  }
  ASSERT_TRUE(gate.has_waiting(2));
  // Only pings and their answers are said now, for three intervals and more.
  const auto heard = [this] { return one->peers()[0].messages_received; };
  const std::uint64_t before = heard();
  const auto end = std::chrono::steady_clock::now() + 3 * 500ms;
  while (std::chrono::steady_clock::now() < end || heard() < before + 4) {
    ASSERT_EQ(one->peers()[0].connects, 1U);
    ASSERT_EQ(calls[0].wait_for(5ms), std::future_status::timeout);
  }
  gate.open();
  for (std::future<bool>& each : calls) {
    EXPECT_TRUE(each.get());
  }
  EXPECT_EQ(one->peers()[0].connects, 1U);
}

TEST_F(GridWaiting, APeerThatSaysNothingMoreEndsTheConnection) {
  begin();
  Signal signal;
  int open = 0;
  int stopped = 0;
  two->handle_stream("waits", [&](GridRequest, GridStream stream) -> Task<GridResult<void>> {
    signal.change([&] { ++open; });
    const GridResult<std::optional<Bytes>> message = co_await stream.receive();
    signal.change([&] { ++stopped; });
    co_return message.has_value() ? GridResult<void>{} : std::unexpected(message.error());
  });
  GridStream stream = run(to_two->open("waits", "", patient())).value();
  ASSERT_TRUE(signal.wait([&] { return open == 1; }));
  relay->end_of_target();
  EXPECT_EQ(run(stream.receive()).error().code, GridCode::kDisconnected);
  // Only when the socket is closed here the other side is told.
  EXPECT_TRUE(signal.wait([&] { return stopped == 1; }));
  EXPECT_EQ(run(to_two->call("echo", "after", patient())).value(), "after");
  EXPECT_EQ(one->peers()[0].connects, 2U);
  EXPECT_EQ(one->peers()[0].calls_open, 0U);
}

}  // namespace
}  // namespace trunkline::net
