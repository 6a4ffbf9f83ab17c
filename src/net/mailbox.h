// SPDX-License-Identifier: Apache-2.0
//
// A shard's inbox: the only thing that other threads touch of it.
#pragma once

#include "hub/messages.h"

#include <functional>
#include <mutex>
#include <variant>
#include <vector>

namespace trunkline::net {

class Shard;

// What a shard may be sent: a message of the hub's, from another shard; or a task, from the
// server's composition (HTTP API, statistics, new connections, stop) on any thread.
using Task = std::move_only_function<void(Shard&)>;
using Mail = std::variant<hub::Message, Task>;

// Many writers, one reader. Writers hold the lock to append; the reader swaps everything out, so a
// turn takes the lock once, whatever has come. A wake-up (one write to an eventfd) happens only
// when the inbox was empty.
class Mailbox {
 public:
  Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox();

  // False when the mailbox is closed: the mail is dropped. Thread: any.
  bool post(Mail mail);
  // The same for a turn's worth of mail, which is emptied. Thread: any.
  bool post_all(std::vector<Mail>& mails);

  // Everything that has come, in order; also quietens the descriptor. Thread: owning shard.
  void take(std::vector<Mail>& into);
  // Refuses what comes later. Thread: owning shard.
  void close();

  // Readable while something waits.
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  void wake() const;

  const int descriptor_;
  std::mutex mutex_;
  std::vector<Mail> waiting_;
  bool closed_ = false;
};

}  // namespace trunkline::net
