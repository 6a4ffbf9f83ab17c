// SPDX-License-Identifier: Apache-2.0
//
// Coroutines that wait for streams: from which thread they ask, that go away meanwhile, and whose
// node does.
#include "net/grid_fixture.h"

namespace trunkline::net {
namespace {

using Message = GridResult<std::optional<Bytes>>;

class GridStreamWaits : public TwoNodes {
 protected:
  GridStream open(const std::string& handler) {
    return run(to_two->open(handler, "", patient())).value();
  }

  // Runs it on the node's thread.
  void on_its_thread(const std::function<void()>& function) {
    std::promise<void> done;
    to_two->call("quick", "", patient(), [&](const GridResult<std::string_view>&) {
      function();
      done.set_value();
    });
    done.get_future().wait();
  }
};

// A coroutine that waits for a message, and is there for as long as this.
class Reader {
 public:
  explicit Reader(GridStream stream) : task_(read(std::move(stream), got_)) {
    std::move(task_).operator co_await().await_suspend(std::noop_coroutine()).resume();
  }

  [[nodiscard]] const std::optional<Message>& got() const { return got_; }

 private:
  static Task<int> read(GridStream stream, std::optional<Message>& got) {
    got = co_await stream.receive();
    co_return 0;
  }

  std::optional<Message> got_;
  Task<int> task_;
};

TEST_F(GridStreamWaits, OfTwoWhoReceiveAtOnceTheSecondIsRefused) {
  GridStream stream = open("echo-stream");
  on_its_thread([&] {
    const Reader first(stream);
    EXPECT_FALSE(first.got().has_value());
    const Reader second(stream);
    ASSERT_TRUE(second.got().has_value());
    EXPECT_EQ(second.got()->error().code, GridCode::kInvalid);
  });
  EXPECT_TRUE(run(stream.send("still")).has_value());
  EXPECT_EQ(run(stream.receive()).value(), "still");
}

TEST_F(GridStreamWaits, WhoHasGivenUpOnAnotherThreadIsGivenNothing) {
  GridStream stream = open("echo-stream");
  for (int i = 0; i < 100; ++i) {
    const Reader gone(stream);
  }
  EXPECT_TRUE(run(stream.send("only one")).has_value());
  EXPECT_EQ(run(stream.receive()).value(), "only one");
}

TEST_F(GridStreamWaits, TwoNodesThreadsMayLetGoOfEachOthersStreams) {
  const GridStream ones = open("echo-stream");
  const GridStream twos = run(to_one->open("echo-stream", "", patient())).value();
  const auto let_go = [](const GridStream& stream, std::promise<void>& done) {
    return [&](const GridResult<std::string_view>&) {
      for (int i = 0; i < 1000; ++i) {
        const Reader gone(stream);
      }
      done.set_value();
    };
  };
  std::promise<void> one_done;
  std::promise<void> two_done;
  to_two->call("quick", "", patient(), let_go(twos, one_done));
  to_one->call("quick", "", patient(), let_go(ones, two_done));
  one_done.get_future().wait();
  two_done.get_future().wait();
}

// It has asked from here, and goes on the node's thread before the node has looked.
TEST_F(GridStreamWaits, WhoHasGivenUpBeforeTheNodeHasLookedIsForgotten) {
  GridStream stream = open("echo-stream");
  for (int i = 0; i < 20; ++i) {
    std::promise<void> blocked;
    std::promise<Reader*> asked;
    std::promise<void> done;
    to_two->call("quick", "", patient(), [&](const GridResult<std::string_view>&) {
      blocked.set_value();
      delete asked.get_future().get();
      done.set_value();
    });
    blocked.get_future().wait();
    asked.set_value(new Reader(stream));
    done.get_future().wait();
  }
  EXPECT_TRUE(run(stream.send("only one")).has_value());
  EXPECT_EQ(run(stream.receive()).value(), "only one");
}

TEST_F(GridStreamWaits, WhoeverWaitsIsToldWhenTheNodeStops) {
  GridStream stream = open("echo-stream");
  std::promise<Message> told;
  run_task(stream.receive().as_task(),
           [&](std::optional<Message> message, const std::exception_ptr&) {
             told.set_value(std::move(*message));
           });
  one->stop();
  EXPECT_FALSE(told.get_future().get().has_value());
  EXPECT_EQ(run(stream.receive()).error().code, GridCode::kNotConnected);
  EXPECT_EQ(run(stream.send("")).error().code, GridCode::kNotConnected);
  one.reset();
  EXPECT_EQ(run(stream.receive()).error().code, GridCode::kNotConnected);
}

TEST_F(GridStreamWaits, WhoAsksWhileTheNodeStopsIsToldToo) {
  for (int round = 0; round < 20; ++round) {
    const ReservedPort port;
    GridOptions guest = options(port.address(), 0);
    guest.listen.clear();
    guest.is_guest = true;
    auto node = make(guest);
    const GridPeer to = peer(*node, port_two.address());
    start(*node);
    GridStream stream = run(to.open("echo-stream", "", patient())).value();
    std::atomic<int> told = 0;
    std::thread asker([&] {
      while (run(stream.receive()).error().code != GridCode::kNotConnected) {
        ++told;
      }
    });
    node.reset();
    asker.join();
    EXPECT_LE(told, 1);
  }
}

TEST_F(GridStreamWaits, AskingAgainAndAgainAfterTheStopDoesNotNest) {
  const GridStream stream = open("echo-stream");
  one->stop();
  const auto ask = [](GridStream to, int times) -> Task<int> {
    int refused = 0;
    for (int i = 0; i < times; ++i) {
      const GridResult<void> sent = co_await to.send("x");
      refused += sent.has_value() ? 0 : 1;
    }
    co_return refused;
  };
  EXPECT_GE(run(ask(stream, 200'000)), 199'000);
}

TEST_F(GridStreamWaits, ToAwaitTwiceIsRefused) {
  const GridStream stream = open("echo-stream");
  const auto twice = [](GridStream to) -> Task<int> {
    GridSending sending = to.send("once");
    const GridResult<void> first = co_await sending;
    const GridResult<void> second = co_await sending;
    const GridResult<void> third = co_await std::move(sending).as_task();
    EXPECT_TRUE(first.has_value());
    EXPECT_EQ(second.error().code, GridCode::kInvalid);
    EXPECT_EQ(third.error().code, GridCode::kInvalid);
    GridReceiving receiving = to.receive();
    const Message message = co_await std::move(receiving).as_task();
    const Message again = co_await receiving;
    EXPECT_EQ(message.value(), "once");
    EXPECT_EQ(again.error().code, GridCode::kInvalid);
    co_return 0;
  };
  EXPECT_EQ(run(twice(stream)), 0);
}

// The coroutine that goes on lets go of the last copy, and with it of the stream.
TEST_F(GridStreamWaits, WhoGoesOnMayLetGoOfTheStream) {
  two->handle_stream("greets", [](GridRequest, GridStream stream) -> Task<GridResult<void>> {
    static_cast<void>(co_await stream.send("hello"));
    const Message end = co_await stream.receive();
    co_return end.has_value() ? GridResult<void>{} : std::unexpected(end.error());
  });
  const auto greeted = [](GridPeer to, GridCallOptions with) -> Task<Message> {
    GridResult<GridStream> stream = co_await to.open("greets", "", with);
    if (!stream.has_value()) {
      co_return std::unexpected(stream.error());
    }
    GridStream moved = std::move(*stream);
    *stream = moved;
    co_return co_await moved.receive();
  };
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(run(greeted(*to_two, patient())).value(), "hello");
  }
}

TEST_F(GridStreamWaits, WhoIsToldOfItsEndMayLetGoOfTheStream) {
  two->handle_stream("fails", [](GridRequest, GridStream stream) -> Task<GridResult<void>> {
    static_cast<void>(co_await stream.receive());
    co_return grid_error(1, "on request");
  });
  std::optional<GridStream> kept;
  std::promise<std::string> told;
  const ReservedPort port;
  GridOptions traced = options(port.address(), 0);
  traced.listen.clear();
  traced.is_guest = true;
  traced.trace = [&](std::string_view, std::string_view handler, std::chrono::nanoseconds,
                     const GridError* error) {
    kept.reset();
    told.set_value(std::string(handler) + ": " + (error != nullptr ? error->text : "ended"));
  };
  const auto node = make(traced);
  const GridPeer to = peer(*node, port_two.address());
  start(*node);
  kept = run(to.open("fails", "", patient())).value();
  EXPECT_TRUE(run(GridStream(*kept).send("go")).has_value());
  EXPECT_EQ(told.get_future().get(), "fails: on request");
}

TEST_F(GridStreamWaits, WhoWaitsForRoomMayGiveUp) {
  std::promise<void> reads;
  std::shared_future<void> may_read = reads.get_future().share();
  two->handle_blocking_stream(
      "late", [may_read](const GridRequest&, GridBlockingStream stream) -> GridResult<void> {
        may_read.wait();
        while (true) {
          const Message message = stream.receive();
          if (!message.has_value() || !message->has_value()) {
            return message.has_value() ? GridResult<void>{} : std::unexpected(message.error());
          }
          if (**message == "given up") {
            return grid_error(1, "what was given up has come");
          }
        }
      });
  GridStream stream = open("late");
  const auto fill = [](GridStream to, std::atomic<int>& sent) -> Task<int> {
    while (true) {
      const GridResult<void> done = co_await to.send(Bytes(64 * 1024, 'x'));
      if (!done.has_value()) {
        co_return 0;
      }
      ++sent;
    }
  };
  // Sends until it has to wait, and goes.
  on_its_thread([&] {
    std::atomic<int> sent = 0;
    {
      Task<int> filling = fill(stream, sent);
      std::move(filling).operator co_await().await_suspend(std::noop_coroutine()).resume();
    }
    EXPECT_GT(sent, 0);
    Task<GridResult<void>> waiting = stream.send("given up").as_task();
    std::move(waiting).operator co_await().await_suspend(std::noop_coroutine()).resume();
  });
  reads.set_value();
  EXPECT_TRUE(run(stream.send("last")).has_value());
  stream.finish();
  const Message end = run(stream.receive());
  EXPECT_TRUE(end.has_value()) << to_string(end.error());
}

}  // namespace
}  // namespace trunkline::net
