// SPDX-License-Identifier: Apache-2.0
#include "session/registry.h"

#include <algorithm>
#include <string>

namespace trunkline::session {

void Registry::add_user(std::string_view user, SessionId id) {
  if (!user.empty()) {
    users_[std::string(user)].push_back(id);
  }
}

void Registry::remove_user(std::string_view user, SessionId id) {
  const auto found = users_.find(user);
  if (found == users_.end()) {
    return;
  }
  std::erase(found->second, id);
  if (found->second.empty()) {
    users_.erase(found);
  }
}

std::vector<SessionId> Registry::of_user(std::string_view user) const {
  const auto found = users_.find(user);
  return found == users_.end() ? std::vector<SessionId>{} : found->second;
}

std::vector<std::string> Registry::user_names() const {
  std::vector<std::string> names;
  names.reserve(users_.size());
  for (const auto& [name, ids] : users_) {
    names.push_back(name);
  }
  return names;
}

std::vector<SessionId> Registry::all() const {
  std::vector<SessionId> ids;
  ids.reserve(sessions_.size());
  for (const auto& [id, session] : sessions_) {
    ids.push_back(id);
  }
  std::ranges::sort(ids);
  return ids;
}

}  // namespace trunkline::session
