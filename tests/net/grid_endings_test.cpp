// SPDX-License-Identifier: Apache-2.0
//
// How calls, streams and nodes end when they end in each other's way.
#include "net/grid_fixture.h"

#include <coroutine>
#include <string_view>

namespace trunkline::net {
namespace {

class GridEndings : public TwoNodes {
 protected:
  static GridCallOptions forever() {
    GridCallOptions options = patient();
    options.timeout = std::chrono::milliseconds::max();
    return options;
  }
};

TEST_F(GridEndings, ACallThatTheNodeNeverTookIsTold) {
  const ReservedPort port;
  auto node = make(options(port.address(), 0));
  const GridPeer to = peer(*node, port_one.address());
  int told = 0;
  to.call("echo", "", {}, [&](const GridResult<std::string_view>& result) {
    ++told;
    EXPECT_EQ(result.error().code, GridCode::kNotConnected);
  });
  node.reset();
  EXPECT_EQ(told, 1);
}

TEST_F(GridEndings, CallsThatRaceWithTheEndOfTheirNodeAreAllTold) {
  for (int round = 0; round < 20; ++round) {
    const ReservedPort port;
    auto node = make(options(port.address(), 0));
    const GridPeer to = peer(*node, port_one.address());
    start(*node);
    std::atomic<int> asked = 0;
    std::atomic<int> answered = 0;
    std::atomic<bool> has_stopped = false;
    std::thread caller([&] {
      while (!has_stopped) {
        if (asked - answered < 64) {
          ++asked;
          to.call("echo", "", {}, [&](const GridResult<std::string_view>& result) {
            ++answered;
            has_stopped = !result.has_value() && result.error().text == "the node has stopped";
          });
        }
      }
    });
    node.reset();
    caller.join();
    EXPECT_EQ(answered, asked);
  }
}

TEST_F(GridEndings, CallsFromOtherThreadsAreNotTakenWithoutBound) {
  std::promise<void> blocked;
  std::promise<void> release;
  to_two->call("echo", "", patient(), [&](const GridResult<std::string_view>&) {
    blocked.set_value();
    release.get_future().wait();  // the node's thread is elsewhere
  });
  blocked.get_future().wait();
  std::atomic<int> asked = 0;
  std::atomic<int> answered = 0;
  std::atomic<bool> is_full = false;
  while (!is_full) {
    ++asked;
    to_two->call("echo", "", patient(), [&](const GridResult<std::string_view>& result) {
      ++answered;
      is_full = is_full || (!result.has_value() && result.error().code == GridCode::kFull);
    });
    ASSERT_LE(asked, 100'000);
  }
  release.set_value();
  while (answered < asked) {
  }
}

TEST_F(GridEndings, ACancelledStreamMayBeKeptBeyondItsConnection) {
  GridResult<GridStream> stream = run(to_two->open("echo-stream", "", forever()));
  ASSERT_TRUE(stream.has_value());
  stream->cancel();
  EXPECT_EQ(run(stream->receive()).error().code, GridCode::kCancelled);
  two->stop();
  EXPECT_FALSE(run(to_two->call("echo", "", {.timeout = kPatience})).has_value());
  EXPECT_FALSE(run(to_two->call("echo", "", {.timeout = kPatience})).has_value());
  stream = std::unexpected(GridError{});  // the last handle
  EXPECT_FALSE(run(to_two->call("echo", "", {.timeout = kPatience})).has_value());
}

// What reads on when the handler that lent it the stream has returned.
Task<int> read_on(GridStream stream, std::promise<GridCode>& ended) {
  const GridResult<std::optional<Bytes>> message = co_await stream.receive();
  ended.set_value(message.has_value() ? GridCode::kInvalid : message.error().code);
  co_return 0;
}

TEST_F(GridEndings, AStreamIsOverForEverybodyWhenItsHandlerHasReturned) {
  std::promise<GridCode> ended;
  two->handle_stream("brief", [&](GridRequest, GridStream stream) -> Task<GridResult<void>> {
    run_task(read_on(stream, ended), [](std::optional<int>, const std::exception_ptr&) {});
    co_return GridResult<void>{};
  });
  const GridResult<GridStream> stream = run(to_two->open("brief", "", patient()));
  ASSERT_TRUE(stream.has_value());
  EXPECT_EQ(ended.get_future().get(), GridCode::kCancelled);
}

// A task that waits for something and is dropped.
template <class T>
void begin_and_drop(Task<T> task) {
  std::move(task).operator co_await().await_suspend(std::noop_coroutine()).resume();
}

TEST_F(GridEndings, AMessageIsNotGivenToWhoHasGivenUpWaiting) {
  two->handle_stream("patient", [](GridRequest, GridStream stream) -> Task<GridResult<void>> {
    begin_and_drop(stream.receive().as_task());
    const GridResult<std::optional<Bytes>> message = co_await stream.receive();
    if (!message.has_value()) {
      co_return std::unexpected(message.error());
    }
    co_return co_await stream.send(message->value_or("none"));
  });
  GridResult<GridStream> stream = run(to_two->open("patient", "", patient()));
  ASSERT_TRUE(stream.has_value());
  EXPECT_TRUE(run(stream->send("only one")).has_value());
  EXPECT_EQ(run(stream->receive()).value(), "only one");
}

TEST_F(GridEndings, TheTraceSeesHowCallsAndStreamsEnd) {
  struct Ended {
    std::string handler;
    std::optional<GridCode> code;
  };

  std::mutex mutex;
  std::vector<Ended> ended;
  const ReservedPort port;
  GridOptions traced = options(port.address(), 0);
  traced.listen.clear();
  traced.is_guest = true;
  traced.name = "tracer";
  traced.trace = [&](std::string_view, std::string_view handler, std::chrono::nanoseconds took,
                     const GridError* error) {
    const std::lock_guard lock(mutex);
    EXPECT_GE(took, std::chrono::nanoseconds(handler == "echo" ? 1 : 0));
    ended.push_back(
        {std::string(handler), error == nullptr ? std::nullopt : std::optional(error->code)});
  };
  const auto seen = [&](std::size_t count) {
    while (true) {
      const std::lock_guard lock(mutex);
      if (ended.size() >= count) {
        return ended.back();
      }
    }
  };
  const auto node = make(traced);
  const GridPeer to = peer(*node, port_two.address());
  start(*node);
  EXPECT_TRUE(run(to.call("echo", "", patient())).has_value());
  EXPECT_EQ(seen(1).handler, "echo");
  EXPECT_EQ(seen(1).code, std::nullopt);
  EXPECT_FALSE(run(to.call("nothing", "", patient())).has_value());
  EXPECT_EQ(seen(2).code, GridCode::kUnknownHandler);
  {
    GridResult<GridStream> stream = run(to.open("echo-stream", "", patient()));
    ASSERT_TRUE(stream.has_value());
    EXPECT_TRUE(run(stream->send("1")).has_value());
    EXPECT_EQ(run(stream->receive()).value(), "1");
    {
      const std::lock_guard lock(mutex);
      EXPECT_EQ(ended.size(), 2U);  // it is open
    }
    stream->finish();
    EXPECT_EQ(run(stream->receive()).value(), std::nullopt);
    EXPECT_EQ(seen(3).handler, "echo-stream");
    EXPECT_EQ(seen(3).code, std::nullopt);
  }
  {
    const GridResult<GridStream> dropped = run(to.open("echo-stream", "", patient()));
    ASSERT_TRUE(dropped.has_value());
  }
  EXPECT_EQ(seen(4).code, GridCode::kCancelled);
  GridResult<GridStream> cut = run(to.open("echo-stream", "", patient()));
  ASSERT_TRUE(cut.has_value());
  two->stop();
  EXPECT_EQ(seen(5).code, GridCode::kDisconnected);
}

TEST_F(GridEndings, AnInlineHandlerMayKnowWhoAsksAndForWhat) {
  two->handle_inline("below/", [](const GridInlineRequest& request, GridReply reply) {
    reply.respond(fmt::format("{} {} {} {}", request.handler, request.payload, request.peer,
                              request.deadline.has_value()));
  });
  EXPECT_EQ(run(to_two->call("below/this", "payload", patient())).value(),
            fmt::format("below/this payload {} true", port_one.address()));
}

// --- with a bad link ---

class GridBadEndings : public Relayed {};

TEST_F(GridBadEndings, ADrainLetsALargeAnswerArrive) {
  begin();
  EXPECT_EQ(run(to_two->call("echo", "before", patient())).value(), "before");
  relay->slow(20'000);
  Signal signal;
  bool is_asked = false;
  two->handle("large", [&](GridRequest) -> Task<GridResult<Bytes>> {
    signal.change([&] { is_asked = true; });
    co_return Bytes(32U << 20U, 'x');
  });
  std::promise<std::size_t> answered;
  to_two->call("large", "", patient(), [&](GridResult<std::string_view> result) {
    answered.set_value(result.has_value() ? result->size() : 0);
  });
  ASSERT_TRUE(signal.wait([&] { return is_asked; }));
  // What still comes must not make the system take back what has not been read.
  std::atomic<bool> is_over = false;
  std::thread caller([&] {
    while (!is_over) {
      static_cast<void>(run(to_two->call("echo", Bytes(1000, 'c'), {.timeout = 1s})));
    }
  });
  two->drain(kPatience);
  EXPECT_EQ(answered.get_future().get(), 32U << 20U);
  is_over = true;
  caller.join();
}

TEST_F(GridBadEndings, AnIdempotentCallThatNeverLeftIsMadeAgainToo) {
  begin();
  EXPECT_EQ(run(to_two->call("echo", "before", patient())).value(), "before");
  relay->stall(true);
  Signal signal;
  int lost = 0;
  // Fills what may be under way, so that what comes behind it stays here.
  const std::size_t bytes = 32U << 20U;
  to_two->call("echo", Bytes(bytes, 'x'), patient(), [&](const GridResult<std::string_view>& was) {
    signal.change([&] { lost += was.has_value() ? 0 : 1; });
  });
  while (one->peers()[0].unsent_bytes == 0 || one->peers()[0].unsent_bytes > bytes - 250'000) {
  }
  GridCallOptions again;
  again.timeout = kPatience;
  again.idempotent = true;
  std::optional<std::string> answer;
  to_two->call("echo", "small", again, [&](const GridResult<std::string_view>& was) {
    signal.change([&] { answer = was.has_value() ? "answered" : to_string(was.error()); });
  });
  while (one->peers()[0].calls_open < 2) {
  }
  relay->cut_after(0);
  relay->stall(false);
  EXPECT_TRUE(signal.wait([&] { return answer.has_value(); }));
  EXPECT_EQ(*answer, "answered");
  EXPECT_TRUE(signal.wait([&] { return lost == 1; }));
}

}  // namespace
}  // namespace trunkline::net
