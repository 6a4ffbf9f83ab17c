// SPDX-License-Identifier: Apache-2.0
#include "sim/checker.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace trunkline::sim {

std::string fold_text(std::uint64_t sum, std::uint64_t count) {
  return fmt::format(R"({{"sum":{},"count":{}}})", sum, count);
}

std::uint64_t number_of(std::string_view body, std::string_view name) {
  const std::string key = fmt::format("\"{}\":", name);
  const std::size_t at = body.find(key);
  std::uint64_t value = 0;
  if (at != std::string_view::npos) {
    std::from_chars(body.data() + at + key.size(), body.data() + body.size(), value);
  }
  return value;
}

void Checker::violated(std::string_view check, std::string detail) {
  if (!failed()) {
    check_ = check;
    detail_ = std::move(detail);
  }
}

// — what the engines report —

void Checker::opened(std::string_view channel, const std::string& epoch) {
  auto& epochs = channels_[std::string(channel)];
  const auto known = std::ranges::find(epochs, epoch, [](const auto& log) { return log->epoch; });
  if (known == epochs.end()) {
    epochs.push_back(std::make_unique<EpochLog>(EpochLog{epoch, Offset{1}, {}}));
  } else if (known + 1 != epochs.end()) {
    violated("log", fmt::format("channel {} came back to the epoch {}", channel, epoch));
  }
}

void Checker::appended(std::string_view channel, Offset offset, std::string_view body,
                       std::uint64_t frame_bytes, std::uint64_t serial, std::uint64_t value) {
  EpochLog& log = *channels_.find(channel)->second.back();
  if (offset != log.head().next()) {
    violated("log", fmt::format("channel {}: offset {} was given out behind {}", channel,
                                offset.value, log.head().value));
    return;
  }
  Published made{.body = std::string(body), .time = now_, .frame_bytes = frame_bytes, .sum = value};
  if (!log.published.empty()) {
    const Published& last = log.published.back();
    made.bytes_before = last.bytes_before + last.frame_bytes;
    made.sum += last.sum;
  }
  log.published.push_back(std::move(made));
  if (!placed_.emplace(serial, Placed{std::string(channel), &log, offset}).second) {
    violated("published twice", fmt::format("publication {} of channel {} was appended again as {}",
                                            serial, channel, offset.value));
  }
}

void Checker::cleared(std::string_view channel, const std::string& epoch, Offset first) {
  auto& epochs = channels_.find(channel)->second;
  if (epochs.back()->epoch == epoch) {
    epochs.back()->floor = std::max(epochs.back()->floor, first);
  }
}

// — questions —

const EpochLog* Checker::current(std::string_view channel) const {
  const auto found = channels_.find(channel);
  return found == channels_.end() ? nullptr : found->second.back().get();
}

const EpochLog* Checker::find(std::string_view channel, std::string_view epoch) const {
  const auto found = channels_.find(channel);
  if (found == channels_.end()) {
    return nullptr;
  }
  for (const auto& log : found->second) {
    if (log->epoch == epoch) {
      return log.get();
    }
  }
  return nullptr;
}

const Placed* Checker::placed(std::uint64_t serial) const {
  const auto found = placed_.find(serial);
  return found == placed_.end() ? nullptr : &found->second;
}

void Checker::note_unlogged(std::uint64_t serial, std::string channel) {
  placed_.emplace(serial, Placed{std::move(channel), nullptr, {}});
}

bool Checker::certainly_held(std::string_view channel, const Position& seen,
                             const replay::Retention& retention) const {
  const EpochLog* log = find(channel, seen.epoch);
  if (log == nullptr || log != current(channel) || seen.offset > log->head()) {
    return false;
  }
  if (seen.offset == log->head()) {
    return true;
  }
  const Offset next = seen.offset.next();
  const Published& oldest = log->at(next);
  const Published& newest = log->published.back();
  // A log leaves the ends of its segments unused: at most as much again as the frames behind them.
  const std::uint64_t bytes = 2 * (newest.bytes_before + newest.frame_bytes - oldest.bytes_before);
  return log->floor <= next && log->head().value - seen.offset.value <= retention.count_max &&
         oldest.time + retention.age_max > now_ &&
         (retention.bytes_max == 0 || bytes <= retention.bytes_max);
}

bool Checker::certainly_gone(const Position& seen, Offset head,
                             const replay::Retention& retention) {
  return head.value > seen.offset.value && head.value - seen.offset.value > retention.count_max;
}

bool Checker::check_body(std::string_view who, std::string_view channel, std::string_view epoch,
                         Offset offset, std::string_view body) {
  const EpochLog* log = find(channel, epoch);
  if (log == nullptr || offset.value == 0 || offset > log->head()) {
    violated("unknown position", fmt::format("{}: channel {}: nothing was published as {} of {}",
                                             who, channel, offset.value, epoch));
    return false;
  }
  if (log->at(offset).body != body) {
    violated("payload", fmt::format("{}: channel {}: offset {} is {} and was given as {}", who,
                                    channel, offset.value, log->at(offset).body, body));
    return false;
  }
  return true;
}

// — the engine's witness —

const replay::Log& RecordingEngine::open(std::string_view channel,
                                         const replay::Retention& retention) {
  const replay::Log& log = engine_.open(channel, retention);
  checker_.opened(channel, log.epoch());
  open_.insert_or_assign(std::string(channel), &log);
  released_.erase(std::string(channel));
  return log;
}

void RecordingEngine::append(std::string_view channel, const replay::FrameEncoder& encoder,
                             TimePoint now, AppendDone done) {
  const replay::Log& log = *open_.find(channel)->second;
  engine_.append(channel, encoder, now,
                 [this, &log, name = std::string(channel),
                  done = std::move(done)](Result<Offset> offset) mutable {
                   if (offset.has_value()) {
                     const std::string_view body = log.window().body(*offset);
                     checker_.appended(name, *offset, body,
                                       log.window().record(*offset).frame_bytes,
                                       number_of(body, "p"), number_of(body, "v"));
                   }
                   done(std::move(offset));
                 });
}

void RecordingEngine::trim(std::string_view channel, TimePoint now) {
  const std::uint64_t evicted = engine_.stats().evicted_publications;
  engine_.trim(channel, now);
  if (engine_.stats().evicted_publications == evicted) {
    return;
  }
  for (const auto& [name, opened] : open_) {
    checker_.cleared(name, opened->epoch(), opened->window().first());
  }
  // A log that nobody has open can not be looked at: perhaps it was this one.
  for (const auto& [name, position] : released_) {
    checker_.cleared(name, position.epoch, position.offset.next());
  }
}

void RecordingEngine::clear(std::string_view channel) {
  engine_.clear(channel);
  const replay::Log& log = *open_.find(channel)->second;
  checker_.cleared(channel, log.epoch(), log.head().next());
}

void RecordingEngine::release(std::string_view channel, Duration meta_ttl, TimePoint now) {
  const auto found = open_.find(channel);
  released_.insert_or_assign(found->first, found->second->top());
  open_.erase(found);
  engine_.release(channel, meta_ttl, now);
}

}  // namespace trunkline::sim
