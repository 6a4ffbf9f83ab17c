// SPDX-License-Identifier: Apache-2.0
//
// gRPC C++ by its asynchronous API: a server and a client, each with one completion queue and one
// thread, and one channel. Payloads are ByteBuffers, as generated code has them with its "raw"
// methods, so nothing is spent on protobuf, and large ones are shared and not copied.
#include "grid/subject.h"

#ifdef TRUNKLINE_BENCH_GRPC
#include "measure/clock.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace trunkline::bench {

namespace {

using grpc::ByteBuffer;
using grpc::internal::RpcMethod;

enum Method : int { kEcho, kSink, kSource, kRead, kMethods };

constexpr const char* kPaths[kMethods] = {"/bench.Grid/Echo", "/bench.Grid/Sink",
                                          "/bench.Grid/Source", "/bench.Grid/Read"};

constexpr RpcMethod::RpcType type_of(int method) {
  return method == kRead ? RpcMethod::BIDI_STREAMING : RpcMethod::NORMAL_RPC;
}

ByteBuffer buffer_of(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

// What a completion queue gives back. It may delete itself.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  virtual ~Event() = default;
  virtual void done(bool ok) = 0;
};

void run_queue(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) {
    static_cast<Event*>(tag)->done(ok);
  }
}

class Service final : public grpc::Service {
 public:
  Service() {
    for (int method = 0; method < kMethods; ++method) {
      AddMethod(new grpc::internal::RpcServiceMethod(kPaths[method], type_of(method), nullptr));
      MarkMethodAsync(method);
    }
  }

  using grpc::Service::RequestAsyncBidiStreaming;
  using grpc::Service::RequestAsyncUnary;
};

// What all of a server's calls need.
struct Place {
  Service& service;
  grpc::ServerCompletionQueue& queue;
  const ByteBuffer& source;  // what Source answers
};

class ServedCall final : public Event {
 public:
  ServedCall(Place& place, int method) : place_(place), method_(method) {
    place_.service.RequestAsyncUnary(method_, &context_, &request_, &responder_, &place_.queue,
                                     &place_.queue, this);
  }

  void done(bool ok) override {
    if (!ok || is_answered_) {
      delete this;
      return;
    }
    is_answered_ = true;
    new ServedCall(place_, method_);
    if (method_ == kEcho) {
      responder_.Finish(request_, grpc::Status::OK, this);
    } else {
      responder_.Finish(method_ == kSource ? place_.source : ByteBuffer(nullptr, 0),
                        grpc::Status::OK, this);
    }
  }

 private:
  Place& place_;
  const int method_;
  bool is_answered_ = false;
  grpc::ServerContext context_;
  ByteBuffer request_;
  grpc::ServerAsyncResponseWriter<ByteBuffer> responder_{&context_};
};

class ServedStream final : public Event {
 public:
  explicit ServedStream(Place& place) : place_(place) {
    place_.service.RequestAsyncBidiStreaming(kRead, &context_, &stream_, &place_.queue,
                                             &place_.queue, this);
  }

  void done(bool ok) override {
    if (phase_ == Phase::kNew && ok) {
      new ServedStream(place_);
      phase_ = Phase::kReading;
      stream_.Read(&message_, this);
    } else if (phase_ == Phase::kReading && ok) {
      stream_.Read(&message_, this);
    } else if (phase_ == Phase::kReading) {
      phase_ = Phase::kEnding;
      stream_.Finish(grpc::Status::OK, this);
    } else {
      delete this;
    }
  }

 private:
  enum class Phase { kNew, kReading, kEnding };

  Place& place_;
  Phase phase_ = Phase::kNew;
  grpc::ServerContext context_;
  ByteBuffer message_;
  grpc::ServerAsyncReaderWriter<ByteBuffer, ByteBuffer> stream_{&context_};
};

// Where calls go from, and what makes them.
struct Client {
  std::shared_ptr<grpc::Channel> channel;
  grpc::CompletionQueue& queue;
  std::vector<RpcMethod> methods;
};

