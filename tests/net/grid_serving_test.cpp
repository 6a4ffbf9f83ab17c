// SPDX-License-Identifier: Apache-2.0
//
// Handlers that block, limits of stream handlers, and streams whose messages have types.
#include "net/grid_fixture.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <stdexcept>

namespace trunkline {

template <>
struct GridCodec<int> {
  static void pack(int value, Bytes& out) { out += std::to_string(value); }

  static bool unpack(std::string_view bytes, int& value) {
    const char* end = bytes.data() + bytes.size();
    const auto parsed = std::from_chars(bytes.data(), end, value);
    return parsed.ec == std::errc{} && parsed.ptr == end;
  }
};

}  // namespace trunkline

namespace trunkline::net {
namespace {

class GridBlocking : public TwoNodes {
 protected:
  // Before the gate goes.
  void TearDown() override {
    one->stop();
    two->stop();
  }

  std::future<GridResult<Bytes>> call(const std::string& handler, GridCallOptions with) {
    auto promise = std::make_shared<std::promise<GridResult<Bytes>>>();
    to_two->call(handler, "", std::move(with), [promise](GridResult<std::string_view> result) {
      promise->set_value(result.has_value() ? GridResult<Bytes>(Bytes(*result))
                                            : std::unexpected(result.error()));
    });
    return promise->get_future();
  }

