// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/string_map.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trunkline::session {

class Session;
using SessionId = std::uint64_t;

// The sessions of one shard. A continuation holds an id and looks the session up here, since the
// session may have ended meanwhile. Thread: owning shard.
class Registry {
 public:
  // The id is never used again.
  SessionId add(Session& session) {
    sessions_.emplace(++last_, &session);
    return last_;
  }

  void remove(SessionId id) { sessions_.erase(id); }

  [[nodiscard]] Session* find(SessionId id) const {
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : found->second;
  }

  // Connected sessions by user; anonymous ones are not kept.
  void add_user(std::string_view user, SessionId id);
  void remove_user(std::string_view user, SessionId id);
  [[nodiscard]] std::vector<SessionId> of_user(std::string_view user) const;

  [[nodiscard]] std::size_t size() const { return sessions_.size(); }

  [[nodiscard]] std::size_t users() const { return users_.size(); }

  [[nodiscard]] std::vector<std::string> user_names() const;
  // A copy, in the order of their age: the list may change while it is walked.
  [[nodiscard]] std::vector<SessionId> all() const;

 private:
  SessionId last_ = 0;
  std::unordered_map<SessionId, Session*> sessions_;
  StringMap<std::vector<SessionId>> users_;
};

}  // namespace trunkline::session
