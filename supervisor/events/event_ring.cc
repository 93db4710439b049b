// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/events/event_ring.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace msb {
namespace {

absl::Time TimeOf(const msb::v1::Event& event) {
  return absl::FromUnixSeconds(event.at().seconds()) + absl::Nanoseconds(event.at().nanos());
}

}  // namespace

void EventRing::Publish(msb::v1::Event event, uint32_t owner_uid) {
  Add({.event = std::move(event), .owner_uid = owner_uid});
}

void EventRing::PublishToAll(msb::v1::Event event) {
  Add({.event = std::move(event), .for_everybody = true});
}

void EventRing::Add(Entry entry) {
  const int64_t now = absl::GetCurrentTimeNanos();
  entry.event.mutable_at()->set_seconds(now / 1'000'000'000);
  entry.event.mutable_at()->set_nanos(static_cast<int32_t>(now % 1'000'000'000));
  {
    absl::MutexLock lock(&mutex_);
    entry.event.set_sequence(next_sequence_++);
    entries_.push_back(std::make_shared<const Entry>(std::move(entry)));
    if (entries_.size() > kept_) entries_.pop_front();
  }
  absl::MutexLock lock(&listeners_mutex_);
  for (const auto& [id, listener] : listeners_) listener();
}

uint64_t EventRing::Next() const {
  absl::MutexLock lock(&mutex_);
  return next_sequence_;
}

uint64_t EventRing::FirstSince(absl::Time since) const {
  absl::MutexLock lock(&mutex_);
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const auto& entry) { return TimeOf(entry->event) >= since; });
  return it == entries_.end() ? next_sequence_ : (*it)->event.sequence();
}

std::shared_ptr<const EventRing::Entry> EventRing::Read(uint64_t cursor) const {
  absl::MutexLock lock(&mutex_);
  if (entries_.empty() || cursor >= next_sequence_) return nullptr;
  const uint64_t oldest = entries_.front()->event.sequence();
  return entries_[cursor <= oldest ? 0 : cursor - oldest];
}

EventRing::ListenerId EventRing::Listen(Listener listener) {
  absl::MutexLock lock(&listeners_mutex_);
  const uint64_t id = next_listener_++;
  listeners_.emplace(id, std::move(listener));
  return ListenerId{id};
}

void EventRing::Unlisten(ListenerId id) {
  absl::MutexLock lock(&listeners_mutex_);
  listeners_.erase(static_cast<uint64_t>(id));
}

}  // namespace msb