  Gate gate;
};

TEST_F(GridBlocking, AHandlerThatBlocksKeepsNobodyWaiting) {
  two->handle_blocking("slow", [this](GridRequest) -> GridResult<Bytes> {
    gate.wait();
    return Bytes("done");
  });
  std::future<GridResult<Bytes>> slow = call("slow", patient());
  ASSERT_TRUE(gate.has_waiting(1));
  EXPECT_EQ(run(to_two->call("echo", "1", patient())).value(), "1");
  EXPECT_EQ(run(to_two->call("quick", "2", patient())).value(), "2");
  gate.open();
  EXPECT_EQ(slow.get().value(), "done");
}

TEST_F(GridBlocking, ErrorsAndExceptionsAreTheHandlers) {
  two->handle_blocking("fails",
                       [](GridRequest) -> GridResult<Bytes> { return grid_error(7, "no"); });
  two->handle_blocking(
      "throws", [](GridRequest) -> GridResult<Bytes> { throw std::runtime_error("out of luck"); });
  EXPECT_EQ(to_string(run(to_two->call("fails", "", patient())).error()), "handler (handler): no");
  EXPECT_EQ(to_string(run(to_two->call("throws", "", patient())).error()),
            "threw (handler): out of luck");
}

TEST_F(GridBlocking, TypesGoThroughTheirCodec) {
  two->handle_blocking<int, int>(
      "twice", [](int number, GridRequest) -> GridResult<int> { return 2 * number; });
  EXPECT_EQ((run(to_two->call<int, int>("twice", 21, patient())).value()), 42);
  EXPECT_EQ(run(to_two->call("twice", "many", patient())).error().text,
            "the request is of another type");
}

TEST_F(GridBlocking, ThreadsAreNoMoreThanGivenAndTheRestWaits) {
  two->stop();
  GridOptions narrow = options(port_two.address(), port_two.port());
  narrow.blocking_threads = 2;
  two = make(narrow);
  serve(*two);
  static_cast<void>(peer(*two, port_one.address()));
  std::mutex mutex;
  std::set<std::thread::id> threads;
  two->handle_blocking("slow", [&](GridRequest) -> GridResult<Bytes> {
    gate.wait();
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
    return Bytes("done");
  });
  start(*two);
  std::vector<std::future<GridResult<Bytes>>> calls;
  for (int i = 0; i < 20; ++i) {
    calls.push_back(call("slow", patient()));
  }
  ASSERT_TRUE(gate.has_waiting(2));
  EXPECT_EQ(run(to_two->call("echo", "1", patient())).value(), "1");
  gate.open();
  for (auto& each : calls) {
    EXPECT_EQ(each.get().value(), "done");
  }
  two->stop();  // its threads are done with the set
  EXPECT_LE(threads.size(), 2U);
}

TEST_F(GridBlocking, WhatNobodyWaitsForDoesNotBegin) {
  two->stop();
  GridOptions narrow = options(port_two.address(), port_two.port());
  narrow.blocking_threads = 1;
  two = make(narrow);
  serve(*two);
  static_cast<void>(peer(*two, port_one.address()));
  std::atomic<int> begun = 0;
  two->handle_blocking("slow", [&](GridRequest) -> GridResult<Bytes> {
    ++begun;
    gate.wait();
    return Bytes();
  });
  start(*two);
  std::future<GridResult<Bytes>> first = call("slow", patient());
  ASSERT_TRUE(gate.has_waiting(1));
  std::stop_source stop;
  GridCallOptions stopped = patient();
  stopped.stop = stop.get_token();
  std::future<GridResult<Bytes>> second = call("slow", stopped);
  EXPECT_EQ(run(to_two->call("echo", "1", patient())).value(), "1");  // it has arrived before
  stop.request_stop();
  EXPECT_EQ(second.get().error().code, GridCode::kCancelled);
  EXPECT_EQ(run(to_two->call("echo", "1", patient())).value(), "1");
  gate.open();
  EXPECT_TRUE(first.get().has_value());
  EXPECT_TRUE(call("slow", patient()).get().has_value());
  EXPECT_EQ(begun, 2);
}

TEST_F(GridBlocking, AStreamMayBeServedByBlockingCode) {
  two->handle_blocking_stream(
      "doubles", [](GridRequest request, GridBlockingStream stream) -> GridResult<void> {
        EXPECT_TRUE(stream.send(request.payload).has_value());
        while (true) {
          GridResult<std::optional<Bytes>> message = stream.receive();
          if (!message.has_value() || !message->has_value()) {
            return message.has_value() ? GridResult<void>{} : std::unexpected(message.error());
          }
          if (GridResult<void> sent = stream.send(**message + **message); !sent.has_value()) {
            return sent;
          }
        }
      });
  GridResult<GridStream> stream = run(to_two->open("doubles", "begin", patient()));
  ASSERT_TRUE(stream.has_value());
  EXPECT_EQ(run(stream->receive()).value(), "begin");
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(run(stream->send("ab")).has_value());
    EXPECT_EQ(run(stream->receive()).value(), "abab");
  }
  stream->finish();
  EXPECT_EQ(run(stream->receive()).value(), std::nullopt);
}

TEST_F(GridBlocking, AStopTellsHandlersThatBlockAndWaitsForThem) {
  std::atomic<bool> has_returned = false;
  two->handle_blocking_stream(
      "waits", [&](GridRequest, GridBlockingStream stream) -> GridResult<void> {
        gate.wait();
        const GridResult<std::optional<Bytes>> message = stream.receive();
        has_returned = true;
        return message.has_value() ? GridResult<void>{} : std::unexpected(message.error());
      });
  GridResult<GridStream> stream = run(to_two->open("waits", "", patient()));
  ASSERT_TRUE(stream.has_value());
  gate.open();
  ASSERT_TRUE(gate.has_waiting(1));
  two->stop();
  EXPECT_TRUE(has_returned);
}

TEST_F(GridBlocking, ACoroutineMayOffloadAPart) {
  two->handle("mixed", [this](GridRequest request) -> Task<GridResult<Bytes>> {
    const std::thread::id before = std::this_thread::get_id();
    const auto function = [&request] { return request.payload + " on another thread"; };
    const GridResult<Bytes> worked = co_await two->offload(function);
    EXPECT_NE(std::this_thread::get_id(), before);
    co_return worked;
  });
  EXPECT_EQ(run(to_two->call("mixed", "work", patient())).value(), "work on another thread");
  const auto nothing = [] {};
  EXPECT_TRUE(run(one->offload(nothing)).has_value());
  one->stop();
  EXPECT_EQ(run(one->offload(nothing)).error().code, GridCode::kNotConnected);
}

class GridStreamLimitsTest : public TwoNodes {};

TEST_F(GridStreamLimitsTest, SoManyStreamsOfAHandlerAtOnce) {
  GridStreamLimits few;
  few.streams_max = 2;
  two->handle_stream(
      "few",
      [](GridRequest, GridStream stream) -> Task<GridResult<void>> {
        const GridResult<std::optional<Bytes>> message = co_await stream.receive();
        static_cast<void>(co_await stream.send("ended"));
        co_return message.has_value() ? GridResult<void>{} : std::unexpected(message.error());
      },
      few);
  std::vector<GridStream> streams;
  for (int i = 0; i < 2; ++i) {
    streams.push_back(run(to_two->open("few", "", patient())).value());
  }
  GridStream third = run(to_two->open("few", "", patient())).value();
  const GridError refused = run(third.receive()).error();
  EXPECT_EQ(refused.code, GridCode::kBusy);
  EXPECT_TRUE(refused.not_run);
  EXPECT_EQ(refused.text, "2 streams of 'few' are open, as many as there may be");
  // Another handler has places of its own.
  GridStream other = run(to_two->open("echo-stream", "", patient())).value();
  ASSERT_TRUE(run(other.send("x")).has_value());
  EXPECT_EQ(run(other.receive()).value(), "x");
  streams[0].finish();
  EXPECT_EQ(run(streams[0].receive()).value(), "ended");
  EXPECT_EQ(run(streams[0].receive()).value(), std::nullopt);
  GridStream fourth = run(to_two->open("few", "", patient())).value();
  fourth.finish();
  EXPECT_EQ(run(fourth.receive()).value(), "ended");
}

TEST_F(GridStreamLimitsTest, ANarrowWindowLosesNothing) {
  GridStreamLimits narrow;
  narrow.window_bytes = 1;  // as narrow as can be
  two->handle_stream(
      "counts",
      [](GridRequest, GridStream stream) -> Task<GridResult<void>> {
        std::size_t bytes = 0;
        while (true) {
          const GridResult<std::optional<Bytes>> message = co_await stream.receive();
          if (!message.has_value()) {
            co_return std::unexpected(message.error());
          }
          if (!message->has_value()) {
            co_return co_await stream.send(std::to_string(bytes));
          }
          bytes += (*message)->size();
        }
      },
      narrow);
  GridStream stream = run(to_two->open("counts", "", patient())).value();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(run(stream.send(Bytes(1000, 'x'))).has_value());
  }
  ASSERT_TRUE(run(stream.send(Bytes(100'000, 'x'))).has_value());
  stream.finish();
  EXPECT_EQ(run(stream.receive()).value(), "1100000");
}

TEST_F(GridStreamLimitsTest, MessagesMayHaveTypes) {
  using Numbers = GridTypedStream<int, int>;
  two->handle_stream<int, int, int>(
      "adds", [](int start, GridRequest, Numbers stream) -> Task<GridResult<void>> {
        while (true) {
          const GridResult<std::optional<int>> number = co_await stream.receive();
          if (!number.has_value()) {
            co_return std::unexpected(number.error());
          }
          if (!number->has_value()) {
            co_return GridResult<void>{};
          }
          start += **number;
          const GridResult<void> sent = co_await stream.send(start);
          if (!sent.has_value()) {
            co_return std::unexpected(sent.error());
          }
        }
      });
  GridResult<Numbers> stream = run(to_two->open<int, int, int>("adds", 100, patient()));
  ASSERT_TRUE(stream.has_value());
  ASSERT_TRUE(run(stream->send(5)).has_value());
  EXPECT_EQ(run(stream->receive()).value(), 105);
  ASSERT_TRUE(run(stream->send(-6)).has_value());
  EXPECT_EQ(run(stream->receive()).value(), 99);
  stream->finish();
  EXPECT_EQ(run(stream->receive()).value(), std::nullopt);
  GridStream untyped = run(to_two->open("adds", "1", patient())).value();
  ASSERT_TRUE(run(untyped.send("no number")).has_value());
  EXPECT_EQ(run(untyped.receive()).error().text, "a message of the stream is of another type");
  GridStream wrong = run(to_two->open("adds", "?", patient())).value();
  EXPECT_EQ(run(wrong.receive()).error().text, "the request is of another type");
}

}  // namespace
}  // namespace trunkline::net
