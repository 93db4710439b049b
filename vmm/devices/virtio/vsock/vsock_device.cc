// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/vsock/vsock_device.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "vmm/devices/virtio/vsock/packet.h"

namespace msb {

using virtio::VsockHeader;

namespace {

// Room for 512 KiB of Linux's own receive buffers (4 KiB each). The driver fills a whole queue of
// them before it is ready, which a longer one would make felt in the time to boot. 8 is how many
// event buffers Linux brings.
constexpr std::array<uint16_t, 3> kQueueSizes = {128, 128, 8};

// What one turn may move before the loop looks after its other descriptors, about a millisecond's
// work, and how much of that before the driver hears of it: a guest with more than one CPU works on
// the first part of a long batch while we do the rest.
constexpr size_t kTurnBytes = 1 << 20;
constexpr size_t kFlushBytes = 128 << 10;
// A packet is as much work as so many bytes, whatever it carries.
constexpr size_t kPacketCost = 1024;

// A driver frees the packets that we took when it hears of it, and nobody waits for that but one
// whose queue is full. So it hears of a quarter of the queue at a time, or after this while: by
// then it has mostly seen it itself, with an interrupt for an answer.
constexpr uint16_t kTxFlushShare = 4;
constexpr absl::Duration kTxFlushDelay = absl::Milliseconds(5);

class Turn {
 public:
  bool spent() const { return spent_ >= kTurnBytes; }
  // Whether it is time for a flush.
  bool Spend(size_t bytes, size_t packets) {
    const size_t before = spent_;
    spent_ += bytes + packets * kPacketCost;
    return before / kFlushBytes != spent_ / kFlushBytes;
  }

 private:
  size_t spent_ = 0;
};

}  // namespace

VsockDevice::VsockDevice(EventLoop& loop, uint32_t guest_cid, const VsockLimits& limits)
    : loop_(loop),
      config_{.guest_cid = guest_cid},
      muxer_(loop, guest_cid, limits, [this] { OnMuxerReady(); }),
      listener_(
          loop, limits,
          [this](UniqueFd socket, uint32_t port) { muxer_.Connect(std::move(socket), port); }),
      transport_reset_(loop, limits.transport_reset_timeout, [this] { ContinueLater(); }) {
  MSB_CHECK(guest_cid >= virtio::kVsockFirstGuestCid && guest_cid <= virtio::kVsockLastGuestCid);
}

VsockDevice::~VsockDevice() {
  if (next_turn_.has_value()) loop_.Cancel(*next_turn_);
  if (flush_timer_.has_value()) loop_.Cancel(*flush_timer_);
}

void VsockDevice::FillStats(msb::vmm::v1::Stats& stats) const {
  stats.set_vsock_connections(muxer_.connections());
  stats.set_vsock_rx_bytes(muxer_.counters().from_guest_bytes);
  stats.set_vsock_tx_bytes(muxer_.counters().to_guest_bytes);
}

absl::Span<const uint16_t> VsockDevice::max_queue_sizes() const { return kQueueSizes; }

absl::Span<const uint8_t> VsockDevice::config() const {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&config_), sizeof(config_));
}

absl::Status VsockDevice::Activate(uint64_t, absl::Span<Virtqueue* const> queues) {
  MSB_CHECK(queues.size() == kQueueSizes.size());
  rx_ = queues[virtio::kVsockRxQueue];
  tx_ = queues[virtio::kVsockTxQueue];
  transport_reset_.Activate(queues[virtio::kVsockEventQueue]);
  // A restored queue may hold packets that the guest has kicked for already. Not at once: no
  // interrupt before the rest of the machine is restored.
  more_to_receive_ = true;
  ContinueLater();
  return absl::OkStatus();
}

absl::Status VsockDevice::OnNotify(uint16_t index) {
  MSB_RETURN_IF_ERROR(broken_);
  if (index == virtio::kVsockTxQueue) more_to_receive_ = true;
  absl::Status status = index == virtio::kVsockEventQueue ? transport_reset_.OnNotify() : Pump();
  if (!status.ok()) Break(status);
  return status;
}

void VsockDevice::Reset() {
  muxer_.DropAll();
  transport_reset_.Deactivate();
  rx_ = nullptr;
  tx_ = nullptr;
  more_to_receive_ = false;
  unflushed_packets_ = 0;
  broken_ = absl::OkStatus();
}

void VsockDevice::Break(const absl::Status& why) {
  Reset();
  broken_ = why;
}

// Interrupts that are still to come are not saved.
void VsockDevice::Quiesce() { Report(FlushPackets()); }

msb::vmm::v1::DeviceState VsockDevice::Save() const {
  msb::vmm::v1::DeviceState state;
  state.mutable_vsock()->set_guest_cid(config_.guest_cid);
  return state;
}