// Calls of one kind, so many always open, for a time or until stop(); the client's thread counts.
class Load {
 public:
  Load(Client& client, int method, const ByteBuffer& payload)
      : client_(client), method_(method), payload_(payload) {}

  void start(int in_flight, std::uint64_t ends) {
    began_ = now_ns();
    ends_ = ends;
    open_ = in_flight;
    for (int i = 0; i < in_flight; ++i) {
      new Call(*this);
    }
  }

  void stop() { ends_ = 0; }

  void limit(std::uint64_t calls) { limit_ = calls; }

  void wait() { done_.wait(); }

  [[nodiscard]] const Histogram& times() const { return times_; }

  [[nodiscard]] std::uint64_t took_ns() const { return ended_ - began_; }

 private:
  class Call final : public Event {
   public:
    explicit Call(Load& load) : load_(load), sent_(now_ns()) {
      reader_.reset(grpc::internal::ClientAsyncResponseReaderHelper::Create<ByteBuffer>(
          load_.client_.channel.get(), &load_.client_.queue,
          load_.client_.methods[static_cast<std::size_t>(load_.method_)], &context_,
          load_.payload_));
      reader_->StartCall();
      reader_->Finish(&response_, &status_, this);
    }

    void done(bool /*ok*/) override {
      if (!status_.ok()) {
        give_up("gRPC: a call fails: " + status_.error_message());
      }
      load_.ended(now_ns(), sent_);
      delete this;
    }

   private:
    Load& load_;
    const std::uint64_t sent_;
    grpc::ClientContext context_;
    ByteBuffer response_;
    grpc::Status status_;
    std::unique_ptr<grpc::ClientAsyncResponseReader<ByteBuffer>> reader_;
  };

  void ended(std::uint64_t now, std::uint64_t sent) {
    times_.add(now - sent);
    if (now < ends_ && times_.total() + static_cast<std::uint64_t>(open_) <= limit_) {
      new Call(*this);
    } else if (--open_ == 0) {
      ended_ = now;
      done_.open();
    }
  }

  Client& client_;
  const int method_;
  const ByteBuffer payload_;
  std::uint64_t began_ = 0;
  std::atomic<std::uint64_t> ends_ = 0;
  std::uint64_t limit_ = UINT64_MAX / 2;
  std::uint64_t ended_ = 0;
  std::atomic<int> open_ = 0;
  Histogram times_;
  Latch done_;
};

// One stream, written to until its time is up.
class Stream final : public Event {
 public:
  Stream(Client& client, const ByteBuffer& payload, std::uint64_t ends)
      : payload_(payload), ends_(ends) {
    options_.set_buffer_hint();
    stream_.reset(grpc::internal::ClientAsyncReaderWriterFactory<ByteBuffer, ByteBuffer>::Create(
        client.channel.get(), &client.queue, client.methods[kRead], &context_, false, nullptr));
    stream_->StartCall(this);
  }

  void done(bool ok) override {
    if (phase_ == Phase::kWriting && !ok) {
      give_up("gRPC: a stream fails");
    }
    if (phase_ == Phase::kWriting && (count_ % 64 != 0 || now_ns() < ends_)) {
      ++count_;
      stream_->Write(payload_, options_, this);
    } else if (phase_ == Phase::kWriting) {
      phase_ = Phase::kClosing;
      stream_->WritesDone(this);
    } else if (phase_ == Phase::kClosing) {
      phase_ = Phase::kEnding;
      stream_->Finish(&status_, this);
    } else {
      ended_.open();
    }
  }

  std::uint64_t wait() {
    ended_.wait();
    return count_;
  }

 private:
  enum class Phase { kWriting, kClosing, kEnding };

  const ByteBuffer payload_;
  const std::uint64_t ends_;
  Phase phase_ = Phase::kWriting;
  std::uint64_t count_ = 0;
  grpc::WriteOptions options_;
  grpc::ClientContext context_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<ByteBuffer, ByteBuffer>> stream_;
  Latch ended_;
};

std::uint64_t after(std::uint64_t now, Milliseconds time) {
  return now + static_cast<std::uint64_t>(std::chrono::nanoseconds(time).count());
}

