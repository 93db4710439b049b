// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// QEMU's side of the protocol, in a test: sets up the queues of a FakeGuest (memory kind kMemfd) in
// the order that QEMU does. `Send` takes a message as it would come from the socket.

#ifndef MSB_VMM_VHOST_USER_FAKE_FRONT_END_H_
#define MSB_VMM_VHOST_USER_FAKE_FRONT_END_H_

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/check.h"
#include "base/unique_fd.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/vhost_user/message.h"

namespace msb::vhost_user {

template <typename T>
std::string Payload(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

inline UniqueFd Duplicate(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

class FakeFrontEnd {
 public:
  // The front end's own address of guest address 0.
  static constexpr uint64_t kUserBase = 0x7f00'0000'0000;
  static constexpr uint64_t kFeatureVersion1 = uint64_t{1} << 32;
  static constexpr uint64_t kFeatureEventIndex = uint64_t{1} << 29;

  using Sink = std::function<absl::StatusOr<std::string>(Message)>;

  FakeFrontEnd(FakeGuest& guest, size_t rings, Sink sink) : guest_(guest), sink_(std::move(sink)) {
    for (size_t i = 0; i < rings; ++i) {
      kicks_.emplace_back(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
      calls_.emplace_back(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    }
  }

  absl::StatusOr<std::string> Send(Request request, std::string payload,
                                   std::vector<UniqueFd> descriptors = {}) {
    return sink_(Message{.request = request,
                         .needs_reply = true,
                         .payload = std::move(payload),
                         .descriptors = std::move(descriptors)});
  }

  MemoryRegion WholeMemory() const {
    const uint64_t start = ToUint64(FakeGuest::kMemoryStart);
    return {.guest_address = start,
            .size = guest_.memory().total_bytes(),
            .user_address = kUserBase + start,
            .file_offset = 0};
  }
  absl::StatusOr<std::string> SendMemory(const std::vector<MemoryRegion>& regions) {
    std::string payload =
        Payload(MemoryTableHeader{.regions = static_cast<uint32_t>(regions.size()), .padding = 0});
    std::vector<UniqueFd> descriptors;
    for (const MemoryRegion& region : regions) {
      payload += Payload(region);
      descriptors.push_back(Duplicate(guest_.memory_fd()));
    }
    return Send(Request::kSetMemoryTable, std::move(payload), std::move(descriptors));
  }

  RingAddress AddressOf(uint32_t ring) const {
    const VirtqueueLayout& layout = guest_.queue(ring).layout();
    return {.index = ring,
            .flags = 0,
            .descriptor_table = kUserBase + ToUint64(layout.descriptor_table),
            .device_area = kUserBase + ToUint64(layout.device_area),
            .driver_area = kUserBase + ToUint64(layout.driver_area),
            .log = 0};
  }

  absl::Status SetUpRing(uint32_t ring, uint32_t base) {
    const uint32_t size = guest_.queue(ring).layout().size;
    std::vector<UniqueFd> kick, call;
    kick.push_back(Duplicate(kicks_[ring].get()));
    call.push_back(Duplicate(calls_[ring].get()));
    MSB_RETURN_IF_ERROR(Send(Request::kSetRingSize, Payload(RingState{ring, size})));
    MSB_RETURN_IF_ERROR(Send(Request::kSetRingBase, Payload(RingState{ring, base})));
    MSB_RETURN_IF_ERROR(Send(Request::kSetRingAddress, Payload(AddressOf(ring))));
    MSB_RETURN_IF_ERROR(Send(Request::kSetRingKick, Payload(uint64_t{ring}), std::move(kick)));
    return Send(Request::kSetRingCall, Payload(uint64_t{ring}), std::move(call)).status();
  }

  // DRIVER_OK, and the start of a resumed machine: `bases` is a position for each ring that is
  // used.
  absl::Status Start(const std::vector<uint32_t>& bases,
                     uint64_t features = kFeatureVersion1 | kFeatureEventIndex) {
    MSB_RETURN_IF_ERROR(Send(Request::kSetFeatures, Payload(features)));
    MSB_RETURN_IF_ERROR(SendMemory({WholeMemory()}));
    for (uint32_t i = 0; i < bases.size(); ++i) MSB_RETURN_IF_ERROR(SetUpRing(i, bases[i]));
    for (uint32_t i = 0; i < bases.size(); ++i) {
      MSB_RETURN_IF_ERROR(Send(Request::kSetRingEnable, Payload(RingState{i, 1})));
    }
    return absl::OkStatus();
  }

  // Stops rings 0..count-1; their positions.
  std::vector<uint32_t> Stop(uint32_t count) {
    std::vector<uint32_t> bases;
    for (uint32_t i = 0; i < count; ++i) {
      const auto reply = Send(Request::kGetRingBase, Payload(RingState{i, 0}));
      MSB_CHECK(reply.ok() && reply->size() == sizeof(RingState));
      RingState state;
      std::memcpy(&state, reply->data(), sizeof(state));
      MSB_CHECK(state.index == i);
      bases.push_back(state.value);
    }
    return bases;
  }

  void Kick(size_t ring) {
    const uint64_t one = 1;
    MSB_CHECK(::write(kicks_[ring].get(), &one, sizeof(one)) == sizeof(one));
  }
  // Interrupts of `ring` since the last call.
  uint64_t TakeInterrupts(size_t ring) {
    uint64_t count = 0;
    return ::read(calls_[ring].get(), &count, sizeof(count)) == sizeof(count) ? count : 0;
  }

 private:
  FakeGuest& guest_;
  Sink sink_;
  std::vector<UniqueFd> kicks_;
  std::vector<UniqueFd> calls_;
};

}  // namespace msb::vhost_user

#endif  // MSB_VMM_VHOST_USER_FAKE_FRONT_END_H_
