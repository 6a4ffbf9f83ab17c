// SPDX-License-Identifier: Apache-2.0
//
// Streams: order, ends, windows, and what one stream may not do to others.
#include "grid/mux_fixture.h"

namespace trunkline::grid {
namespace {

class Streams : public MuxTest {
 protected:
  // Opened by a, and seen by b.
  std::pair<CallRef, CallRef> opened(std::string payload = {}) {
    const CallRef stream = a->open("tail", std::move(payload));
    pump();
    EXPECT_EQ(b->called.size(), 1U);
    b->events();
    return {stream, b->called[0]};
  }

  // As many as the stream takes at once.
  static int fill(End& end, CallRef stream, std::size_t bytes) {
    int count = 0;
    while (end.mux->send(stream, std::string(bytes, 'x')) == SendVerdict::kAccepted) {
      ++count;
    }
    return count;
  }
};

TEST_F(Streams, MessagesGoBothWaysAndTheHandlersReturnEndsIt) {
  const auto [there, here] = opened("file");
  EXPECT_EQ(a->mux->send(there, "1"), SendVerdict::kAccepted);
  EXPECT_EQ(b->mux->send(here, "2"), SendVerdict::kAccepted);
  pump();
  EXPECT_EQ(b->events(), Lines{"message 1 1"});
  EXPECT_EQ(a->events(), Lines{"message 1 2"});
  a->mux->finish(there);
  pump();
  EXPECT_EQ(b->events(), Lines{"end 1"});
  b->put(here, "last");
  b->mux->finish(here);
  pump();
  EXPECT_EQ(a->events(), (Lines{"message 1 last", "end 1"}));
  a->mux->forget(there);
  expect_nothing_left();
}

TEST_F(Streams, OnlyRequestsInOnlyResponsesOutOrNeither) {
  for (const bool in : {false, true}) {
    for (const bool out : {false, true}) {
      SetUp();
      const auto [there, here] = opened();
      if (in) {
        a->put(there, "in");
      }
      a->mux->finish(there);
      if (out) {
        b->put(here, "out");
      }
      pump();
      b->mux->finish(here);
      pump();
      EXPECT_EQ(b->events(), in ? (Lines{"message 1 in", "end 1"}) : Lines{"end 1"});
      EXPECT_EQ(a->events(), out ? (Lines{"message 1 out", "end 1"}) : Lines{"end 1"});
      a->mux->forget(there);
      expect_nothing_left();
    }
  }
}

TEST_F(Streams, TheEndNeverOvertakesTheLastMessage) {
  // Of sizes around every border, with windows much smaller than what is sent.
  a->reads = b->reads = true;
  for (int i = 0; i < 400; ++i) {
    b->called.clear();
    const CallRef there = a->open("x");
    pump();
    const CallRef here = b->called.at(0);
    // Up to what the queue takes behind an unsent one.
    b->put(here, std::string(static_cast<std::size_t>(i) * 4, 'm'));
    b->put(here, "");
    b->put(here, "last");
    b->mux->finish(here);
    a->events();
    pump();
    const auto events = a->events();
    ASSERT_EQ(events.size(), 4U) << i;
    ASSERT_EQ(events[2].substr(events[2].size() - 4), "last") << i;
    ASSERT_EQ(events[3].substr(0, 4), "end ") << i;
    a->mux->forget(there);
  }
  expect_nothing_left();
}

TEST_F(Streams, AFailureTellsThatWhatCameMayBeIncomplete) {
  const auto [there, here] = opened();
  b->put(here, "1");
  pump();
  b->put(here, std::string(200, 'x'));
  b->mux->fail(here, {.code = FailureCode::kHandler, .application = 5, .text = "disk"});
  pump();
  EXPECT_EQ(a->events(), (Lines{"message 1 1", "failure 1 handler"}));
  a->mux->forget(there);
  expect_nothing_left();
}

TEST_F(Streams, AHandlerMayHaveANarrowerWindow) {
  // What is unread when nobody reads any more; reading before has made the window as wide as it may
  // be.
  const auto unread_with = [this](std::size_t window) {
    SetUp();
    const auto [there, here] = opened();
    b->mux->limit_window(here, window);
    for (int i = 0; i < 200; ++i) {
      a->put(there, std::string(100, 'x'));
      pump();
    }
    b->reads = false;
    for (std::uint64_t before = UINT64_MAX; before != b->messages;) {
      before = b->messages;
      fill(*a, there, 100);
      pump();
    }
    return b->unread.size() * (100 + kDataCost);
  };
  // A message that has begun is let in whole.
  const std::size_t message = 100 + kDataCost;
  EXPECT_LE(unread_with(1), small().limits.stream_window + message);  // not below the first one
  EXPECT_LE(unread_with(2000), 2000 + message);
  EXPECT_GT(unread_with(2000), 1500U);
  EXPECT_GT(unread_with(16'000), 12'000U);
  EXPECT_GT(unread_with((4UL << 30U) + 2000), 12'000U);
}

TEST_F(Streams, AMessageThatWouldNotFitWhatCountsItIsRefused) {
  MuxOptions takes_all = small();
  takes_all.limits.message_bytes_max = UINT32_MAX;
  make(small(), takes_all, 16UL << 30U);
  b->reads = false;
  const auto [there, here] = opened();
  a->put(there, std::string(900, 'x'));
  pump();
  const std::size_t used = b->pool.used();
  EXPECT_EQ(why_refused(*b, {.type = MessageType::kData,
                             .more = true,
                             .id = 1,
                             .total = UINT32_MAX - 100,
                             .payload = "12345678"}),
            "");
  EXPECT_EQ(b->events(), (Lines{"message 1 [900 bytes]", "stop 1 memory"}));
  EXPECT_LE(b->pool.used(), used);
  EXPECT_EQ(b->mux->check(), "");
}

TEST_F(Streams, ACancelStopsTheHandler) {
  const auto [there, here] = opened();
  b->put(here, "1");
  a->mux->cancel(there);
  pump();
  EXPECT_EQ(a->events(), Lines{});
  EXPECT_EQ(b->events(), Lines{"stop 1 cancelled"});
  EXPECT_EQ(b->mux->send(here, "2"), SendVerdict::kClosed);
  b->mux->finish(here);
  expect_nothing_left();
}

TEST_F(Streams, ADeadlineEndsAStreamOnBothSides) {
  const CallRef there = a->open("x", "", 100ms);
  pump();
  pass(110ms);
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 1 deadline"});
  EXPECT_EQ(b->events(), (Lines{"open x ", "stop 1 deadline"}));
  a->mux->forget(there);
  b->mux->fail(b->called[0], {});
  expect_nothing_left();
}

TEST_F(Streams, AReceiverNeverHoldsMoreThanItGranted) {
  b->reads = false;
  const auto [there, here] = opened();
  EXPECT_GT(fill(*a, there, 128 - kDataCost), 0);
  pump();
  EXPECT_LE(b->received + kDataCost * b->messages, 1024U);
  EXPECT_EQ(fill(*a, there, 128 - kDataCost) > 0, true);  // what waits here
  pump();
  EXPECT_LE(b->received + kDataCost * b->messages, 1024U);
  EXPECT_EQ(b->pool.used(), 1024U);
}

TEST_F(Streams, EmptyMessagesCostCreditToo) {
  b->reads = false;
  const auto [there, here] = opened();
  for (int i = 0; i < 60; ++i) {
    a->put(there, "");
  }
  pump();
  EXPECT_EQ(b->messages, 1024 / kDataCost);
}

TEST_F(Streams, AFullStreamSaysSoAndTellsWhenThereIsRoom) {
  b->reads = false;
  const auto [there, here] = opened();
  fill(*a, there, 100);
  EXPECT_EQ(a->mux->send(there, std::string(100, 'x')), SendVerdict::kFull);
  pump();
  fill(*a, there, 100);
  pump();
  a->events();
  a->has_room.clear();
  for (int i = 0; i < 10; ++i) {
    b->read_all();
    pump();
  }
  EXPECT_EQ(a->events(), Lines{"room 1"});
  EXPECT_EQ(a->has_room, std::vector{there});
}

TEST_F(Streams, AHandlerThatDoesNotReadBlocksOnlyItsOwnStream) {
  b->reads = false;
  const auto [blocked, blocked_there] = opened();
  fill(*a, blocked, 500);
  pump();
  b->reads = b->echo = true;
  const CallRef other = a->open("y");
  for (int i = 0; i < 100; ++i) {
    a->call("x", std::string(2000, 'c'));
    while (a->mux->send(other, "0123456789") == SendVerdict::kFull) {
      pump();
    }
    pump();
  }
  EXPECT_GE(b->messages, 100U);
  EXPECT_GE(a->events().size(), 100U);
  EXPECT_EQ(a->mux->stats().own_calls, 2U);  // the streams
}

TEST_F(Streams, AWindowGrowsForWhoUsesIt) {
  const auto [there, here] = opened();
  for (int i = 0; i < 100; ++i) {
    fill(*a, there, 200);
    pump();
  }
  b->reads = false;
  const std::uint64_t before = b->received + kDataCost * b->messages;
  for (int i = 0; i < 10; ++i) {
    fill(*a, there, 200);
    pump();
  }
  const std::uint64_t held = b->received + kDataCost * b->messages - before;
  EXPECT_GT(held, 2048U);
  EXPECT_LE(held, 4096U);
}

TEST_F(Streams, AMessageLargerThanTheWindowIsGrantedToItsEnd) {
  b->reads = false;  // not read, and yet it comes whole
  const auto [there, here] = opened();
  a->put(there, std::string(300'000, 'x'));
  pump();
  EXPECT_EQ(b->events(), Lines{"message 1 [300000 bytes]"});
  a->put(there, "behind");
  pump();
  EXPECT_EQ(b->events(), Lines{});
  b->read_all();
  pump();
  EXPECT_EQ(b->events(), Lines{"message 1 behind"});
  EXPECT_LE(b->pool.used(), 5000U);
}

TEST_F(Streams, AMessageThatThereIsNoMemoryForFailsTheStreamOnBothSides) {
  make(small(), small(), 100'000);
  const auto [there, here] = opened();
  a->put(there, std::string(300'000, 'x'));
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 1 memory"});
  EXPECT_EQ(b->events(), Lines{"stop 1 memory"});
  a->mux->forget(there);
  b->mux->fail(here, {});
  expect_nothing_left();
}

TEST_F(Streams, StreamsBeyondThePoolAreRefused) {
  make(small(), small(), 10 * 1024);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(a->open("x"));
  }
  EXPECT_FALSE(a->open("x"));
  EXPECT_EQ(a->events(), Lines{"refused full not run"});
  make(small(), small(), 10 * 1024);
  ASSERT_TRUE(b->pool.try_reserve(9 * 1024));
  a->open("x");
  a->open("x");
  pump();
  EXPECT_EQ(a->events(), Lines{"failure 2 memory not run"});
  b->pool.release(9 * 1024);
}

TEST_F(Streams, BothEndsMaySendFirst) {
  a->reads = b->reads = false;
  const auto [there, here] = opened();
  // Each sends more than every window and queue on the way, and reads only then.
  int sent_a = 0;
  int sent_b = 0;
  for (int i = 0; i < 50; ++i) {
    sent_a += fill(*a, there, 100);
    sent_b += fill(*b, here, 100);
    pump();
  }
  EXPECT_GT(sent_a * 132, 8000);
  EXPECT_GT(sent_b * 132, 8000);
  for (int i = 0; i < 200; ++i) {
    a->read_all();
    b->read_all();
    pump();
  }
  EXPECT_EQ(b->messages, static_cast<std::uint64_t>(sent_a));
  EXPECT_EQ(a->messages, static_cast<std::uint64_t>(sent_b));
}

TEST_F(Streams, AStreamThatIsBlockedBeforeItsTurnIsRescuedToo) {
  // What is left of the window does not even begin the next message, and nothing else is queued.
  a->reads = b->reads = false;
  const auto [there, here] = opened();
  a->put(there, std::string(1024 - kDataCost - 6, 'x'));
  b->put(here, std::string(1024 - kDataCost - 6, 'x'));
  pump();
  a->put(there, "one more");
  b->put(here, "one more");
  pump();
  EXPECT_EQ(a->messages, 2U);
  EXPECT_EQ(b->messages, 2U);
}

TEST_F(Streams, BothEndsThatNeverReadAreToldInsteadOfWaitingForEver) {
  a->reads = b->reads = false;
  const auto [there, here] = opened();
  for (int i = 0; i < 200; ++i) {
    fill(*a, there, 100);
    fill(*b, here, 100);
    pump();
  }
  EXPECT_EQ(a->mux->send(there, std::string(100, 'x')), SendVerdict::kFull);
  a->events();
  b->events();
  for (int i = 0; i < 80; ++i) {
    pass(1s);
    pump();
  }
  const std::string said = a->events().back() + b->events().back();
  EXPECT_NE(said.find("memory"), std::string::npos) << said;
  a->mux->forget(there);
  b->mux->fail(here, {});
  pump();
  expect_nothing_left();
}

TEST_F(Streams, ALostConnectionEndsEachOfFortyStreamsWithAnError) {
  std::vector<CallRef> streams;
  for (int i = 0; i < 40; ++i) {
    streams.push_back(a->open("list"));
  }
  pump();
  for (const CallRef& here : b->called) {
    b->put(here, "first");
  }
  pump();
  a->events();
  a->mux->lose("replaced by a newer connection", now);
  const auto events = a->events();
  ASSERT_EQ(events.size(), 40U);
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(events[i], fmt::format("failure {} disconnected", i + 1));
    a->mux->forget(streams[i]);
  }
  EXPECT_TRUE(a->mux->is_idle());
  EXPECT_EQ(a->pool.used(), 0U);
}

TEST_F(Streams, UnreadMessagesOfAnEndedStreamStayCounted) {
  a->reads = false;
  const auto [there, here] = opened();
  b->put(here, std::string(100, 'x'));
  b->mux->finish(here);
  pump();
  EXPECT_EQ(a->events().back(), "end 1");
  EXPECT_EQ(a->pool.used(), 132U);
  a->read_all();
  EXPECT_EQ(a->pool.used(), 0U);
  a->mux->forget(there);
  expect_nothing_left();
}

TEST_F(Streams, ACreditThatNobodyNeedsAnyMoreIsNothingToSay) {
  a->reads = b->reads = false;
  const auto [there, here] = opened();
  fill(*b, here, 500);
  pump();  // b's next message waits for credit
  fill(*a, there, 100);
  step();
  b->read_all();
  EXPECT_TRUE(b->mux->wants_write());  // more credit
  b->mux->finish(here);
  EXPECT_FALSE(b->mux->wants_write());
  a->read_all();
  pump();
  EXPECT_EQ(a->ended, std::vector{there});
}

TEST_F(Streams, DataAfterTheHandlersReturnIsDropped) {
  const auto [there, here] = opened();
  b->mux->finish(here);
  a->put(there, "crossing");
  step();
  pump();
  EXPECT_EQ(a->events(), Lines{"end 1"});
  EXPECT_EQ(a->mux->send(there, "more"), SendVerdict::kClosed);
  a->mux->forget(there);
  expect_nothing_left();
}

}  // namespace
}  // namespace trunkline::grid