class GrpcPair final : public Subject {
 public:
  GrpcPair() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.SetMaxReceiveMessageSize(-1);
    builder.SetMaxSendMessageSize(-1);
    builder.RegisterService(&service_);
    server_queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      give_up("gRPC: the server does not start");
    }
    place_ = std::make_unique<Place>(service_, *server_queue_, source_);
    for (int i = 0; i < kCallsWaited; ++i) {
      new ServedCall(*place_, kEcho);
    }
    for (int i = 0; i < 2 * kBulkInFlight; ++i) {
      new ServedCall(*place_, kSink);
      new ServedCall(*place_, kSource);
    }
    new ServedStream(*place_);
    server_thread_ = std::thread([this] { run_queue(*server_queue_); });
    connect(port);
  }

  ~GrpcPair() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_queue_->Shutdown();
    client_queue_.Shutdown();
    server_thread_.join();
    client_thread_.join();
  }

  [[nodiscard]] std::string_view name() const override { return "grpc"; }

  std::optional<CallFigures> calls(std::size_t bytes, int in_flight, Milliseconds time) override {
    Load load(*client_, kEcho, buffer_of(std::string(bytes, 'x')));
    load.start(in_flight, after(now_ns(), time));
    load.wait();
    return figures_of(load.times(), load.took_ns());
  }

  std::optional<double> stream(std::size_t bytes, Milliseconds time) override {
    const std::uint64_t began = now_ns();
    Stream stream(*client_, buffer_of(std::string(bytes, 'x')), after(began, time));
    const std::uint64_t count = stream.wait();
    return static_cast<double>(count) * 1e9 / static_cast<double>(now_ns() - began);
  }

  std::optional<double> bulk(std::size_t bytes) override {
    const std::uint64_t count = kBulkBytes / bytes;
    Load load(*client_, kSink, buffer_of(std::string(bytes, 'x')));
    load.limit(count);
    load.start(kBulkInFlight, UINT64_MAX);
    load.wait();
    return static_cast<double>(load.times().total() * bytes) * 1e9 /
           static_cast<double>(load.took_ns());
  }

  std::optional<BesideFigures> beside(std::size_t bulk_bytes) override {
    const ByteBuffer payload = buffer_of(std::string(bulk_bytes, 'x'));
    source_ = payload;
    Load there(*client_, kSink, payload);
    Load here(*client_, kSource, ByteBuffer(nullptr, 0));
    Load small(*client_, kEcho, buffer_of(std::string(64, 'x')));
    for (Load* load : {&there, &here}) {
      load->limit(kBulkBytes / bulk_bytes);
      load->start(kBulkInFlight, UINT64_MAX);
    }
    small.start(1, UINT64_MAX);
    there.wait();
    here.wait();
    small.stop();
    small.wait();
    const auto took = static_cast<double>(small.took_ns());
    const std::uint64_t count = there.times().total() + here.times().total();
    return BesideFigures{figures_of(small.times(), small.took_ns()),
                         static_cast<double>(count * bulk_bytes) * 1e9 / took};
  }

 private:
  static constexpr int kCallsWaited = 1024;

  void connect(int port) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    const std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(), arguments);
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10))) {
      give_up("gRPC: no connection");
    }
    client_ = std::make_unique<Client>(channel, client_queue_);
    for (int method = 0; method < kMethods; ++method) {
      client_->methods.emplace_back(kPaths[method], type_of(method), channel);
    }
    client_thread_ = std::thread([this] { run_queue(client_queue_); });
  }

  Service service_;
  ByteBuffer source_;
  std::unique_ptr<grpc::ServerCompletionQueue> server_queue_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Place> place_;
  grpc::CompletionQueue client_queue_;
  std::unique_ptr<Client> client_;
  std::thread server_thread_;
  std::thread client_thread_;
};

}  // namespace

std::unique_ptr<Subject> make_grpc_pair() {
  return std::make_unique<GrpcPair>();
}

}  // namespace trunkline::bench

#else

namespace trunkline::bench {

std::unique_ptr<Subject> make_grpc_pair() {
  return nullptr;
}

}  // namespace trunkline::bench

#endif
