// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/control/event_journal.h"

#include <algorithm>
#include <ctime>
#include <utility>
#include <vector>

#include "base/log.h"

namespace msb {

using msb::vmm::v1::VmEvent;

uint64_t EventJournal::NowNanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

const VmEvent& EventJournal::Record(Kind kind, uint64_t monotonic_ns, Reason reason,
                                    absl::string_view detail) {
  if (events_.size() >= kMaxEvents) Forget();
  VmEvent& event = events_.emplace_back();
  event.set_kind(kind);
  event.set_monotonic_ns(monotonic_ns);
  event.set_reason(static_cast<int>(reason));
  event.set_detail(EscapeForLog(detail));
  // A listener that finds its client gone ends its own subscription.
  std::vector<Subscription> subscriptions;
  for (const auto& [subscription, listener] : listeners_) subscriptions.push_back(subscription);
  for (const Subscription subscription : subscriptions) {
    const auto it = listeners_.find(subscription);
    if (it == listeners_.end()) continue;
    const Listener listener = it->second;
    listener(event);
  }
  return event;
}

void EventJournal::Forget() {
  const auto repeats = [](const VmEvent& event) {
    return event.kind() == VmEvent::KIND_PAUSED || event.kind() == VmEvent::KIND_RESUMED;
  };
  const auto oldest = std::find_if(events_.begin(), events_.end(), repeats);
  if (oldest != events_.end()) events_.erase(oldest);
}

bool EventJournal::Has(Kind kind) const {
  return std::any_of(events_.begin(), events_.end(),
                     [&](const VmEvent& event) { return event.kind() == kind; });
}

EventJournal::Subscription EventJournal::Subscribe(Listener listener) {
  const Subscription subscription = next_subscription_++;
  listeners_.emplace(subscription, std::move(listener));
  return subscription;
}

}  // namespace msb
