// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// For tests: the file server's end of a hand-over, a step at a time, honest or not.

#ifndef MSB_VMM_DEVICES_VIRTIO_FS_FAKE_FILE_SERVER_H_
#define MSB_VMM_DEVICES_VIRTIO_FS_FAKE_FILE_SERVER_H_

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "vmm/devices/virtio/fs/handover.h"
#include "vmm/devices/virtio/fs/in_flight_table.h"
#include "vmm/devices/virtio/virtqueue.h"
#include "vmm/memory/guest_memory.h"

namespace msb {

class FakeFileServer {
 public:
  explicit FakeFileServer(UniqueFd socket) : socket_(std::move(socket)) {}

  // The next order, for which it waits.
  fs_handover::ReceivedOrder TakeOrder() {
    auto received = fs_handover::ReceiveOrder(socket_.get());
    MSB_CHECK(received.ok() && received->has_value());
    return **std::move(received);
  }
  // Takes the order to serve, and the queues.
  void TakeQueues() {
    auto grant = fs_handover::CheckServe(TakeOrder());
    MSB_CHECK(grant.ok());
    grant_.emplace(*std::move(grant));
    auto table = InFlightTable::Map(std::move(grant_->table));
    MSB_CHECK(table.ok());
    table_.emplace(*std::move(table));
    auto memory = GuestMemory::MapShared(std::move(grant_->memory));
    MSB_CHECK(memory.ok());
    memory_.emplace(*std::move(memory));
    for (size_t i = 0; i < rings_.size(); ++i) {
      rings_[i].reset();
      if (!grant_->queues[i].has_value()) continue;
      const auto& granted = *grant_->queues[i];
      auto ring =
          Virtqueue::Create(*memory_, granted.layout, granted.event_index, [this, i] { Call(i); });
      MSB_CHECK(ring.ok());
      ring->SetPosition(granted.position, granted.position);
      rings_[i].emplace(*std::move(ring));
    }
  }

  bool Has(size_t queue) const { return rings_[queue].has_value(); }
  Virtqueue& ring(size_t queue) { return *rings_[queue]; }
  InFlightTable& table() { return *table_; }
  const fs_handover::Grant& grant() const { return *grant_; }

  DescriptorChain Pop(size_t queue) {
    const auto has_next = ring(queue).HasNext();
    MSB_CHECK(has_next.ok() && *has_next);
    auto chain = ring(queue).Pop();
    MSB_CHECK(chain.ok());
    MSB_CHECK(table_->Add(queue, chain->head()));
    return *std::move(chain);
  }
  void Complete(size_t queue, DescriptorChain chain, absl::string_view reply) {
    const uint16_t head = chain.head();
    table_->BeginAnswer(queue, head, ring(queue).next_used());
    PutReply(queue, std::move(chain), reply);
    table_->EndAnswer(queue, head);
    MSB_CHECK(ring(queue).Flush().ok());
  }
  // Of Complete, what concerns the ring alone.
  void PutReply(size_t queue, DescriptorChain chain, absl::string_view reply) {
    chain.CopyIn(0,
                 absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(reply.data()), reply.size()));
    MSB_CHECK(ring(queue).Complete(std::move(chain), static_cast<uint32_t>(reply.size())).ok());
  }

  void SayStopped() {
    fs_handover::Answer answer = {};
    answer.kind = fs_handover::AnswerKind::kStopped;
    for (size_t i = 0; i < rings_.size(); ++i) {
      if (!Has(i)) continue;
      answer.positions[i] = {ring(i).next_available(), ring(i).next_used()};
    }
    Say(answer);
  }
  void SayBroken() {
    fs_handover::Answer answer = {};
    answer.kind = fs_handover::AnswerKind::kBroken;
    Say(answer);
  }
  void Say(const fs_handover::Answer& answer) {
    SayBytes({reinterpret_cast<const char*>(&answer), sizeof(answer)});
  }
  void SayBytes(absl::string_view bytes) {
    MSB_CHECK(::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(bytes.size()));
  }

  int socket() const { return socket_.get(); }
  void Die() { socket_.Reset(); }

 private:
  void Call(size_t queue) {
    const uint64_t one = 1;
    MSB_CHECK(::write(grant_->queues[queue]->call.get(), &one, sizeof(one)) == sizeof(one));
  }

  UniqueFd socket_;
  std::optional<fs_handover::Grant> grant_;
  std::optional<InFlightTable> table_;
  std::optional<GuestMemory> memory_;
  std::array<std::optional<Virtqueue>, fs_handover::kQueues> rings_;
};

}  // namespace msb

#endif  // MSB_VMM_DEVICES_VIRTIO_FS_FAKE_FILE_SERVER_H_
