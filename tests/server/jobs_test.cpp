// SPDX-License-Identifier: Apache-2.0
//
// Long-running commands of a whole server, over loopback and with several shards.
#include <trunkline/client.h>
#include <trunkline/server.h>

#include "server/notes.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace trunkline {
namespace {

using namespace std::chrono_literals;

using Lines = std::vector<std::string>;

class JobsTest : public ::testing::Test {
 protected:
  void TearDown() override {
    loop.stop();
    server.reset();
  }

  // A server with the job `work`; others may be added before run().
  void create(const std::string& jobs = "{}", const std::string& more = "") {
    ServerOptions options;
    options.config_json = fmt::format(R"({{"trunkline":{{"jobs":{}}}{}}})", jobs, more);
    options.port = 0;
    options.shards = 3;
    options.log = [this](std::string_view line) { log.add(std::string(line)); };
    auto made = Server::create(std::move(options));
    EXPECT_TRUE(made.has_value()) << to_string(made.error());
    server = std::move(*made);
    server->on_connect([](ConnectRequest request) -> Task<Answer<ConnectReply>> {
      // The data is the user's name, as JSON text.
      const std::string user =
          request.data.size() < 2 ? "" : request.data.substr(1, request.data.size() - 2);
      co_return ConnectReply{.user = user, .info = "", .data = "", .expire_at = {}};
    });
    server->on_rpc("ping", [](RpcRequest) -> Task<Answer<std::string>> { co_return "1"; });
    server->on_job("work", [this](Job job) -> Answer<std::string> { return work(job); });
  }

  void run() {
    const Result<void> started = server->start();
    ASSERT_TRUE(started.has_value()) << to_string(started.error());
    ASSERT_TRUE(loop.start().has_value());
  }

  // Tells 1 and 2, waits to be let go or cancelled, tells 3 and 4.
  Answer<std::string> work(const Job& job) {
    job.progress("1");
    job.progress("[2]");
    begun.add(job.method());
    const std::stop_callback wake(job.stop_token(), [this] { go.notify(); });
    go.wait([&] { return job.cancelled(); });
    job.progress("3");
    begun.add(job.cancelled() ? "cancelled" : "done");
    return "{\"of\":" + (job.data().empty() ? "null" : job.data()) + "}";
  }

  // What the server tells a client of its channels goes to `notes`.
  std::unique_ptr<Client> client(Notes& notes, const std::string& user) {
    ClientOptions options;
    options.url = "ws://127.0.0.1:" + std::to_string(server->port()) + "/connection/websocket";
    options.data = "\"" + user + "\"";
    options.reconnect_delay_min = 1ms;
    options.reconnect_delay_max = 10ms;
    auto made = std::make_unique<Client>(
        loop, options,
        ClientHandlers{
            .on_connected = [&](std::string_view, std::string_view) { notes.add("connected"); },
            .on_server_publication =
                [&](std::string_view, const Publication& publication) {
                  notes.add(std::string(publication.data));
                }});
    made->connect();
    return made;
  }

  // The result's data, or the error's code and text.
  static std::string call(Client& client, std::string method, std::string data = "null") {
    std::promise<std::string> told;
    client.rpc(std::move(method), std::move(data), [&told](const ClientResult<RpcResult>& result) {
      told.set_value(result.has_value() ? std::string(result->data)
                                        : std::to_string(result.error().protocol_code) + " " +
                                              result.error().context);
    });
    return told.get_future().get();
  }

  // Starts a job and gives its id.
  static std::string begin(Client& client, std::string method, std::string data = "null") {
    const std::string told = call(client, std::move(method), std::move(data));
    const std::string before = R"({"job":")";
    EXPECT_TRUE(told.starts_with(before)) << told;
    const std::string id =
        told.substr(before.size(), told.find('"', before.size()) - before.size());
    EXPECT_EQ(told, fmt::format(R"({{"job":"{0}","channel":"job:{0}"}})", id));
    return id;
  }

  // Lets what waits go on.
  class Gate {
   public:
    void open() {
      const std::lock_guard lock(mutex_);
      open_ = true;
      changed_.notify_all();
    }

