// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/net/net_device.h"

#include <limits.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace msb {
namespace {

using virtio::NetHeader;

// Room for 16 frames of the greatest size in buffers of a page each, which is what Linux fills the
// receive queue with once it has seen large frames.
constexpr std::array<uint16_t, 2> kQueueSizes = {256, 256};
// What one sendmsg takes, and what one turn may move before the loop looks after others.
constexpr size_t kMaxBatchFrames = 16;
constexpr size_t kMaxBatchBuffers = IOV_MAX / 2;
constexpr size_t kTurnBytes = 1 << 20;
// A frame is as much work as so many bytes, whatever it carries.
constexpr size_t kFrameCost = 1024;

}  // namespace

NetDevice::NetDevice(EventLoop& loop, const Mac& mac, uint16_t mtu)
    : loop_(loop), link_(loop, *this) {
  MSB_CHECK(mtu >= kMinMtu && mtu <= kMaxMtu);
  std::copy(mac.begin(), mac.end(), config_.mac);
  config_.max_virtqueue_pairs = 1;
  config_.mtu = mtu;
}

NetDevice::~NetDevice() {
  if (next_turn_.has_value()) loop_.Cancel(*next_turn_);
}

void NetDevice::FillStats(msb::vmm::v1::Stats& stats) const {
  *stats.mutable_net() = stats_;
  stats.mutable_net()->set_link_up(link_.up());
}

uint64_t NetDevice::features() const {
  return virtio::kNetFeatureChecksum | virtio::kNetFeatureGuestChecksum | virtio::kNetFeatureMtu |
         virtio::kNetFeatureMac | virtio::kNetFeatureMergeableBuffers | virtio::kNetFeatureStatus;
}

absl::Span<const uint16_t> NetDevice::max_queue_sizes() const { return kQueueSizes; }

absl::Span<const uint8_t> NetDevice::config() const {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&config_), sizeof(config_));
}

absl::Status NetDevice::Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) {
  MSB_CHECK(queues.size() == kQueueSizes.size());
  rx_ = queues[virtio::kNetRxQueue];
  tx_ = queues[virtio::kNetTxQueue];
  mergeable_ = (driver_features & virtio::kNetFeatureMergeableBuffers) != 0;
  // A restored queue may hold frames that the guest has kicked for already.
  ContinueLater();
  return absl::OkStatus();
}

absl::Status NetDevice::OnNotify(uint16_t index) {
  MSB_RETURN_IF_ERROR(broken_);
  absl::Status status = index == virtio::kNetTxQueue ? TakeFromGuest() : SendToGuest();
  if (!status.ok()) Break(status);
  return status;
}

void NetDevice::Reset() {
  DetachFirstFrame();
  sending_.clear();
  sent_of_first_ = 0;
  rx_ = nullptr;
  tx_ = nullptr;
  broken_ = absl::OkStatus();
}

void NetDevice::Break(const absl::Status& why) {
  Reset();
  broken_ = why;
}

void NetDevice::Report(const absl::Status& status) {
  if (status.ok()) return;
  Break(status);
  if (notifier() != nullptr) notifier()->OnGuestViolation(status);
}

void NetDevice::OnLinkChanged() {
  // What was under way went with the old connection; the stream of a new one begins with a frame.
  leftover_.clear();
  sent_of_first_ = 0;
  const auto status = static_cast<uint16_t>(link_.up() ? virtio::kNetStatusLinkUp : 0);
  if (status != config_.status) {
    config_.status = status;
    if (notifier() != nullptr) notifier()->OnConfigChanged();
  }
  ContinueLater();
}

void NetDevice::ContinueLater() {
  if (next_turn_.has_value()) return;
  next_turn_ = loop_.After(absl::ZeroDuration(), [this] {
    next_turn_.reset();
    Report(TakeFromGuest());
    Report(SendToGuest());
  });
}

// --- guest to link ---

