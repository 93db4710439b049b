// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One SystemService.WatchEvents call.

#ifndef MSB_SUPERVISOR_API_EVENT_CALL_H_
#define MSB_SUPERVISOR_API_EVENT_CALL_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "msb/v1/system.pb.h"
#include "supervisor/api/response_queue.h"
#include "supervisor/api/service_base.h"
#include "supervisor/events/event_ring.h"

namespace msb {

// Reads the ring at its own pace, an event at a time: a slow client learns by a gap what it has
// missed.
class EventCall final
    : public QueuedCall<grpc::ServerWriteReactor<msb::v1::Event>, msb::v1::Event> {
 public:
  static grpc::ServerWriteReactor<msb::v1::Event>* Begin(
      const ApiContext& api, grpc::CallbackServerContext& context,
      const msb::v1::WatchEventsRequest& request);
  EventCall(grpc::CallbackServerContext& context, EventRing& events)
      : QueuedCall(context), events_(events) {}

 private:
  void Listen();
  void StopListening();
  // Pushes the next event that this client may see, unless one is on its way.
  void Advance();
  std::optional<msb::v1::Event> NextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Concerns(const EventRing::Entry& entry) const;
  void OnWritten(size_t) override;
  void OnCancel() override { End(absl::CancelledError("the client went away")); }
  void OnDone() override;

  EventRing& events_;
  Caller caller_;
  std::string sandbox_;  // id; empty: all
  absl::Mutex mutex_;
  uint64_t cursor_ ABSL_GUARDED_BY(mutex_) = 1;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;  // gRPC is
  std::optional<EventRing::ListenerId> listener_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_API_EVENT_CALL_H_