    void notify() {
      const std::lock_guard lock(mutex_);
      changed_.notify_all();
    }

    template <class Enough>
    void wait(Enough enough) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return open_ || enough(); });
    }

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
  };

  Notes log;
  Notes begun;  // what handlers did
  Gate go;
  ClientLoop loop;
  std::unique_ptr<Server> server;
};

const char* const kCancelled = R"({"error":{"code":120,"message":"cancelled"}})";

TEST_F(JobsTest, TellProgressAndAResultAndDelayNobody) {
  create();
  run();
  Notes notes;
  const auto caller = client(notes, "u");
  const std::string id = begin(*caller, "work", "[7]");
  begun.wait_for("work");
  EXPECT_EQ(call(*caller, "ping"), "1");
  const std::string list = call(*caller, "job.list");
  EXPECT_TRUE(list.starts_with(fmt::format(
      R"({{"jobs":[{{"job":"{0}","channel":"job:{0}","method":"work","state":"running","started":1)",
      id)))
      << list;
  go.open();
  const Lines told = notes.wait_for(R"({"result":{"of":[7]}})");
  // Progress is a state: 2 may have replaced 1, and is told before the result in any case.
  EXPECT_EQ(told.front(), "connected");
  EXPECT_NE(std::ranges::find(told, R"({"progress":3})"), told.end());
  EXPECT_EQ(told.back(), R"({"result":{"of":[7]}})");
  EXPECT_EQ(call(*caller, "job.list"), R"({"jobs":[]})");
}

TEST_F(JobsTest, MayBeCoroutinesThatComeBackToTheJobThreads) {
  create();
  server->on_job("coroutine", [](Job job) -> Task<Answer<std::string>> {
    const auto began_on = std::this_thread::get_id();
    co_await job.worker();
    job.progress(R"("on a job thread")");
    co_return began_on == std::thread::id{} ? "0" : "[1]";
  });
  run();
  Notes notes;
  const auto caller = client(notes, "u");
  begin(*caller, "coroutine");
  EXPECT_EQ(notes.wait(3),
            (Lines{"connected", R"({"progress":"on a job thread"})", R"({"result":[1]})"}));
}

TEST_F(JobsTest, AreCancelledByTheirUserOnly) {
  create();
  run();
  Notes notes;
  Notes others;
  const auto caller = client(notes, "u");
  const auto stranger = client(others, "v");
  const std::string id = begin(*caller, "work");
  begun.wait_for("work");
  const std::string named = R"({"job":")" + id + R"("})";
  EXPECT_EQ(call(*stranger, "job.cancel", named).substr(0, 4), "108 ");
  EXPECT_EQ(call(*stranger, "job.list"), R"({"jobs":[]})");
  EXPECT_EQ(call(*caller, "job.cancel", "{}").substr(0, 4), "107 ");
  EXPECT_EQ(call(*caller, "job.cancel", R"({"job":"no such"})").substr(0, 4), "108 ");
  EXPECT_EQ(call(*caller, "job.cancel", named), "");
  EXPECT_EQ(notes.wait_for(kCancelled).back(), kCancelled);
  begun.wait_for("cancelled");
  EXPECT_EQ(call(*caller, "job.cancel", named).substr(0, 4), "108 ");
}

TEST_F(JobsTest, AreLimitedWithAClearError) {
  create();
  run();
  Notes notes;
  const auto caller = client(notes, "u");
  begin(*caller, "work");
  const std::string refused = call(*caller, "work");
  EXPECT_EQ(refused.substr(0, 4), "106 ") << refused;
  EXPECT_TRUE(refused.contains("jobs of a connection")) << refused;
  go.open();
  notes.wait_for(R"({"result":{"of":null}})");
}

