// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/block/block_device.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/status_macros.h"

namespace msb {

using virtio::BlockRequestType;
using virtio::BlockStatus;

namespace {

// Data buffers of a request: a ring's worth, less header and status.
constexpr uint32_t kMaxSegments = BlockDevice::kQueueSize - 2;

virtio::BlockConfig MakeConfig(const DiskFile& disk) {
  virtio::BlockConfig config = {};
  config.capacity = disk.sectors();
  config.segment_max = kMaxSegments;
  config.writeback = 1;
  config.max_discard_sectors = kMaxDiscardSectors;
  config.max_discard_segments = kMaxBlockSegments;
  config.discard_sector_alignment = 4096 / virtio::kSectorBytes;  // a hole's unit on the host
  config.max_write_zeroes_sectors = kMaxWriteZeroesSectors;
  config.max_write_zeroes_segments = kMaxBlockSegments;
  config.write_zeroes_may_unmap = 1;
  return config;
}

}  // namespace

BlockDevice::BlockDevice(EventLoop& loop, DiskFile disk, Options options)
    : loop_(loop),
      disk_(std::move(disk)),
      id_(std::move(options.id)),
      config_(MakeConfig(disk_)),
      next_turn_(loop, [this] { GoOn(); }),
      worker_(disk_, id_,
              {.on_thread_start = std::move(options.on_thread_start), .on_finished = [this] {
                 loop_.Post([this, alive = std::weak_ptr<bool>(alive_)] {
                   if (!alive.expired()) CompleteFinished();
                 });
               }}) {
  stats_.set_id(id_);
}

BlockDevice::~BlockDevice() = default;

uint64_t BlockDevice::features() const {
  if (disk_.read_only()) return virtio::kBlockFeatureSegmentMax | virtio::kBlockFeatureReadOnly;
  return virtio::kBlockFeatureSegmentMax | virtio::kBlockFeatureFlush |
         virtio::kBlockFeatureConfigWriteback | virtio::kBlockFeatureDiscard |
         virtio::kBlockFeatureWriteZeroes;
}

absl::Span<const uint8_t> BlockDevice::config() const {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&config_), sizeof(config_));
}

void BlockDevice::WriteConfig(uint32_t offset, absl::Span<const uint8_t> bytes) {
  // 5.2.4: the one field that the driver writes.
  if (offset != offsetof(virtio::BlockConfig, writeback) || bytes.size() != 1) return;
  config_.writeback = bytes[0] == 0 ? 0 : 1;
}

absl::Status BlockDevice::Activate(uint64_t driver_features, absl::Span<Virtqueue* const> queues) {
  driver_features_ = driver_features;
  queue_ = queues[0];
  return absl::OkStatus();
}

void BlockDevice::Reset() {
  next_turn_.Cancel();
  worker_.Abandon();
  queue_ = nullptr;
  driver_features_ = 0;
  config_.writeback = 1;
}

void BlockDevice::Quiesce() {
  worker_.WaitIdle();
  CompleteFinished();
}

// 5.2.6.2: what a completed write is worth.
DiskFile::Durability BlockDevice::durability() const {
  bool is_writeback = (driver_features_ & virtio::kBlockFeatureFlush) != 0;
  if ((driver_features_ & virtio::kBlockFeatureConfigWriteback) != 0) {
    is_writeback = config_.writeback != 0;
  }
  return is_writeback ? DiskFile::Durability::kOnFlush : DiskFile::Durability::kAtOnce;
}

absl::Status BlockDevice::OnNotify(uint16_t) {
  absl::Status served = ServeQueue();
  if (!served.ok()) next_turn_.Cancel();
  return served;
}

void BlockDevice::GoOn() {
  const absl::Status served = OnNotify(0);
  if (!served.ok() && notifier() != nullptr) notifier()->OnGuestViolation(served);
}