absl::Status VsockDevice::Restore(const msb::vmm::v1::DeviceState& state) {
  if (!state.has_vsock()) return MakeError(Reason::kStateInvalid, "vsock: another device's state");
  const uint64_t cid = state.vsock().guest_cid();
  if (cid < virtio::kVsockFirstGuestCid || cid > virtio::kVsockLastGuestCid) {
    return MakeError(Reason::kStateInvalid, absl::StrCat("vsock: guest_cid ", cid));
  }
  transport_reset_.Arm();
  return absl::OkStatus();
}

// --- Moving packets ---

void VsockDevice::OnMuxerReady() { Report(SendToGuest()); }

void VsockDevice::ContinueLater() {
  if (next_turn_.has_value()) return;
  next_turn_ = loop_.After(absl::ZeroDuration(), [this] {
    next_turn_.reset();
    const absl::Status status = transport_reset_.OnNotify();
    Report(status.ok() ? Pump() : status);
  });
}

void VsockDevice::Report(const absl::Status& status) {
  if (status.ok()) return;
  Break(status);
  if (notifier() != nullptr) notifier()->OnGuestViolation(status);
}

absl::Status VsockDevice::Pump() {
  MSB_RETURN_IF_ERROR(ReceiveFromGuest());
  return SendToGuest();
}

absl::Status VsockDevice::ReceiveFromGuest() {
  if (tx_ == nullptr || !more_to_receive_) return absl::OkStatus();
  Turn turn;
  while (muxer_.CanReceive()) {
    if (turn.spent()) {
      ContinueLater();
      break;
    }
    MSB_ASSIGN_OR_RETURN(more_to_receive_, tx_->HasNext());
    if (!more_to_receive_) break;
    MSB_ASSIGN_OR_RETURN(DescriptorChain chain, tx_->Pop());
    MSB_ASSIGN_OR_RETURN(const TxPacket packet, ReadPacket(chain));
    muxer_.Receive(packet);
    MSB_RETURN_IF_ERROR(CompletePacket(std::move(chain)));
    turn.Spend(packet.header.length, 1);
  }
  return absl::OkStatus();
}

absl::Status VsockDevice::CompletePacket(DescriptorChain chain) {
  MSB_RETURN_IF_ERROR(tx_->Complete(std::move(chain), 0));
  if (++unflushed_packets_ >= tx_->layout().size / kTxFlushShare) return FlushPackets();
  if (!flush_timer_.has_value()) {
    flush_timer_ = loop_.After(kTxFlushDelay, [this] {
      flush_timer_.reset();
      Report(FlushPackets());
    });
  }
  return absl::OkStatus();
}

absl::Status VsockDevice::FlushPackets() {
  unflushed_packets_ = 0;
  return tx_ == nullptr ? absl::OkStatus() : tx_->Flush();
}

bool VsockDevice::HasSomethingForGuest() const {
  return muxer_.HasReset() || (muxer_.HasReady() && !transport_reset_.pending());
}

absl::Status VsockDevice::SendToGuest() {
  if (rx_ == nullptr) return absl::OkStatus();
  RxBatch batch(*rx_);
  Turn turn;
  while (HasSomethingForGuest()) {
    if (turn.spent()) {
      ContinueLater();
      break;
    }
    MSB_ASSIGN_OR_RETURN(const bool room, batch.HasRoom());
    if (!room) break;
    MSB_ASSIGN_OR_RETURN(const Sent sent, SendNext(batch));
    if (turn.Spend(sent.bytes, sent.packets)) MSB_RETURN_IF_ERROR(rx_->Flush());
  }
  // The guest's own packets may have waited for these to go.
  if (more_to_receive_ && muxer_.CanReceive()) ContinueLater();
  return rx_->Flush();
}

absl::StatusOr<VsockDevice::Sent> VsockDevice::SendNext(RxBatch& batch) {
  if (muxer_.HasReset()) {
    MSB_RETURN_IF_ERROR(batch.WritePacket(muxer_.TakeReset()));
    return Sent{.bytes = 0, .packets = 1};
  }
  Connection& connection = muxer_.NextReady();
  const std::optional<VsockHeader> control = connection.TakeControl();
  if (!control.has_value()) return SendData(batch, connection);
  MSB_RETURN_IF_ERROR(batch.WritePacket(*control));
  muxer_.Sent(0);
  return Sent{.bytes = 0, .packets = 1};
}

absl::StatusOr<VsockDevice::Sent> VsockDevice::SendData(RxBatch& batch, Connection& connection) {
  Sent sent;
  if (const size_t goal = connection.ReadGoal(); goal > 0) {
    MSB_ASSIGN_OR_RETURN(const absl::Span<const iovec> room,
                         batch.Reserve(goal, connection.ReadLimit()));
    sent.bytes = connection.ReadInto(room);
    const VsockHeader header = sent.bytes > 0 ? connection.DataHeader() : VsockHeader{};
    MSB_ASSIGN_OR_RETURN(sent.packets, batch.Commit(header, sent.bytes));
  }
  muxer_.Sent(sent.bytes);
  return sent;
}

}  // namespace msb
