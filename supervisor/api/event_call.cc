// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/api/event_call.h"

#include <utility>

namespace msb {

grpc::ServerWriteReactor<msb::v1::Event>* EventCall::Begin(
    const ApiContext& api, grpc::CallbackServerContext& context,
    const msb::v1::WatchEventsRequest& request) {
  EventRing& events = api.registry.context().events;
  const auto call = std::make_shared<EventCall>(context, events);
  call->Hold(call);
  const absl::StatusOr<Caller> caller = api.authenticator.CallerOf(context);
  if (!caller.ok()) {
    call->End(caller.status());
    return call.get();
  }
  call->caller_ = *caller;
  {
    absl::MutexLock lock(&call->mutex_);
    call->cursor_ = request.has_since()
                        ? events.FirstSince(absl::FromUnixSeconds(request.since().seconds()) +
                                            absl::Nanoseconds(request.since().nanos()))
                        : events.Next();
  }
  if (request.sandbox().empty()) {
    call->Listen();
    return call.get();
  }
  api.registry.With(*caller, request.sandbox(), [call](Registry::Found found) {
    if (!found.ok()) return call->End(found.status());
    call->sandbox_ = (*found)->record().id;
    call->Listen();
  });
  return call.get();
}

void EventCall::Listen() {
  // The headers tell the client that the watch stands.
  SendHeaders();
  const std::weak_ptr<QueuedCall> weak = held();
  const EventRing::ListenerId id = events_.Listen([weak] {
    if (const auto call = weak.lock()) static_cast<EventCall&>(*call).Advance();
  });
  bool done = false;
  {
    absl::MutexLock lock(&mutex_);
    listener_ = id;
    done = done_;
  }
  if (done) return StopListening();  // the client went away meanwhile
  Advance();
}

bool EventCall::Concerns(const EventRing::Entry& entry) const {
  return (entry.for_everybody || caller_.MaySee(entry.owner_uid)) &&
         (sandbox_.empty() || entry.event.sandbox_id() == sandbox_);
}

std::optional<msb::v1::Event> EventCall::NextLocked() {
  while (const std::shared_ptr<const EventRing::Entry> entry = events_.Read(cursor_)) {
    if (entry->event.sequence() > cursor_) {
      msb::v1::Event gap;
      gap.set_sequence(entry->event.sequence() - 1);
      gap.mutable_gap();
      cursor_ = entry->event.sequence();
      return gap;
    }
    ++cursor_;
    if (Concerns(*entry)) return entry->event;
  }
  return std::nullopt;
}

void EventCall::Advance() {
  std::optional<msb::v1::Event> next;
  {
    absl::MutexLock lock(&mutex_);
    if (writing_) return;
    next = NextLocked();
    writing_ = next.has_value();
  }
  if (next) Push(*std::move(next));
}

void EventCall::OnWritten(size_t) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
  }
  Advance();
}

void EventCall::StopListening() {
  std::optional<EventRing::ListenerId> listener;
  {
    absl::MutexLock lock(&mutex_);
    listener = std::exchange(listener_, std::nullopt);
  }
  if (listener) events_.Unlisten(*listener);
}

void EventCall::OnDone() {
  {
    absl::MutexLock lock(&mutex_);
    done_ = true;
  }
  StopListening();
  QueuedCall::OnDone();
}

}  // namespace msb
