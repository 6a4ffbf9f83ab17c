// SPDX-License-Identifier: Apache-2.0
//
// The session's commands: numbered, remembered until their replies, gathered into messages.
#include "session/client_requests.h"

namespace trunkline::session {

namespace {

// Several commands share a message up to this size: well below the 64 KiB at which servers of this
// protocol refuse one.
constexpr std::size_t kBatchBytes = 16UL * 1024;

// An idle session keeps no more than this of its batch's memory.
constexpr std::size_t kIdleBatchBytes = 1024;

}  // namespace

// Numbers are 64 bits wide here and 32 on the wire, where 0 means a push: at 100,000 commands a
// second the wire's come round in twelve hours.
std::uint64_t ClientSession::next_number() {
  ++last_number_;
  if ((last_number_ & 0xFFFF'FFFFU) == 0) {
    ++last_number_;
  }
  return last_number_;
}

std::uint64_t ClientSession::number_of(std::uint32_t id) const {
  constexpr std::uint64_t kRound = 1ULL << 32U;
  const std::uint64_t number = (last_number_ & ~(kRound - 1)) | id;
  return number > last_number_ && number >= kRound ? number - kRound : number;
}

std::optional<ClientError> ClientSession::refusal() const {
  if (state_ == State::kDisconnected) {
    return ClientError{{ErrorCode::kClosed, "disconnected"}};
  }
  if (pending_.size() >= options_.pending_commands_max) {
    return ClientError{{ErrorCode::kLimitExceeded, "commands without a reply"}};
  }
  if (transport_.unsent_bytes() + batch_.size() > options_.unsent_bytes_max) {
    return ClientError{{ErrorCode::kLimitExceeded, "bytes that wait for the socket"}};
  }
  return std::nullopt;
}

void ClientSession::enqueue(std::string_view command) {
  if (!batch_.empty() && batch_.size() + 1 + command.size() > kBatchBytes) {
    flush();
  }
  if (!batch_.empty()) {
    batch_ += '\n';
  }
  batch_ += command;
}

void ClientSession::flush() {
  if (batch_.empty() || transport_state_ != TransportState::kOpen) {
    return;
  }
  transport_.send_text(batch_);
  batch_.clear();
  if (batch_.capacity() > kIdleBatchBytes && pending_.empty()) {
    batch_.shrink_to_fit();
  }
}

void ClientSession::send_waiting() {
  for (auto& [number, pending] : pending_) {
    if (!pending.unsent.empty()) {
      enqueue(pending.unsent);
      pending.unsent = {};
    }
  }
}

void ClientSession::publish(std::string_view channel, std::string_view json, ClientDone<void> done,
                            TimePoint now) {
  const Result<std::string_view> data = decoder_.check_user_json(json);
  if (!data.has_value()) {
    done(std::unexpected(ClientError{data.error()}));
    return;
  }
  user_command(std::move(done), now, [channel, &data](std::string& out, std::uint32_t id) {
    write_publish(out, id, channel, *data);
  });
}

void ClientSession::rpc(std::string_view method, std::string_view json, ClientDone<RpcResult> done,
                        TimePoint now) {
  const Result<std::string_view> data = decoder_.check_user_json(json);
  if (!data.has_value()) {
    done(std::unexpected(ClientError{data.error()}));
    return;
  }
  user_command(std::move(done), now, [method, &data](std::string& out, std::uint32_t id) {
    write_rpc(out, id, method, *data);
  });
}

void ClientSession::history(std::string_view channel, const HistoryOptions& options,
                            ClientDone<HistoryResult> done, TimePoint now) {
  user_command(std::move(done), now, [channel, &options](std::string& out, std::uint32_t id) {
    write_history(out, id, channel, options);
  });
}

void ClientSession::presence(std::string_view channel, ClientDone<PresenceResult> done,
                             TimePoint now) {
  user_command(std::move(done), now, [channel](std::string& out, std::uint32_t id) {
    write_channel_command(out, id, "presence", channel);
  });
}

void ClientSession::presence_stats(std::string_view channel, ClientDone<PresenceStats> done,
                                   TimePoint now) {
  user_command(std::move(done), now, [channel](std::string& out, std::uint32_t id) {
    write_channel_command(out, id, "presence_stats", channel);
  });
}

void ClientSession::send(std::string_view json, ClientDone<void> done) {
  const Result<std::string_view> data = decoder_.check_user_json(json);
  std::optional<ClientError> refused = refusal();
  if (!data.has_value()) {
    refused = ClientError{data.error()};
  } else if (!refused.has_value() && state_ != State::kConnected) {
    refused = ClientError{{ErrorCode::kClosed, "not connected"}};
  }
  if (refused.has_value()) {
    done(std::unexpected(std::move(*refused)));
    return;
  }
  std::string command;
  write_send(command, *data);
  enqueue(command);
  done({});
}

}  // namespace trunkline::session