absl::Status BlockDevice::ServeQueue() {
  if (queue_ == nullptr) return absl::OkStatus();
  uint64_t inline_bytes_left = kMaxInlineBytes;
  std::vector<BlockRequest> for_worker;
  const absl::Status served = [&]() -> absl::Status {
    for (int looked_at = 0; looked_at < kMaxRequestsPerTurn; ++looked_at) {
      MSB_ASSIGN_OR_RETURN(const bool has_next, queue_->HasNext());
      if (!has_next) return absl::OkStatus();
      MSB_ASSIGN_OR_RETURN(DescriptorChain chain, queue_->Pop());
      MSB_RETURN_IF_ERROR(Serve(std::move(chain), inline_bytes_left, for_worker));
    }
    next_turn_.Ask();
    return absl::OkStatus();
  }();
  if (!for_worker.empty()) worker_.Submit(std::move(for_worker));
  MSB_RETURN_IF_ERROR(served);
  return queue_->Flush();
}

absl::Status BlockDevice::Serve(DescriptorChain chain, uint64_t& inline_bytes_left,
                                std::vector<BlockRequest>& for_worker) {
  MSB_ASSIGN_OR_RETURN(BlockRequest request, ParseBlockRequest(std::move(chain)));
  request.durability = durability();
  if (const auto refused = RefuseBlockRequest(request, disk_)) {
    return CompleteOne(std::move(request), *refused);
  }
  if (request.type() == BlockRequestType::kGetId) {
    const BlockStatus status = ExecuteBlockRequest(request, disk_, id_);
    return CompleteOne(std::move(request), status);
  }
  if (ServeFromCache(request, inline_bytes_left)) {
    return CompleteOne(std::move(request), BlockStatus::kOk);
  }
  for_worker.push_back(std::move(request));
  return absl::OkStatus();
}

bool BlockDevice::ServeFromCache(const BlockRequest& request, uint64_t& inline_bytes_left) {
  if (request.type() != BlockRequestType::kRead || request.data_bytes > inline_bytes_left) {
    return false;
  }
  inline_bytes_left -= request.data_bytes;
  const absl::StatusOr<bool> all = disk_.ReadCached(request.offset(), request.data);
  return all.ok() && *all;  // an error is the worker's to find again and report
}

absl::Status BlockDevice::CompleteOne(BlockRequest request, BlockStatus status) {
  stats_.set_requests(stats_.requests() + 1);
  if (status == BlockStatus::kOk && request.type() == BlockRequestType::kRead) {
    stats_.set_read_bytes(stats_.read_bytes() + request.data_bytes);
  }
  if (status == BlockStatus::kOk && request.type() == BlockRequestType::kWrite) {
    stats_.set_written_bytes(stats_.written_bytes() + request.data_bytes);
  }
  const uint32_t written = WriteBlockStatus(request, status);
  return queue_->Complete(std::move(request.chain), written);
}

void BlockDevice::CompleteFinished() {
  absl::Status completed;
  for (BlockWorker::Finished& finished : worker_.TakeFinished()) {
    completed.Update(CompleteOne(std::move(finished.request), finished.status));
  }
  if (queue_ != nullptr) completed.Update(queue_->Flush());
  if (!completed.ok() && notifier() != nullptr) notifier()->OnGuestViolation(completed);
}

msb::vmm::v1::DeviceState BlockDevice::Save() const {
  msb::vmm::v1::DeviceState state;
  msb::vmm::v1::BlockState& block = *state.mutable_block();
  block.set_capacity_sectors(disk_.sectors());
  block.set_read_only(disk_.read_only());
  block.set_writeback(config_.writeback != 0);
  return state;
}

absl::Status BlockDevice::Restore(const msb::vmm::v1::DeviceState& state) {
  if (!state.has_block()) return MakeError(Reason::kStateInvalid, "block: state of another device");
  if (state.block().capacity_sectors() != disk_.sectors() ||
      state.block().read_only() != disk_.read_only()) {
    return MakeError(Reason::kStateInvalid, "block: the disk is not the one that was saved");
  }
  config_.writeback = state.block().writeback() ? 1 : 0;
  return absl::OkStatus();
}

}  // namespace msb
