// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/fs/handover.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/wait_for.h"

namespace msb::fs_handover {
namespace {

// How long the rest of an order may take whose beginning is here: it was sent at once.
constexpr absl::Duration kRestOfOrder = absl::Seconds(5);

absl::Status Malformed(absl::string_view what) {
  return MakeError(Reason::kFrameMalformed, absl::StrCat("order of the VMM: ", what));
}

absl::string_view BytesOf(const Order& order) {
  return {reinterpret_cast<const char*>(&order), sizeof(order)};
}

absl::Status Send(int socket, const Order& order, absl::Span<const int> descriptors) {
  return WriteWithDescriptors(socket, BytesOf(order), descriptors, absl::InfinitePast());
}

absl::Status AddRegions(const GuestMemory& memory, Order& order, std::vector<int>& descriptors) {
  if (memory.regions().size() > kMaxRegions) {
    return MakeError(Reason::kHostError, "memory of too many parts for a file server");
  }
  for (const GuestMemory::Region& region : memory.regions()) {
    if (region.file < 0) {
      return MakeError(Reason::kHostError, "memory that a file server cannot be given");
    }
    order.regions[order.region_count++] = {.guest_address = ToUint64(region.range.start),
                                           .bytes = region.range.size,
                                           .file_offset = region.file_offset};
    descriptors.push_back(region.file);
  }
  return absl::OkStatus();
}

Queue Describe(const Virtqueue& queue) {
  return {.descriptor_table = ToUint64(queue.layout().descriptor_table),
          .driver_area = ToUint64(queue.layout().driver_area),
          .device_area = ToUint64(queue.layout().device_area),
          .size = queue.layout().size,
          .next_available = queue.next_available(),
          .event_index = queue.event_index(),
          .has_call = queue.events().call >= 0};
}

// Takes descriptors one after the other; whether there was one for each who asked.
class Descriptors {
 public:
  explicit Descriptors(std::vector<UniqueFd> all) : all_(std::move(all)) {}
  UniqueFd Take() {
    if (next_ < all_.size()) return std::move(all_[next_++]);
    missing_ = true;
    return UniqueFd();
  }
  bool exact() const { return !missing_ && next_ == all_.size(); }

 private:
  std::vector<UniqueFd> all_;
  size_t next_ = 0;
  bool missing_ = false;
};

// A page that is cut off later would be a SIGBUS.
absl::Status CheckSealed(int fd) {
  MSB_ASSIGN_OR_RETURN(const int seals, Syscall("F_GET_SEALS of guest memory",
                                                [&] { return ::fcntl(fd, F_GET_SEALS); }));
  if ((seals & F_SEAL_SHRINK) == 0) return Malformed("memory that its owner can shrink");
  return absl::OkStatus();
}

}  // namespace

absl::Status SendServe(int socket, absl::Span<Virtqueue* const> queues, int table) {
  Order order = {};
  order.kind = OrderKind::kServe;
  std::vector<int> descriptors;
  std::vector<int> events;
  for (size_t i = 0; i < queues.size() && i < kQueues; ++i) {
    if (queues[i] == nullptr || queues[i]->suspended()) continue;
    if (order.region_count == 0) {
      MSB_RETURN_IF_ERROR(AddRegions(queues[i]->memory(), order, descriptors));
    }
    order.queues[i] = Describe(*queues[i]);
    events.push_back(queues[i]->events().kick);
    if (queues[i]->events().call >= 0) events.push_back(queues[i]->events().call);
  }
  descriptors.push_back(table);
  descriptors.insert(descriptors.end(), events.begin(), events.end());
  return Send(socket, order, descriptors);
}

absl::Status SendStop(int socket) {
  Order order = {};
  order.kind = OrderKind::kStop;
  return Send(socket, order, {});
}

absl::StatusOr<std::optional<ReceivedOrder>> ReceiveOrder(int socket) {
  ReceivedOrder received;
  std::string bytes;
  const absl::Time deadline = absl::Now() + kRestOfOrder;
  while (bytes.size() < sizeof(Order)) {
    std::string part(sizeof(Order) - bytes.size(), '\0');
    const absl::StatusOr<size_t> got = ReceiveWithDescriptors(socket, part, received.descriptors);
    if (!got.ok() && bytes.empty()) return std::nullopt;
    if (!got.ok()) return MakeError(Reason::kFrameTruncated, "the stream ended inside an order");
    bytes.append(part, 0, *got);
    if (*got == 0) MSB_RETURN_IF_ERROR(WaitFor(socket, POLLIN, deadline));
  }
  std::memcpy(&received.order, bytes.data(), sizeof(received.order));
  return received;
}

absl::StatusOr<Grant> CheckServe(ReceivedOrder received) {
  const Order& order = received.order;
  if (order.region_count == 0 || order.region_count > kMaxRegions) {
    return Malformed(absl::StrCat(order.region_count, " regions of memory"));
  }
  Descriptors descriptors(std::move(received.descriptors));
  Grant grant;
  for (const Region& region : absl::MakeConstSpan(order.regions).first(order.region_count)) {
    grant.memory.push_back({.fd = descriptors.Take(),
                            .file_offset = region.file_offset,
                            .range = {GuestAddress{region.guest_address}, region.bytes}});
  }
  grant.table = descriptors.Take();
  for (size_t i = 0; i < kQueues; ++i) {
    const Queue& queue = order.queues[i];
    if (queue.size == 0) continue;
    if (queue.size > kMaxQueueSize) return Malformed(absl::StrCat("queue of ", queue.size));
    Grant::GrantedQueue& granted = grant.queues[i].emplace();
    granted.layout = {.size = queue.size,
                      .descriptor_table = GuestAddress{queue.descriptor_table},
                      .driver_area = GuestAddress{queue.driver_area},
                      .device_area = GuestAddress{queue.device_area}};
    granted.position = queue.next_available;
    granted.event_index = queue.event_index != 0;
    granted.kick = descriptors.Take();
    if (queue.has_call != 0) granted.call = descriptors.Take();
  }
  if (!descriptors.exact()) return Malformed("another number of descriptors");
  for (const GuestMemory::FilePart& part : grant.memory) {
    MSB_RETURN_IF_ERROR(CheckSealed(part.fd.get()));
  }
  return grant;
}

}  // namespace msb::fs_handover
