// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/fs/fs_device.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace msb {
namespace {

virtio::FsConfig MakeConfig(const std::string& tag) {
  virtio::FsConfig config = {};
  std::memcpy(config.tag, tag.data(), std::min(tag.size(), sizeof(config.tag)));
  config.num_request_queues = 1;
  return config;
}

absl::Status GuestError(absl::string_view what) {
  return MakeError(Reason::kGuestViolation, absl::StrCat("fs: ", what));
}

// The bytes of `buffers` behind the first `skip`.
FuseChannel::Buffers Behind(absl::Span<const absl::Span<uint8_t>> buffers, size_t skip) {
  FuseChannel::Buffers rest;
  for (const absl::Span<uint8_t>& buffer : buffers) {
    const size_t skipped = std::min(skip, buffer.size());
    skip -= skipped;
    if (skipped < buffer.size()) rest.push_back(buffer.subspan(skipped));
  }
  return rest;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FsDevice>> FsDevice::Create(EventLoop& loop, UniqueFd server,
                                                           Options options) {
  if (options.tag.empty() || options.tag.size() > virtio::kFsTagBytes) {
    return MakeError(Reason::kVmSpecInvalid,
                     absl::StrCat("a tag has 1..", virtio::kFsTagBytes, " bytes"));
  }
  std::unique_ptr<FsDevice> device(new FsDevice(loop, std::move(options)));
  FsDevice* const raw = device.get();
  FuseChannel::Callbacks callbacks{
      .on_done = [raw](FuseChannel::Slot slot, uint32_t written) { raw->OnDone(slot, written); },
      .on_turn_end = [raw] { raw->OnTurnEnd(); },
      .on_end = [raw](const absl::Status& why) { raw->OnServerEnd(why); }};
  MSB_ASSIGN_OR_RETURN(device->channel_,
                       FuseChannel::Create(loop, std::move(server), std::move(callbacks)));
  return device;
}

FsDevice::FsDevice(EventLoop& loop, Options options)
    : options_(std::move(options)),
      config_(MakeConfig(options_.tag)),
      in_flight_(FuseChannel::kSlots),
      next_turn_(loop, [this] { GoOn(); }) {}

absl::Span<const uint8_t> FsDevice::config() const {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&config_), sizeof(config_));
}

absl::Status FsDevice::Activate(uint64_t, absl::Span<Virtqueue* const> queues) {
  std::copy(queues.begin(), queues.end(), queues_.begin());
  return absl::OkStatus();
}

absl::Status FsDevice::OnNotify(uint16_t index) {
  MSB_RETURN_IF_ERROR(Forward(index));
  channel_->Flush();
  return FlushQueues();
}

absl::Status FsDevice::Forward(uint16_t index) {
  Virtqueue* const queue = queues_[index];
  if (queue == nullptr) return absl::OkStatus();
  for (int taken = 0; taken < kMaxRequestsPerTurn; ++taken) {
    stalled_[index] = !channel_->ended() && !channel_->has_room();
    if (stalled_[index]) return absl::OkStatus();  // OnTurnEnd comes back to it
    MSB_ASSIGN_OR_RETURN(const bool has_next, queue->HasNext());
    if (!has_next) return absl::OkStatus();
    MSB_ASSIGN_OR_RETURN(DescriptorChain chain, queue->Pop());
    MSB_RETURN_IF_ERROR(ForwardOne(index, std::move(chain)));
  }
  stalled_[index] = true;
  next_turn_.Ask();
  return absl::OkStatus();
}

void FsDevice::GoOn() {
  absl::Status status;
  for (uint16_t index = 0; index < queues_.size(); ++index) {
    if (stalled_[index]) status.Update(Forward(index));
  }
  channel_->Flush();
  status.Update(FlushQueues());
  Report(status);
}

