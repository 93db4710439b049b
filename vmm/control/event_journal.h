// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What has happened to the machine, with times: kept for whoever asks later, told to whoever
// watches.
//
// Threading: one thread.

#ifndef MSB_VMM_CONTROL_EVENT_JOURNAL_H_
#define MSB_VMM_CONTROL_EVENT_JOURNAL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>

#include "absl/strings/string_view.h"
#include "base/error.h"
#include "msb/vmm/v1/control.pb.h"

namespace msb {

class EventJournal {
 public:
  using Kind = msb::vmm::v1::VmEvent::Kind;
  using Listener = std::function<void(const msb::vmm::v1::VmEvent&)>;

  // Beyond it the oldest pause or resume is forgotten; every other kind happens once in a life.
  static constexpr size_t kMaxEvents = 256;

  // Returns the event that was written down. `detail` may come from the guest: it is escaped
  // (EscapeForLog), and so always valid UTF-8.
  const msb::vmm::v1::VmEvent& Record(Kind kind) { return Record(kind, NowNanoseconds()); }
  const msb::vmm::v1::VmEvent& Record(Kind kind, uint64_t monotonic_ns,
                                      Reason reason = Reason::kUnspecified,
                                      absl::string_view detail = {});

  // Whether `kind` has been recorded and not been forgotten.
  bool Has(Kind kind) const;
  const std::deque<msb::vmm::v1::VmEvent>& events() const { return events_; }

  // Calls `listener` with each event from now on, until Unsubscribe. It may not record or
  // subscribe.
  using Subscription = uint64_t;
  Subscription Subscribe(Listener listener);
  void Unsubscribe(Subscription subscription) { listeners_.erase(subscription); }

  // CLOCK_MONOTONIC.
  static uint64_t NowNanoseconds();

 private:
  void Forget();

  std::deque<msb::vmm::v1::VmEvent> events_;
  std::map<Subscription, Listener> listeners_;
  Subscription next_subscription_ = 1;
};

}  // namespace msb

#endif  // MSB_VMM_CONTROL_EVENT_JOURNAL_H_
