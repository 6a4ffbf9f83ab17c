// SPDX-License-Identifier: Apache-2.0
//
// Two nodes on real sockets: calls, streams, and who blames whom.
#include "net/grid_fixture.h"

#include <algorithm>
#include <stdexcept>

namespace trunkline {

namespace {

struct Lock {
  std::string resource{};
  std::string owner{};
};

struct Granted {
  std::string by{};
};

}  // namespace

template <>
struct GridCodec<Lock> {
  static void pack(const Lock& lock, Bytes& out) { out += lock.resource + "\n" + lock.owner; }

  static bool unpack(std::string_view bytes, Lock& lock) {
    const std::size_t border = bytes.find('\n');
    if (border == std::string_view::npos) {
      return false;
    }
    lock = {std::string(bytes.substr(0, border)), std::string(bytes.substr(border + 1))};
    return true;
  }
};

template <>
struct GridCodec<Granted> {
  static void pack(const Granted& granted, Bytes& out) { out += "by " + granted.by; }

  static bool unpack(std::string_view bytes, Granted& granted) {
    granted.by = bytes.substr(std::min<std::size_t>(3, bytes.size()));
    return bytes.starts_with("by ");
  }
};

}  // namespace trunkline

namespace trunkline::net {
namespace {

class GridCalls : public TwoNodes {};

TEST_F(GridCalls, EitherNodeCallsTheOther) {
  EXPECT_EQ(run(to_two->call("echo", "1", patient())).value(), "1");
  EXPECT_EQ(run(to_one->call("quick", "2", patient())).value(), "2");
}

TEST_F(GridCalls, ACallbackIsCalledOnce) {
  std::promise<std::string> promise;
  to_two->call("quick", "1", patient(), [&promise](GridResult<std::string_view> result) {
    promise.set_value(result.has_value() ? std::string(*result) : to_string(result.error()));
  });
  EXPECT_EQ(promise.get_future().get(), "1");
}

TEST_F(GridCalls, AnErrorSaysWhoseItIs) {
  two->handle("fails", [](GridRequest) -> Task<GridResult<Bytes>> {
    co_return grid_error(1234, "no such lock");
  });
  two->handle("throws", [](GridRequest) -> Task<GridResult<Bytes>> {
    throw std::runtime_error("out of luck");
    co_return Bytes{};
  });
  two->handle_inline("silent", [](std::string_view, GridReply) {});
  const GridError failed = run(to_two->call("fails", "", patient())).error();
  EXPECT_EQ(to_string(failed), "handler (handler): no such lock");
  EXPECT_EQ(failed.application, 1234U);
  EXPECT_EQ(to_string(run(to_two->call("throws", "", patient())).error()),
            "threw (handler): out of luck");
  EXPECT_EQ(run(to_two->call("silent", "", patient())).error().code, GridCode::kAbandoned);
  const GridError unknown = run(to_two->call("nothing", "", patient())).error();
  EXPECT_EQ(unknown.code, GridCode::kUnknownHandler);
  EXPECT_EQ(unknown.origin, GridOrigin::kRemote);
  EXPECT_TRUE(unknown.not_run);
  EXPECT_EQ(two->peers().at(0).calls_refused, 1U);
  EXPECT_EQ(run(peer(*one, "127.0.0.1:1").call("echo", "")).error().code, GridCode::kNotConnected);
}

TEST(GridPacking, GrowsInMemoryThatWasUsedBefore) {
  const Lock small{.resource = "small", .owner = std::string(100, 'x')};
  const Lock large{.resource = "large", .owner = std::string(100'000, 'x')};
  EXPECT_EQ(detail::packed(small).size(), 106U);
  const char* const memory = detail::packing_memory().data();
  const Bytes payload = detail::packed(small);
  EXPECT_EQ(payload, "small\n" + small.owner);
  EXPECT_EQ(payload.capacity(), payload.size());
  EXPECT_EQ(detail::packing_memory().data(), memory);
  // What is large goes with its memory, and nothing large is kept.
  EXPECT_EQ(detail::packed(large).size(), 100'006U);
  EXPECT_LT(detail::packing_memory().capacity(), 100U);
}

TEST_F(GridCalls, TypesGoThroughTheirCodec) {
  two->handle<Lock, Granted>("lock", [](Lock lock, GridRequest) -> Task<GridResult<Granted>> {
    co_return Granted{lock.owner + " has " + lock.resource};
  });
  const GridResult<Granted> granted =
      run(to_two->call<Lock, Granted>("lock", Lock{"disk", "me"}, patient()));
  EXPECT_EQ(granted.value().by, "me has disk");
  EXPECT_EQ(run(to_two->call("lock", "no lock", patient())).error().text,
            "the request is of another type");
  two->handle_inline("other", [](std::string_view, GridReply reply) { reply.respond("?"); });
  EXPECT_EQ((run(to_two->call<Lock, Granted>("other", Lock{}, patient())).error().text),
            "the answer is of another type");
}

TEST_F(GridCalls, AHandlerMayServeAllNamesBelowItsOwn) {
  two->handle("disk/", [](GridRequest request) -> Task<GridResult<Bytes>> {
    co_return "disk of " + request.handler;
  });
  two->handle("disk/special/", [](GridRequest request) -> Task<GridResult<Bytes>> {
    co_return "special of " + request.handler;
  });
  EXPECT_EQ(run(to_two->call("disk/1/stat", "", patient())).value(), "disk of disk/1/stat");
  EXPECT_EQ(run(to_two->call("disk/special/x", "", patient())).value(),
            "special of disk/special/x");
  EXPECT_EQ(run(to_two->call("disk", "", patient())).error().code, GridCode::kUnknownHandler);
}

TEST_F(GridCalls, LargeMessagesGoBothWaysBesideSmallOnes) {
  const Bytes large(24U << 20U, 'x');
  std::vector<std::future<std::size_t>> sizes;
  for (const GridPeer* to : {&*to_two, &*to_one}) {
    for (int i = 0; i < 2; ++i) {
      auto promise = std::make_shared<std::promise<std::size_t>>();
      sizes.push_back(promise->get_future());
      to->call("echo", large, patient(), [promise](GridResult<std::string_view> result) {
        promise->set_value(result.has_value() ? result->size() : 0);
      });
    }
  }
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(run(to_two->call("quick", "small", patient())).value(), "small");
  }
  for (std::future<std::size_t>& size : sizes) {
    EXPECT_EQ(size.get(), large.size());
  }
}

TEST_F(GridCalls, ManyCallsFromManyThreads) {
  std::vector<std::thread> threads;
  std::atomic<int> answered = 0;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread, &answered] {
      const GridPeer& to = thread % 2 == 0 ? *to_two : *to_one;
      for (int i = 0; i < 500; ++i) {
        const std::string text = fmt::format("{} {}", thread, i);
        answered += run(to.call(i % 2 == 0 ? "echo" : "quick", text, patient())).value() == text;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(answered, 2000);
}

// A handler that ends only when it is stopped.
class Sleeper {
 public:
  explicit Sleeper(GridNode& node) {
    node.handle_inline("sleep", [this](std::string_view, GridReply reply) {
      signal.change([&] { replies.push_back(std::move(reply)); });
    });
    node.handle("sleep-until-stopped", [this](GridRequest request) -> Task<GridResult<Bytes>> {
      signal.change([&] { ++begun; });
      std::promise<void> stopped;
      // Goes on on another thread: nothing blocks the node's.
      const std::stop_callback wake(request.stop, [this] { signal.change([&] { ++stops; }); });
      co_await Forever{*this};
      co_return Bytes("too late");
    });
  }

  ~Sleeper() { release(); }

  void release() {
    std::vector<std::coroutine_handle<>> woken;
    signal.change([&] { woken.swap(sleeping); });
    for (const std::coroutine_handle<> one : woken) {
      one.resume();
    }
  }

  struct Forever {
    Sleeper& in;

    [[nodiscard]] bool await_ready() const { return false; }

    void await_suspend(std::coroutine_handle<> who) const {
      in.signal.change([&] { in.sleeping.push_back(who); });
    }

    void await_resume() const {}
  };

  Signal signal;
  int begun = 0;
  int stops = 0;
  std::vector<std::coroutine_handle<>> sleeping;
  std::vector<GridReply> replies;
};

TEST_F(GridCalls, ACancelReturnsAtOnceAndStopsTheHandlerThere) {
  Sleeper sleeper(*two);
  std::stop_source stop;
  GridCallOptions options = patient();
  options.stop = stop.get_token();
  std::promise<GridCode> promise;
  to_two->call("sleep-until-stopped", "", options, [&promise](GridResult<std::string_view> result) {
    promise.set_value(result.error().code);
  });
  ASSERT_TRUE(sleeper.signal.wait([&] { return sleeper.begun == 1; }));
  stop.request_stop();
  EXPECT_EQ(promise.get_future().get(), GridCode::kCancelled);
  EXPECT_TRUE(sleeper.signal.wait([&] { return sleeper.stops == 1; }));
  two->stop();
}

TEST_F(GridCalls, ADeadlineEndsItHereAndThere) {
  Sleeper sleeper(*two);
  EXPECT_EQ(run(to_two->call("echo", "", patient())).value(), "");
  GridCallOptions brief;
  brief.timeout = 50ms;
  const GridError error = run(to_two->call("sleep-until-stopped", "", brief)).error();
  EXPECT_EQ(error.code, GridCode::kDeadline);
  EXPECT_EQ(error.origin, GridOrigin::kCaller);
  EXPECT_TRUE(sleeper.signal.wait([&] { return sleeper.stops == 1; }));
  two->stop();
}

TEST_F(GridCalls, ATaskThatIsDroppedCancelsItsCall) {
  Sleeper sleeper(*two);
  {
    auto task = std::make_unique<Task<GridResult<Bytes>>>(
        to_two->call("sleep-until-stopped", "", patient()));

    struct Never {
      struct promise_type {
        Never get_return_object() {
          return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }

        std::suspend_never initial_suspend() noexcept { return {}; }

        std::suspend_always final_suspend() noexcept { return {}; }

        void return_void() {}

        void unhandled_exception() {}
      };

      std::coroutine_handle<promise_type> handle;
    };

    auto waiting = [](Task<GridResult<Bytes>>& of) -> Never { co_await std::move(of); };
    const Never never = waiting(*task);
    ASSERT_TRUE(sleeper.signal.wait([&] { return sleeper.begun == 1; }));
    never.handle.destroy();
  }
  EXPECT_TRUE(sleeper.signal.wait([&] { return sleeper.stops == 1; }));
  two->stop();
}

class GridStreams : public TwoNodes {};

Task<GridResult<int>> talk(GridPeer to, int count, std::size_t bytes) {
  GridResult<GridStream> stream =
      co_await to.open("echo-stream", "", {.timeout = kPatience, .wait_ready = true});
  if (!stream.has_value()) {
    co_return std::unexpected(stream.error());
  }
  int received = 0;
  for (int i = 0; i < count; ++i) {
    Bytes message = fmt::format("{}:", i) + Bytes(bytes, 'x');
    const GridResult<void> sent = co_await stream->send(std::move(message));
    if (!sent.has_value()) {
      co_return std::unexpected(sent.error());
    }
    const GridResult<std::optional<Bytes>> back = co_await stream->receive();
    if (!back.has_value()) {
      co_return std::unexpected(back.error());
    }
    received += back->has_value() && (**back).starts_with(fmt::format("{}:", i)) ? 1 : 0;
  }
  stream->finish();
  const GridResult<std::optional<Bytes>> end = co_await stream->receive();
  if (!end.has_value()) {
    co_return std::unexpected(end.error());
  }
  co_return end->has_value() ? -1 : received;
}

TEST_F(GridStreams, MessagesComeBackInOrderAndThenTheEnd) {
  EXPECT_EQ(run(talk(*to_two, 200, 100)).value(), 200);
  EXPECT_EQ(run(talk(*to_one, 5, 3U << 20U)).value(), 5);
  EXPECT_EQ(run(talk(*to_two, 0, 0)).value(), 0);
}

TEST_F(GridStreams, AThousandAtOnce) {
  constexpr int kStreams = 1000;
  Signal signal;
  int ended = 0;
  int well = 0;
  for (int i = 0; i < kStreams; ++i) {
    run_task(talk(i % 2 == 0 ? *to_two : *to_one, 5, 300),
             [&](std::optional<GridResult<int>> result, const std::exception_ptr&) {
               signal.change([&] {
                 ++ended;
                 well += result.has_value() && result->has_value() && **result == 5 ? 1 : 0;
               });
             });
  }
  ASSERT_TRUE(signal.wait([&] { return ended == kStreams; }));
  EXPECT_EQ(well, kStreams);
}

TEST_F(GridStreams, AHandlerThatReturnsEndsItAndOneThatFailsSaysWhy) {
  two->handle_stream("three", [](GridRequest request, GridStream stream) -> Task<GridResult<void>> {
    for (int i = 0; i < 3; ++i) {
      const GridResult<void> sent = co_await stream.send(fmt::format("{}", i));
      if (!sent.has_value()) {
        co_return std::unexpected(sent.error());
      }
    }
    if (request.payload == "fail") {
      co_return grid_error(7, "disk");
    }
    co_return GridResult<void>{};
  });
  const auto listen = [](GridPeer to, Bytes payload) -> Task<GridResult<std::string>> {
    GridResult<GridStream> stream =
        co_await to.open("three", std::move(payload), {.timeout = kPatience, .wait_ready = true});
    std::string all;
    while (true) {
      const GridResult<std::optional<Bytes>> message = co_await stream->receive();
      if (!message.has_value()) {
        co_return std::unexpected(message.error());
      }
      if (!message->has_value()) {
        co_return all;
      }
      all += **message;
    }
  };
  EXPECT_EQ(run(listen(*to_two, "")).value(), "012");
  const GridError error = run(listen(*to_two, "fail")).error();
  EXPECT_EQ(error.application, 7U);
  EXPECT_EQ(error.text, "disk");
}

TEST_F(GridStreams, OneThatIsLetGoIsCancelledThere) {
  Signal signal;
  bool is_stopped = false;
  two->handle_stream("endless",
                     [&](GridRequest request, GridStream stream) -> Task<GridResult<void>> {
                       const std::stop_callback stopped(
                           request.stop, [&] { signal.change([&] { is_stopped = true; }); });
                       while (true) {
                         const GridResult<void> sent = co_await stream.send(Bytes(1000, 'x'));
                         if (!sent.has_value()) {
                           co_return std::unexpected(sent.error());
                         }
                       }
                     });
  const auto one_message = [](GridPeer to) -> Task<GridResult<std::size_t>> {
    GridResult<GridStream> stream =
        co_await to.open("endless", "", {.timeout = kPatience, .wait_ready = true});
    const GridResult<std::optional<Bytes>> message = co_await stream->receive();
    co_return message.has_value() ? (**message).size() : 0;
  };
  EXPECT_EQ(run(one_message(*to_two)).value(), 1000U);
  EXPECT_TRUE(signal.wait([&] { return is_stopped; }));
}

class GridLife : public TwoNodes {};

TEST_F(GridLife, WhatIsOpenFailsWhenANodeStopsAndCallersMayWaitForTheNextOne) {
  auto sleeper = std::make_unique<Sleeper>(*two);
  std::promise<GridError> promise;
  to_two->call("sleep", "", patient(), [&promise](GridResult<std::string_view> result) {
    promise.set_value(result.error());
  });
  ASSERT_TRUE(sleeper->signal.wait([&] { return sleeper->replies.size() == 1; }));
  two->stop();
  EXPECT_EQ(promise.get_future().get().code, GridCode::kDisconnected);
  EXPECT_EQ(run(to_one->call("echo", "")).error().code, GridCode::kNotConnected);
  sleeper.reset();
  two = make(options(port_two.address(), port_two.port()));
  serve(*two);
  static_cast<void>(peer(*two, port_one.address()));
  start(*two);
  EXPECT_EQ(run(to_two->call("echo", "again", patient())).value(), "again");
}

TEST_F(GridLife, ADrainLetsWhatIsOpenFinish) {
  Sleeper sleeper(*two);
  std::promise<std::string> promise;
  to_two->call("sleep", "", patient(), [&promise](GridResult<std::string_view> result) {
    promise.set_value(result.has_value() ? std::string(*result) : to_string(result.error()));
  });
  ASSERT_TRUE(sleeper.signal.wait([&] { return sleeper.replies.size() == 1; }));
  std::thread draining([this] { two->drain(kPatience); });
  GridCode code = GridCode::kHandler;
  while (code != GridCode::kDraining && code != GridCode::kNotConnected) {
    const GridResult<Bytes> answer = run(to_two->call("echo", ""));
    code = answer.has_value() ? GridCode::kHandler : answer.error().code;
  }
  sleeper.replies[0].respond("finished");
  draining.join();
  EXPECT_EQ(promise.get_future().get(), "finished");
}

TEST_F(GridLife, PeersSayHowTheyAre) {
  EXPECT_EQ(run(to_two->call("echo", "12345", patient())).value(), "12345");
  const std::vector<GridPeerStats> peers = one->peers();
  ASSERT_EQ(peers.size(), 1U);
  EXPECT_TRUE(peers[0].is_connected);
  EXPECT_GT(peers[0].bytes_sent, 5U);
  EXPECT_EQ(peers[0].name, port_two.address());
  EXPECT_TRUE(one->remove_peer(port_two.address()).has_value());
  EXPECT_FALSE(one->remove_peer(port_two.address()).has_value());
  EXPECT_TRUE(one->peers().empty());
}

TEST_F(GridLife, AWrongSecretIsRefusedOnBothSides) {
  Signal signal;
  int refusals = 0;
  two->stop();
  GridOptions other = options(port_two.address(), port_two.port());
  other.secret = "another secret entirely";
  other.log = [&](std::string_view line) {
    if (line.find("secret") != std::string_view::npos) {
      signal.change([&] { ++refusals; });
    }
  };
  two = make(other);
  static_cast<void>(peer(*two, port_one.address()));
  start(*two);
  EXPECT_TRUE(signal.wait([&] { return refusals > 1; }));
  EXPECT_EQ(run(to_two->call("echo", "")).error().code, GridCode::kNotConnected);
}

TEST_F(GridLife, ANodeMayBeDestroyedAtAnyMoment) {
  for (int i = 0; i < 20; ++i) {
    to_two->call("echo", Bytes(static_cast<std::size_t>(i) * 100'000, 'x'), patient(),
                 [](GridResult<std::string_view>) {});
  }
  one.reset();
  EXPECT_EQ(run(to_two->call("echo", "")).error().code, GridCode::kNotConnected);
}

}  // namespace
}  // namespace trunkline::net