absl::Status NetDevice::TakeFromGuest() {
  size_t spent = 0;
  if (!SendLeftover()) return absl::OkStatus();
  while (tx_ != nullptr) {
    if (spent >= kTurnBytes) {
      ContinueLater();
      break;
    }
    if (sending_.empty()) MSB_RETURN_IF_ERROR(CollectFrames());
    if (sending_.empty()) break;
    for (const TxFrame& frame : sending_) spent += frame.wire_bytes() + kFrameCost;
    const bool blocked = !SendCollected();
    MSB_RETURN_IF_ERROR(CompleteSent(sent_of_first_));
    if (blocked) break;
  }
  return tx_ == nullptr ? absl::OkStatus() : tx_->Flush();
}

absl::Status NetDevice::CollectFrames() {
  size_t buffers = 0;
  while (sending_.size() < kMaxBatchFrames && buffers < kMaxBatchBuffers) {
    MSB_ASSIGN_OR_RETURN(const bool has_next, tx_->HasNext());
    if (!has_next) break;
    MSB_ASSIGN_OR_RETURN(DescriptorChain chain, tx_->Pop());
    MSB_ASSIGN_OR_RETURN(TxFrame frame, TxFrame::Read(std::move(chain)));
    buffers += frame.buffers();
    sending_.push_back(std::move(frame));
  }
  return absl::OkStatus();
}

// Adds what the link took to sent_of_first_. False when it takes no more for now.
bool NetDevice::SendCollected() {
  if (!link_.up()) {  // a dead link swallows what it is given
    stats_.set_dropped_frames(stats_.dropped_frames() + sending_.size());
    for (const TxFrame& frame : sending_) sent_of_first_ += frame.wire_bytes();
    return true;
  }
  std::vector<iovec> parts;
  size_t offset = sent_of_first_;
  for (const TxFrame& frame : sending_) {
    if (parts.size() + frame.buffers() > IOV_MAX && !parts.empty()) break;
    frame.AppendTo(offset, parts);
    offset = 0;
  }
  if (parts.size() > IOV_MAX) parts.resize(IOV_MAX);
  size_t total = 0;
  for (const iovec& part : parts) total += part.iov_len;
  const size_t sent = link_.Send(parts);
  sent_of_first_ += sent;
  return sent == total;
}

bool NetDevice::SendLeftover() {
  if (leftover_.empty()) return true;
  leftover_.erase(0, link_.Send({{leftover_.data(), leftover_.size()}}));
  return leftover_.empty();
}

// Completes the frames of the first `sent` bytes of those under way.
absl::Status NetDevice::CompleteSent(size_t sent) {
  size_t whole = 0;
  while (whole < sending_.size() && sent >= sending_[whole].wire_bytes()) {
    const size_t bytes = sending_[whole].wire_bytes();
    sent -= bytes;
    stats_.set_from_guest_bytes(stats_.from_guest_bytes() + bytes - FrameLink::kLengthBytes);
    MSB_RETURN_IF_ERROR(tx_->Complete(sending_[whole].TakeChain(), 0));
    ++whole;
  }
  stats_.set_from_guest_frames(stats_.from_guest_frames() + whole);
  sending_.erase(sending_.begin(), sending_.begin() + static_cast<ptrdiff_t>(whole));
  sent_of_first_ = sent;
  return absl::OkStatus();
}

// The stream cannot stop within a frame: the rest of one that has begun to go is copied.
void NetDevice::DetachFirstFrame() {
  if (sent_of_first_ == 0) return;
  std::vector<iovec> parts;
  sending_.front().AppendTo(sent_of_first_, parts);
  for (const iovec& part : parts) {
    leftover_.append(static_cast<const char*>(part.iov_base), part.iov_len);
  }
}

// --- link to guest ---

absl::Status NetDevice::SendToGuest() {
  if (rx_ == nullptr) {
    link_.SetReading(FrameLink::Reading::kOff);
    return absl::OkStatus();
  }
  link_.SetReading(FrameLink::Reading::kOn);
  size_t spent = 0;
  while (true) {
    if (spent >= kTurnBytes) {
      ContinueLater();
      break;
    }
    const absl::Span<const uint8_t> frame = link_.Peek();
    if (frame.empty()) break;
    MSB_ASSIGN_OR_RETURN(const Delivery delivery, Deliver(frame));
    if (delivery == Delivery::kNoBuffers) {  // the driver kicks when it has some
      link_.SetReading(FrameLink::Reading::kOff);
      break;
    }
    spent += frame.size() + kFrameCost;
    link_.Consume();
  }
  return rx_->Flush();
}