TEST_F(JobsTest, HarmOnlyThemselves) {
  create(R"({"per_client_max":0})");
  server->on_job("throws",
                 [](Job) -> Answer<std::string> { throw std::runtime_error("on purpose"); });
  server->on_job("throws later", [](Job job) -> Task<Answer<std::string>> {
    co_await job.worker();
    throw std::runtime_error("at last");
  });
  server->on_job("refuses", [](Job) -> Answer<std::string> { return refuse(1234, "no"); });
  server->on_job("no json", [](Job job) -> Answer<std::string> {
    job.progress("{");
    return "{";
  });
  server->on_job("floods", [](Job job) -> Answer<std::string> {
    for (int i = 0; i < 200'000; ++i) {
      job.progress(std::to_string(i));
    }
    return "true";
  });
  run();
  Notes notes;
  const auto caller = client(notes, "u");
  const std::string internal =
      R"({"error":{"code":100,"message":"internal server error","temporary":true}})";
  begin(*caller, "throws");
  EXPECT_EQ(notes.wait(2).back(), internal);
  begin(*caller, "throws later");
  EXPECT_EQ(notes.wait(3).back(), internal);
  begin(*caller, "refuses");
  EXPECT_EQ(notes.wait(4).back(), R"({"error":{"code":1234,"message":"no"}})");
  begin(*caller, "no json");
  EXPECT_EQ(notes.wait(5).back(), internal);
  begin(*caller, "floods");
  const Lines flooded = notes.wait_for(R"({"result":true})");
  EXPECT_EQ(flooded[flooded.size() - 2], R"({"progress":199999})");
  EXPECT_LT(flooded.size(), 2'000U);
  log.wait_for("the handler of job 'throws' threw: on purpose");
  log.wait_for("the handler of job 'throws later' threw: at last");
  log.wait_for("the handler of job 'no json' gave a result that is not JSON");
  log.wait_for("the handler of job 'no json' told progress that is not JSON");
}

TEST_F(JobsTest, GoOnOverALostConnectionWithoutAGap) {
  create();
  run();
  Notes notes;
  const auto caller = client(notes, "u");
  begin(*caller, "work");
  notes.wait_for(R"({"progress":[2]})");
  std::promise<void> ended;
  server->hub().disconnect_user({.user = "u"}, 3200, "on purpose",
                                [&](const Result<std::size_t>&) { ended.set_value(); });
  ended.get_future().get();
  go.open();
  const Lines told = notes.wait_for(R"({"result":{"of":null}})");
  EXPECT_EQ(std::ranges::count(told, "connected"), 2);
  EXPECT_EQ(std::ranges::count(told, R"({"progress":[2]})"), 1) << "told once, though resumed";
  EXPECT_EQ(std::ranges::count(told, R"({"progress":3})"), 1);
  EXPECT_EQ(begun.wait(2), (Lines{"work", "done"}));
}

TEST_F(JobsTest, TellTheirResultToWhoCameBackTooLateForTheRest) {
  create(R"({"history_size":2,"progress_rate":1000})");
  run();
  Notes notes;
  Notes others;
  const auto caller = client(notes, "u");
  const std::string id = begin(*caller, "work");
  go.open();
  notes.wait_for(R"({"result":{"of":null}})");
  const auto device = client(others, "u");
  device->subscribe("job:" + id, {.since = Position{"", Offset{0}}},
                    {.on_publication = [&](const Publication& publication) {
                      others.add(std::string(publication.data));
                    }});
  others.wait_for(R"({"result":{"of":null}})");
}

TEST_F(JobsTest, CanBeFollowedByAnotherDeviceOfTheUser) {
  create();
  run();
  Notes notes;
  Notes others;
  const auto caller = client(notes, "u");
  const auto device = client(others, "u");
  const auto stranger = client(others, "v");
  const std::string id = begin(*caller, "work");
  notes.wait_for(R"({"progress":[2]})");
  EXPECT_TRUE(call(*device, "job.list").contains(id));
  Notes followed;
  const auto follow = [&](Client& who) {
    who.subscribe(
        "job:" + id, {.since = Position{"", Offset{0}}},
        {.on_publication =
             [&](const Publication& publication) { followed.add(std::string(publication.data)); },
         .on_unsubscribed = [&](std::uint32_t code,
                                std::string_view) { followed.add(std::to_string(code)); }});
  };
  follow(*stranger);
  EXPECT_EQ(followed.wait(1), Lines{"103"});
  follow(*device);
  followed.wait_for(R"({"progress":[2]})");
  go.open();
  EXPECT_EQ(followed.wait_for(R"({"result":{"of":null}})").back(), R"({"result":{"of":null}})");
}

TEST_F(JobsTest, AreCancelledWhenNobodyWaitsForThem) {
  create(R"({"grace":"0s"})");
  run();
  Notes notes;
  auto caller = client(notes, "u");
  begin(*caller, "work");
  begun.wait_for("work");
  caller.reset();
  EXPECT_EQ(begun.wait(2).back(), "cancelled");
}

TEST_F(JobsTest, ChannelsAreNobodysToPublishTo) {
  create("{}", R"(,"client":{"insecure":true})");
  run();
  Notes notes;
  const auto caller = client(notes, "u");
  const std::string id = begin(*caller, "work");
  std::promise<std::uint32_t> code;
  caller->publish("job:" + id, R"({"result":"forged"})", [&](const ClientResult<void>& result) {
    code.set_value(result.has_value() ? 0 : result.error().protocol_code);
  });
  EXPECT_EQ(code.get_future().get(), 103U);
  go.open();
  const Lines told = notes.wait_for(R"({"result":{"of":null}})");
  EXPECT_EQ(std::ranges::count(told, R"({"result":"forged"})"), 0);
}

TEST_F(JobsTest, AreToldTheirEndWhenTheServerStops) {
  create();
  run();
  Notes notes;
  const auto caller = client(notes, "u");
  begin(*caller, "work");
  notes.wait_for(R"({"progress":[2]})");
  server->stop(20s);
  EXPECT_EQ(begun.wait(2).back(), "cancelled") << "the server waits for its handlers";
  notes.wait_for(R"({"error":{"code":120,"message":"the server stops"}})");
}

TEST_F(JobsTest, ThatNeverEndDoNotHoldUpTheStop) {
  Gate stuck;
  create();
  server->on_job("stuck", [&](Job job) -> Answer<std::string> {
    begun.add("stuck");
    stuck.wait([] { return false; });
    job.progress("1");  // to nobody
    begun.add("over");
    return "2";
  });
  run();
  Notes notes;
  const auto caller = client(notes, "u");
  begin(*caller, "stuck");
  begun.wait_for("stuck");
  server->stop(50ms);
  log.wait_for("the handler of job 'stuck' has not ended: it is left to itself");
  server.reset();
  stuck.open();
  begun.wait_for("over");
}

TEST_F(JobsTest, ThatGoRoundInCirclesDoNotHoldUpTheStopEither) {
  std::atomic<bool> enough = false;
  create();
  server->on_job("circles", [&](Job job) -> Task<Answer<std::string>> {
    begun.add("circles");
    while (!enough) {  // whatever it is told
      co_await job.worker();
    }
    begun.add("over");
    co_return "";
  });
  run();
  Notes notes;
  const auto caller = client(notes, "u");
  begin(*caller, "circles");
  begun.wait_for("circles");
  server->stop(50ms);
  log.wait_for("the handler of job 'circles' has not ended: it is left to itself");
  enough = true;
  begun.wait_for("over");
}

TEST_F(JobsTest, ThatWaitForAThreadAreCancelledWithoutBeginning) {
  create(R"({"threads":1,"per_client_max":2})");
  run();
  Notes notes;
  const auto caller = client(notes, "u");
  begin(*caller, "work", "1");
  begun.wait_for("work");
  const std::string id = begin(*caller, "work", "2");
  EXPECT_EQ(call(*caller, "job.cancel", R"({"job":")" + id + R"("})"), "");
  notes.wait_for(kCancelled);
  go.open();
  notes.wait_for(R"({"result":{"of":1}})");
  server->stop(20s);
  EXPECT_EQ(begun.wait(2), (Lines{"work", "done"}));
}

TEST_F(JobsTest, NeedTheirNamespaceForThemselves) {
  create("{}", R"(,"channel":{"namespaces":[{"name":"job"}]})");
  const Result<void> refused = server->start();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kConfig);
  EXPECT_TRUE(refused.error().context.contains("'job'")) << refused.error().context;
}

}  // namespace
}  // namespace trunkline
