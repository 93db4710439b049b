// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What happened lately, for those who watch.

#ifndef MSB_SUPERVISOR_EVENTS_EVENT_RING_H_
#define MSB_SUPERVISOR_EVENTS_EVENT_RING_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "msb/v1/system.pb.h"

namespace msb {

// A reader keeps a cursor and asks for the next event; nothing is queued for it, so that a slow
// reader costs nothing and learns by a gap what it has missed. Thread-safe.
class EventRing {
 public:
  struct Entry {
    msb::v1::Event event;
    uint32_t owner_uid = 0;
    bool for_everybody = false;
  };
  using Listener = std::function<void()>;
  enum class ListenerId : uint64_t {};

  explicit EventRing(size_t kept) : kept_(kept) {}
  EventRing(const EventRing&) = delete;
  EventRing& operator=(const EventRing&) = delete;

  // Fills in sequence (from 1, without holes) and time.
  void Publish(msb::v1::Event event, uint32_t owner_uid);
  void PublishToAll(msb::v1::Event event);

  // The sequence that the next event will have.
  uint64_t Next() const;
  // The sequence of the first kept event at or after `since`.
  uint64_t FirstSince(absl::Time since) const;

  // The event with the sequence `cursor`, or, where that is no longer kept, the first one that is.
  // Null when there is none yet. Entries never change.
  std::shared_ptr<const Entry> Read(uint64_t cursor) const;

  // `listener` is called after each event, by whoever published it: it must not block or call back.
  ListenerId Listen(Listener listener);
  // No call begins after this has returned.
  void Unlisten(ListenerId id);

 private:
  void Add(Entry entry);

  const size_t kept_;
  mutable absl::Mutex mutex_;
  std::deque<std::shared_ptr<const Entry>> entries_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_sequence_ ABSL_GUARDED_BY(mutex_) = 1;
  // Apart from mutex_, so that a listener may read.
  absl::Mutex listeners_mutex_;
  std::map<uint64_t, Listener> listeners_ ABSL_GUARDED_BY(listeners_mutex_);
  uint64_t next_listener_ ABSL_GUARDED_BY(listeners_mutex_) = 1;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_EVENTS_EVENT_RING_H_