absl::Status FsDevice::ForwardOne(uint16_t index, DescriptorChain chain) {
  FuseChannel::Request request;
  const absl::Span<uint8_t> header(reinterpret_cast<uint8_t*>(&request.header),
                                   sizeof(request.header));
  if (chain.CopyOut(0, header) != header.size()) return GuestError("request without a header");
  if (request.header.length != chain.readable_bytes()) {
    return GuestError("request of another length than it says");
  }
  if (request.header.length > kMaxRequestBytes) return GuestError("request longer than any");
  if (!chain.writable().empty() && chain.writable_bytes() < sizeof(FuseReplyHeader)) {
    return GuestError("no room for a reply's header");
  }
  if (channel_->ended()) return RefuseOne(index, std::move(chain), request.header.unique);
  request.body = Behind(chain.readable(), sizeof(request.header));
  request.reply = Behind(chain.writable(), 0);
  const FuseChannel::Slot slot = channel_->Submit(std::move(request));
  in_flight_[slot].emplace(InFlight{index, std::move(chain)});
  return absl::OkStatus();
}

// What the guest's kernel knows as a file system whose server is gone.
absl::Status FsDevice::RefuseOne(uint16_t index, DescriptorChain chain, uint64_t unique) {
  if (chain.writable().empty()) return queues_[index]->Complete(std::move(chain), 0);
  const FuseReplyHeader reply{
      .length = sizeof(FuseReplyHeader), .error = -ENOTCONN, .unique = unique};
  chain.CopyIn(0, absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&reply), sizeof(reply)));
  return queues_[index]->Complete(std::move(chain), sizeof(reply));
}

absl::Status FsDevice::FlushQueues() {
  absl::Status status = std::exchange(completion_, absl::OkStatus());
  for (Virtqueue* const queue : queues_) {
    if (queue != nullptr) status.Update(queue->Flush());
  }
  return status;
}

void FsDevice::OnDone(FuseChannel::Slot slot, uint32_t written) {
  InFlight done = *std::move(in_flight_[slot]);
  in_flight_[slot].reset();
  completion_.Update(queues_[done.queue]->Complete(std::move(done.chain), written));
}

void FsDevice::OnTurnEnd() {
  Report(FlushQueues());
  // Not at once: a guest that keeps asking for what needs no reply would keep us here.
  if (stalled_[0] || stalled_[1]) next_turn_.Ask();
}

void FsDevice::OnServerEnd(const absl::Status& why) {
  MSB_LOG(kError) << "mounts of tag " << EscapeForLog(options_.tag)
                  << " are gone: " << why.message();
  absl::Status status;
  for (std::optional<InFlight>& entry : in_flight_) {
    if (!entry.has_value()) continue;
    FuseRequestHeader header = {};
    const absl::Span<uint8_t> bytes(reinterpret_cast<uint8_t*>(&header), sizeof(header));
    entry->chain.CopyOut(0, bytes);
    status.Update(RefuseOne(entry->queue, std::move(entry->chain), header.unique));
    entry.reset();
  }
  if (stalled_[0] || stalled_[1]) next_turn_.Ask();
  status.Update(FlushQueues());
  Report(status);
}

void FsDevice::Report(const absl::Status& status) {
  if (!status.ok() && notifier() != nullptr) notifier()->OnGuestViolation(status);
}

void FsDevice::Reset() {
  if (!channel_->ended()) channel_->Abandon();
  for (std::optional<InFlight>& entry : in_flight_) entry.reset();
  next_turn_.Cancel();
  queues_ = {};
  stalled_ = {};
  completion_ = absl::OkStatus();
}

void FsDevice::Quiesce() { channel_->Drain(options_.patience); }

msb::vmm::v1::DeviceState FsDevice::Save() const {
  msb::vmm::v1::DeviceState state;
  state.mutable_fs()->set_tag(options_.tag);
  return state;
}

absl::Status FsDevice::Restore(const msb::vmm::v1::DeviceState& state) {
  if (!state.has_fs()) return MakeError(Reason::kStateInvalid, "fs: state of another device");
  if (state.fs().tag() != options_.tag) {
    return MakeError(Reason::kStateInvalid, "fs: the tag is not the one that was saved");
  }
  return absl::OkStatus();
}

}  // namespace msb
