// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/fake_vsock_driver.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace msb {

using virtio::VsockHeader;

namespace {

absl::string_view BytesOf(const VsockHeader& header) {
  return absl::string_view(reinterpret_cast<const char*>(&header), sizeof(header));
}

}  // namespace

FakeVsockDriver::FakeVsockDriver(const Options& options)
    : options_(options),
      guest_({.queue_sizes = {128, 128, 8},
              .event_index = options.event_index,
              .memory_bytes = options.memory_bytes}) {
  AddRxBuffers(options.rx_buffers);
}

absl::Status FakeVsockDriver::Attach(VsockDevice& device) {
  device_ = &device;
  const std::vector<Virtqueue*> queues = guest_.virtqueues();
  return device.Activate(device.features(), queues);
}

VsockHeader FakeVsockDriver::Header(virtio::VsockOp op, uint32_t guest_port,
                                    uint32_t host_port) const {
  return {.src_cid = options_.guest_cid,
          .dst_cid = virtio::kVsockHostCid,
          .src_port = guest_port,
          .dst_port = host_port,
          .length = 0,
          .type = virtio::VsockType::kStream,
          .op = op,
          .flags = 0,
          .buf_alloc = options_.buf_alloc,
          .fwd_cnt = 0};
}

// Linux sends header and payload as two descriptors.
void FakeVsockDriver::Queue(const VsockHeader& header, absl::string_view payload) {
  ReclaimTx();
  const GuestRange space = TxSpace(sizeof(header) + payload.size());
  const GuestAddress behind = *Offset(space.start, sizeof(header));
  guest_.Write(space.start, BytesOf(header));
  guest_.Write(behind, payload);
  std::vector<FakeBuffer> buffers = {
      {.range = {space.start, sizeof(header)}, .access = FakeBuffer::Access::kReadable}};
  if (!payload.empty()) {
    buffers.push_back({.range = {behind, payload.size()}, .access = FakeBuffer::Access::kReadable});
  }
  const FakeChain chain = guest_.queue(virtio::kVsockTxQueue).AddChain(buffers);
  tx_in_use_[chain.head] = space;
}

absl::Status FakeVsockDriver::Send(VsockHeader header, absl::string_view payload) {
  header.length = static_cast<uint32_t>(payload.size());
  Queue(header, payload);
  return Kick(virtio::kVsockTxQueue);
}

absl::Status FakeVsockDriver::Kick(uint16_t queue) {
  return guest_.queue(queue).WantsKick() ? device_->OnNotify(queue) : absl::OkStatus();
}

size_t FakeVsockDriver::unsent() {
  ReclaimTx();
  return tx_in_use_.size();
}

std::vector<FakePacket> FakeVsockDriver::ReceiveAndHold() {
  std::vector<FakePacket> packets;
  for (const virtio::UsedElement& used : guest_.queue(virtio::kVsockRxQueue).Used()) {
    const auto node = rx_in_use_.extract(used.id);
    MSB_CHECK(!node.empty() && used.length >= sizeof(VsockHeader));
    const RxBuffer buffer = node.mapped();
    rx_free_.push_back(buffer);
    FakePacket packet;
    const std::string header = guest_.Read(buffer.header);
    std::memcpy(&packet.header, header.data(), sizeof(VsockHeader));
    MSB_CHECK(packet.header.length == used.length - sizeof(VsockHeader));
    packet.payload = guest_.Read({buffer.payload.start, packet.header.length});
    packets.push_back(std::move(packet));
  }
  return packets;
}

std::vector<FakePacket> FakeVsockDriver::Receive() {
  std::vector<FakePacket> all;
  while (true) {
    std::vector<FakePacket> packets = ReceiveAndHold();
    if (packets.empty()) return all;
    for (FakePacket& packet : packets) all.push_back(std::move(packet));
    AddRxBuffers(packets.size());
    MSB_CHECK(Kick(virtio::kVsockRxQueue).ok());
  }
}

void FakeVsockDriver::AddRxBuffers(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (rx_free_.empty()) {
      rx_free_.push_back({.header = guest_.Allocate(sizeof(VsockHeader)),
                          .payload = guest_.Allocate(options_.rx_payload_bytes)});
    }
    const RxBuffer buffer = rx_free_.back();
    rx_free_.pop_back();
    const FakeChain chain = guest_.queue(virtio::kVsockRxQueue)
                                .AddChain({{buffer.header, FakeBuffer::Access::kWritable},
                                           {buffer.payload, FakeBuffer::Access::kWritable}});
    rx_in_use_[chain.head] = buffer;
  }
}

void FakeVsockDriver::AddEventBuffers(size_t count) {
  FakeQueue& events = guest_.queue(virtio::kVsockEventQueue);
  for (size_t i = 0; i < count; ++i) {
    const FakeBuffer buffer = guest_.Writable(sizeof(virtio::VsockEvent));
    events_in_use_[events.AddChain({buffer}).head] = buffer.range;
  }
}

std::vector<uint32_t> FakeVsockDriver::Events() {
  std::vector<uint32_t> ids;
  for (const virtio::UsedElement& used : guest_.queue(virtio::kVsockEventQueue).Used()) {
    MSB_CHECK(used.length == sizeof(virtio::VsockEvent));
    const std::string bytes = guest_.Read(events_in_use_.extract(used.id).mapped());
    uint32_t id = 0;
    std::memcpy(&id, bytes.data(), sizeof(id));
    ids.push_back(id);
  }
  return ids;
}

void FakeVsockDriver::ReclaimTx() {
  for (const virtio::UsedElement& used : guest_.queue(virtio::kVsockTxQueue).Used()) {
    const GuestRange space = tx_in_use_.extract(used.id).mapped();
    tx_free_.emplace(space.size, space);
  }
}

GuestRange FakeVsockDriver::TxSpace(uint64_t size) {
  const auto fits = tx_free_.lower_bound(size);
  if (fits != tx_free_.end()) return tx_free_.extract(fits).mapped();
  return guest_.Allocate(std::max<uint64_t>(size, 128));
}

}  // namespace msb