absl::StatusOr<NetDevice::Delivery> NetDevice::Deliver(absl::Span<const uint8_t> frame) {
  MSB_ASSIGN_OR_RETURN(const Delivery delivery, DeliverMerged(frame));
  if (delivery == Delivery::kDone) {
    stats_.set_to_guest_frames(stats_.to_guest_frames() + 1);
    stats_.set_to_guest_bytes(stats_.to_guest_bytes() + frame.size());
  }
  return delivery;
}

absl::StatusOr<NetDevice::Delivery> NetDevice::DeliverMerged(absl::Span<const uint8_t> frame) {
  const size_t wanted = sizeof(NetHeader) + frame.size();
  const size_t most = mergeable_ ? rx_->layout().size : 1;
  std::vector<DescriptorChain> chains;
  size_t room = 0;
  while (room < wanted && chains.size() < most) {
    MSB_ASSIGN_OR_RETURN(const bool has_next, rx_->HasNext());
    if (!has_next) break;
    MSB_ASSIGN_OR_RETURN(DescriptorChain chain, rx_->Pop());
    if (!chain.readable().empty() || chain.writable_bytes() < sizeof(NetHeader)) {
      return MakeError(Reason::kGuestViolation, "net: a receive buffer without room for a header");
    }
    room += chain.writable_bytes();
    chains.push_back(std::move(chain));
  }
  if (room < wanted) {
    const bool hopeless = chains.size() == most;  // the driver can never give enough
    while (!chains.empty()) {
      rx_->Return(std::move(chains.back()));
      chains.pop_back();
    }
    if (!hopeless) return Delivery::kNoBuffers;
    stats_.set_dropped_frames(stats_.dropped_frames() + 1);
    return Delivery::kDone;
  }
  const NetHeader header{.flags = virtio::kNetHeaderDataValid,
                         .gso_type = virtio::kNetGsoNone,
                         .header_length = 0,
                         .gso_size = 0,
                         .checksum_start = 0,
                         .checksum_offset = 0,
                         .buffers = static_cast<uint16_t>(chains.size())};
  chains[0].CopyIn(0,
                   absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&header), sizeof(header)));
  std::vector<Virtqueue::Completion> completions;
  completions.reserve(chains.size());
  size_t offset = sizeof(header);
  for (DescriptorChain& chain : chains) {
    const size_t copied = chain.CopyIn(offset, frame);
    frame.remove_prefix(copied);
    completions.push_back({std::move(chain), static_cast<uint32_t>(offset + copied)});
    offset = 0;
  }
  MSB_RETURN_IF_ERROR(rx_->CompleteTogether(absl::MakeSpan(completions)));
  return Delivery::kDone;
}

// --- a saved machine ---

void NetDevice::Quiesce() {
  if (tx_ == nullptr || sending_.empty()) return;
  DetachFirstFrame();
  const size_t begun = sent_of_first_ > 0 ? 1 : 0;
  while (sending_.size() > begun) {
    tx_->Return(sending_.back().TakeChain());
    sending_.pop_back();
  }
  if (begun == 1) Report(CompleteSent(sending_.front().wire_bytes()));
  if (tx_ != nullptr) Report(tx_->Flush());
}

msb::vmm::v1::DeviceState NetDevice::Save() const {
  msb::vmm::v1::DeviceState state;
  state.mutable_net()->set_mac(std::string(config_.mac, config_.mac + sizeof(config_.mac)));
  state.mutable_net()->set_mtu(config_.mtu);
  return state;
}

absl::Status NetDevice::Restore(const msb::vmm::v1::DeviceState& state) {
  if (!state.has_net()) return MakeError(Reason::kStateInvalid, "net: another device's state");
  const msb::vmm::v1::NetState& net = state.net();
  if (net.mac().size() != sizeof(config_.mac) || net.mtu() < kMinMtu || net.mtu() > kMaxMtu) {
    return MakeError(Reason::kStateInvalid, absl::StrCat("net: mtu ", net.mtu()));
  }
  std::copy(net.mac().begin(), net.mac().end(), config_.mac);
  config_.mtu = static_cast<uint16_t>(net.mtu());
  return absl::OkStatus();
}

}  // namespace msb
