// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/guest_queues.h"

#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb {

absl::StatusOr<std::unique_ptr<GuestQueues>> GuestQueues::Create(fs_handover::ReceivedOrder order) {
  MSB_ASSIGN_OR_RETURN(fs_handover::Grant grant, fs_handover::CheckServe(std::move(order)));
  MSB_ASSIGN_OR_RETURN(InFlightTable table, InFlightTable::Map(std::move(grant.table)));
  MSB_ASSIGN_OR_RETURN(GuestMemory memory, GuestMemory::MapShared(std::move(grant.memory)));
  std::unique_ptr<GuestQueues> queues(new GuestQueues(std::move(memory), std::move(table)));
  for (size_t i = 0; i < grant.queues.size(); ++i) {
    if (!grant.queues[i].has_value()) continue;
    MSB_RETURN_IF_ERROR(queues->AddQueue(i, *std::move(grant.queues[i])));
  }
  return queues;
}

absl::Status GuestQueues::AddQueue(size_t index, fs_handover::Grant::GrantedQueue granted) {
  absl::MutexLock lock(&mutex_);
  MSB_ASSIGN_OR_RETURN(
      Virtqueue ring,
      Virtqueue::Create(*memory_, granted.layout, granted.event_index, [call = granted.call.get()] {
        const uint64_t one = 1;
        if (call >= 0) [[maybe_unused]]
          const ssize_t put = ::write(call, &one, sizeof(one));
      }));
  ring.SetPosition(granted.position, granted.position);
  queues_[index].emplace(Queue{std::move(ring), std::move(granted.kick), std::move(granted.call)});
  return absl::OkStatus();
}

absl::StatusOr<std::optional<GuestQueues::Taken>> GuestQueues::Next() {
  absl::MutexLock lock(&mutex_);
  if (stopping_ || abandoned_) return std::nullopt;
  for (uint16_t index = 0; index < queues_.size(); ++index) {
    MSB_ASSIGN_OR_RETURN(std::optional<Taken> taken, NextOfLocked(index));
    if (taken.has_value()) return taken;
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<GuestQueues::Taken>> GuestQueues::NextOfLocked(uint16_t index) {
  if (!queues_[index].has_value()) return std::nullopt;
  Virtqueue& ring = queues_[index]->ring;
  MSB_ASSIGN_OR_RETURN(const bool has_next, ring.HasNext());
  if (!has_next) return std::nullopt;
  MSB_ASSIGN_OR_RETURN(DescriptorChain chain, ring.Pop());
  if (!table_.Add(index, chain.head())) {
    ring.Return(std::move(chain));
    return MakeError(Reason::kGuestViolation, "a chain that is under way is made available again");
  }
  ++under_way_;
  return Taken{index, std::move(chain)};
}

GuestQueues::Rest GuestQueues::Complete(Taken taken, const Reply& reply,
                                        absl::FunctionRef<bool()> is_given_up) {
  absl::MutexLock lock(&mutex_);
  // Not before the lock, for which it may have waited.
  abandoned_ = abandoned_ || is_given_up();
  if (abandoned_) return Rest::kNotYet;
  MSB_CHECK(reply.bytes() <= taken.chain.writable_bytes());
  taken.chain.CopyIn(0, reply.header);
  taken.chain.CopyIn(reply.header.size() + reply.in_place, reply.rest);
  Virtqueue& ring = queues_[taken.queue]->ring;
  const uint16_t head = taken.chain.head();
  table_.BeginAnswer(taken.queue, head, ring.next_used());
  MSB_CHECK(ring.Complete(std::move(taken.chain), static_cast<uint32_t>(reply.bytes())).ok());
  table_.EndAnswer(taken.queue, head);
  MSB_CHECK(ring.Flush().ok());
  --under_way_;
  return RestLocked();
}

void GuestQueues::Drop(Taken taken) {
  (void)taken;
  absl::MutexLock lock(&mutex_);
  --under_way_;
}

GuestQueues::Rest GuestQueues::Stop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  return RestLocked();
}

GuestQueues::Rest GuestQueues::RestLocked() {
  if (!stopping_ || abandoned_ || under_way_ > 0) return Rest::kNotYet;
  memory_.reset();
  return Rest::kReached;
}

std::array<int, fs_handover::kQueues> GuestQueues::kicks() const {
  std::array<int, fs_handover::kQueues> result;
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] = queues_[i].has_value() ? queues_[i]->kick.get() : -1;
  }
  return result;
}

std::array<fs_handover::Answer::Position, fs_handover::kQueues> GuestQueues::positions() const {
  absl::MutexLock lock(&mutex_);
  std::array<fs_handover::Answer::Position, fs_handover::kQueues> result = {};
  for (size_t i = 0; i < result.size(); ++i) {
    if (!queues_[i].has_value()) continue;
    result[i] = {queues_[i]->ring.next_available(), queues_[i]->ring.next_used()};
  }
  return result;
}

}  // namespace msb
