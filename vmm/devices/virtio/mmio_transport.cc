// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/mmio_transport.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/syscall.h"
#include "vmm/devices/virtio/spec/device.h"

namespace msb {

using virtio::MmioRegister;

namespace {

constexpr uint32_t kVendorId = 0x0042534d;  // "MSB"
constexpr uint32_t kDriverStatusBits = virtio::kStatusAcknowledge | virtio::kStatusDriver |
                                       virtio::kStatusDriverOk | virtio::kStatusFeaturesOk |
                                       virtio::kStatusFailed;
constexpr uint64_t kTransportFeatures =
    virtio::kFeatureVersion1 | virtio::kFeatureIndirectDescriptors | virtio::kFeatureEventIndex;

absl::StatusOr<UniqueFd> MakeEvent() {
  MSB_ASSIGN_OR_RETURN(const int fd,
                       Syscall("eventfd", [] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }));
  return UniqueFd(fd);
}

absl::StatusOr<std::vector<UniqueFd>> MakeEvents(size_t count) {
  std::vector<UniqueFd> events;
  while (events.size() < count) {
    MSB_ASSIGN_OR_RETURN(UniqueFd event, MakeEvent());
    events.push_back(std::move(event));
  }
  return events;
}

void Drain(int event) {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(event, &count, sizeof(count));
}

void Signal(int event) {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then it is signalled already.
  [[maybe_unused]] const ssize_t written = ::write(event, &one, sizeof(one));
}

uint32_t Half(uint64_t value, uint32_t select) {
  if (select > 1) return 0;
  return static_cast<uint32_t>(value >> (32 * select));
}

void SetLow(GuestAddress& address, uint32_t value) {
  address = GuestAddress{(ToUint64(address) & ~uint64_t{0xffffffff}) | value};
}

void SetHigh(GuestAddress& address, uint32_t value) {
  address = GuestAddress{(ToUint64(address) & 0xffffffff) | uint64_t{value} << 32};
}

}  // namespace

absl::StatusOr<std::unique_ptr<MmioTransport>> MmioTransport::Create(EventLoop& loop,
                                                                     const GuestMemory& memory,
                                                                     VirtioDevice& device) {
  MSB_ASSIGN_OR_RETURN(UniqueFd irq_event, MakeEvent());
  const size_t queues = device.max_queue_sizes().size();
  MSB_ASSIGN_OR_RETURN(std::vector<UniqueFd> notify_events, MakeEvents(queues));
  MSB_ASSIGN_OR_RETURN(std::vector<UniqueFd> call_events,
                       MakeEvents(device.watches_kicks() ? queues : 0));
  std::unique_ptr<MmioTransport> transport(
      new MmioTransport(loop, memory, device, std::move(irq_event), std::move(notify_events),
                        std::move(call_events)));
  MSB_RETURN_IF_ERROR(transport->WatchEvents());
  return transport;
}

MmioTransport::MmioTransport(EventLoop& loop, const GuestMemory& memory, VirtioDevice& device,
                             UniqueFd irq_event, std::vector<UniqueFd> notify_events,
                             std::vector<UniqueFd> call_events)
    : loop_(loop),
      memory_(memory),
      device_(device),
      device_id_(device.id()),
      max_queue_sizes_(device.max_queue_sizes().begin(), device.max_queue_sizes().end()),
      offered_features_(device.features() | kTransportFeatures),
      irq_event_(std::move(irq_event)),
      notify_events_(std::move(notify_events)),
      call_events_(std::move(call_events)),
      gate_(loop),
      registers_(InitialRegisters()) {
  device_.set_notifier(this);
  RefreshConfig();
}

MmioTransport::~MmioTransport() {
  Close();
  for (const UniqueFd& event : notify_events_) loop_.Unwatch(event.get());
  for (const UniqueFd& event : call_events_) loop_.Unwatch(event.get());
  DropQueues();
  device_.set_notifier(nullptr);
}

absl::Status MmioTransport::WatchEvents() {
  for (uint16_t index = 0; index < notify_events_.size(); ++index) {
    if (device_.watches_kicks()) {
      MSB_RETURN_IF_ERROR(loop_.Watch(call_events_[index].get(), EPOLLIN,
                                      [this, index](uint32_t) { OnCall(index); }));
    } else {
      MSB_RETURN_IF_ERROR(loop_.Watch(notify_events_[index].get(), EPOLLIN,
                                      [this, index](uint32_t) { OnKick(index); }));
    }
  }
  return absl::OkStatus();
}

MmioTransport::Registers MmioTransport::InitialRegisters() const {
  Registers registers;
  registers.queues.resize(max_queue_sizes_.size());
  return registers;
}

// --- vCPU threads ---

void MmioTransport::Read(uint64_t offset, absl::Span<uint8_t> data) {
  if (offset >= static_cast<uint64_t>(MmioRegister::kConfig)) {
    return ReadConfig(offset - static_cast<uint64_t>(MmioRegister::kConfig), data);
  }
  std::fill(data.begin(), data.end(), uint8_t{0});
  if (data.size() != sizeof(uint32_t) || offset % sizeof(uint32_t) != 0) return;
  const uint32_t value = ReadRegister(MmioRegister{offset});
  std::memcpy(data.data(), &value, sizeof(value));
}

void MmioTransport::Write(uint64_t offset, absl::Span<const uint8_t> data) {
  if (offset >= static_cast<uint64_t>(MmioRegister::kConfig)) {
    return WriteConfig(offset - static_cast<uint64_t>(MmioRegister::kConfig), data);
  }
  if (data.size() != sizeof(uint32_t) || offset % sizeof(uint32_t) != 0) return;
  uint32_t value = 0;
  std::memcpy(&value, data.data(), sizeof(value));
  WriteRegister(MmioRegister{offset}, value);
}

uint32_t MmioTransport::ReadRegister(MmioRegister name) {
  if (name == MmioRegister::kInterruptStatus) {  // the one that is read again and again: no lock
    return interrupt_status_.load(std::memory_order_acquire);
  }
  absl::MutexLock lock(&mutex_);
  const uint32_t selected = registers_.queue_select;
  const bool queue_exists = selected < registers_.queues.size();
  switch (name) {
    case MmioRegister::kMagic:
      return virtio::kMmioMagic;
    case MmioRegister::kVersion:
      return virtio::kMmioVersion;
    case MmioRegister::kDeviceId:
      return static_cast<uint32_t>(device_id_);
    case MmioRegister::kVendorId:
      return kVendorId;
    case MmioRegister::kDeviceFeatures:
      return Half(offered_features_, registers_.device_features_select);
    case MmioRegister::kQueueSizeMax:
      return queue_exists ? max_queue_sizes_[selected] : 0;
    case MmioRegister::kQueueReady:
      return queue_exists && registers_.queues[selected].ready ? 1 : 0;
    case MmioRegister::kStatus:
      return registers_.status;
    case MmioRegister::kConfigGeneration:
      return config_generation_;
    case MmioRegister::kSharedMemoryLengthLow:
    case MmioRegister::kSharedMemoryLengthHigh:
    case MmioRegister::kSharedMemoryBaseLow:
    case MmioRegister::kSharedMemoryBaseHigh:
      return virtio::kNoSharedMemory;
    default:
      return 0;  // write-only or unknown
  }
}

void MmioTransport::WriteRegister(MmioRegister name, uint32_t value) {
  // The two of the running device: no lock.
  if (name == MmioRegister::kQueueNotify) return Kick(value);
  if (name == MmioRegister::kInterruptAcknowledge) {
    interrupt_status_.fetch_and(~value, std::memory_order_acq_rel);
    return;
  }
  absl::MutexLock write_lock(&write_mutex_);
  if (name == MmioRegister::kStatus) return WriteStatus(value);
  if (name == MmioRegister::kQueueReady) return WriteQueueReady(value);
  absl::MutexLock lock(&mutex_);
  switch (name) {
    case MmioRegister::kDeviceFeaturesSelect:
      registers_.device_features_select = value;
      return;
    case MmioRegister::kDriverFeaturesSelect:
      registers_.driver_features_select = value;
      return;
    case MmioRegister::kDriverFeatures: {
      const uint32_t half = registers_.driver_features_select;
      const bool settled = (registers_.status & virtio::kStatusFeaturesOk) != 0;
      if (settled || half > 1) return;
      const uint64_t mask = uint64_t{0xffffffff} << (32 * half);
      registers_.driver_features = (registers_.driver_features & ~mask) | uint64_t{value}
                                                                              << (32 * half);
      return;
    }
    case MmioRegister::kQueueSelect:
      registers_.queue_select = value;
      return;
    default:
      WriteQueueRegister(name, value);
  }
}

void MmioTransport::WriteQueueRegister(MmioRegister name, uint32_t value) {
  // 4.2.2.2: a queue is laid out between FEATURES_OK and DRIVER_OK, while it is not ready.
  if ((registers_.status & virtio::kStatusFeaturesOk) == 0) return;
  if ((registers_.status & virtio::kStatusDriverOk) != 0) return;
  if (registers_.queue_select >= registers_.queues.size()) return;
  QueueRegisters& queue = registers_.queues[registers_.queue_select];
  if (queue.ready) return;
  switch (name) {
    case MmioRegister::kQueueSize:
      // A size that is no queue's is kept: Virtqueue refuses it, and the driver learns of its bug.
      if (value > max_queue_sizes_[registers_.queue_select]) value = 0;
      queue.layout.size = static_cast<uint16_t>(value);
      return;
    case MmioRegister::kQueueDescriptorLow:
      return SetLow(queue.layout.descriptor_table, value);
    case MmioRegister::kQueueDescriptorHigh:
      return SetHigh(queue.layout.descriptor_table, value);
    case MmioRegister::kQueueDriverLow:
      return SetLow(queue.layout.driver_area, value);
    case MmioRegister::kQueueDriverHigh:
      return SetHigh(queue.layout.driver_area, value);
    case MmioRegister::kQueueDeviceLow:
      return SetLow(queue.layout.device_area, value);
    case MmioRegister::kQueueDeviceHigh:
      return SetHigh(queue.layout.device_area, value);
    default:
      return;  // read-only or unknown
  }
}

void MmioTransport::WriteQueueReady(uint32_t value) {
  {
    absl::MutexLock lock(&mutex_);
    if (registers_.queue_select >= registers_.queues.size()) return;
    QueueRegisters& queue = registers_.queues[registers_.queue_select];
    if ((registers_.status & virtio::kStatusDriverOk) == 0) {
      queue.ready = value == 1 && (registers_.status & virtio::kStatusFeaturesOk) != 0;
      return;
    }
    if (value != 0 || !queue.ready) return;
  }
  // The driver stops a queue that is in use, and may take its memory back once it reads zero. Our
  // devices work with all of their queues or none: the device stops, and wants the reset that
  // follows.
  gate_.Run([this] { StopDevice(); });
}

void MmioTransport::ReadConfig(uint64_t offset, absl::Span<uint8_t> data) {
  std::fill(data.begin(), data.end(), uint8_t{0});
  absl::MutexLock lock(&mutex_);
  if (offset > config_.size() || data.size() > config_.size() - offset) return;
  std::memcpy(data.data(), config_.data() + offset, data.size());
}

void MmioTransport::WriteConfig(uint64_t offset, absl::Span<const uint8_t> data) {
  absl::MutexLock write_lock(&write_mutex_);
  {
    absl::MutexLock lock(&mutex_);
    if (offset > config_.size() || data.size() > config_.size() - offset) return;
  }
  gate_.Run([&] {
    if (phase_ == Phase::kBroken) return;
    device_.WriteConfig(static_cast<uint32_t>(offset), data);
    RefreshConfig();
  });
}

void MmioTransport::WriteStatus(uint32_t value) {
  if (value == 0) return gate_.Run([this] { ResetDevice(); });
  bool is_driver_ok = false;
  {
    absl::MutexLock lock(&mutex_);
    is_driver_ok = AcceptStatusLocked(value);
  }
  if (is_driver_ok) gate_.Run([this] { ActivateDevice(); });
}

// Takes over what the driver may set now; whether DRIVER_OK is among it.
bool MmioTransport::AcceptStatusLocked(uint32_t value) {
  uint32_t& status = registers_.status;
  if ((status & ~value & kDriverStatusBits) != 0) return false;  // 2.1.1: no bit is cleared singly
  uint32_t added = value & ~status & kDriverStatusBits;
  if ((added & virtio::kStatusFeaturesOk) != 0) {
    const uint64_t features = registers_.driver_features;
    const bool acceptable = (features & ~offered_features_) == 0 &&
                            (features & virtio::kFeatureVersion1) != 0 &&
                            (value & virtio::kStatusDriver) != 0;
    if (!acceptable)
      added &= ~virtio::kStatusFeaturesOk;  // 3.1.1, step 6: the driver reads it back
  }
  const bool is_driver_ok = (added & virtio::kStatusDriverOk) != 0 &&
                            ((status | added) & virtio::kStatusFeaturesOk) != 0 &&
                            (status & (virtio::kStatusNeedsReset | virtio::kStatusFailed)) == 0;
  status |= added & ~virtio::kStatusDriverOk;  // that one is set once it is true
  return is_driver_ok;
}

void MmioTransport::Kick(uint32_t index) {
  if (index < notify_events_.size()) Signal(notify_events_[index].get());
}

// --- The loop's thread ---

void MmioTransport::OnKick(uint16_t index) {
  Drain(notify_events_[index].get());
  if (phase_ != Phase::kActive || queue_of_[index] == nullptr) return;
  const absl::Status served = device_.OnNotify(index);
  if (!served.ok()) Break(served);
}

// Whoever serves the queue has no interrupt status to set: that is here.
void MmioTransport::OnCall(uint16_t index) {
  Drain(call_events_[index].get());
  if (phase_ == Phase::kActive) Interrupt(virtio::kInterruptUsedBuffer);
}

void MmioTransport::ActivateDevice() {
  Registers registers;
  {
    absl::MutexLock lock(&mutex_);
    registers_.status |= virtio::kStatusDriverOk;
    registers = registers_;
  }
  if (const absl::Status built = BuildQueues(registers); !built.ok()) return AskForReset(built);
  phase_ = Phase::kActive;
  const absl::Status activated = device_.Activate(registers.driver_features, queue_of_);
  if (!activated.ok()) Break(activated);
}

absl::Status MmioTransport::BuildQueues(const Registers& registers) {
  const bool event_index = (registers.driver_features & virtio::kFeatureEventIndex) != 0;
  queues_.clear();
  queue_of_.assign(registers.queues.size(), nullptr);
  for (size_t i = 0; i < registers.queues.size(); ++i) {
    if (!registers.queues[i].ready) continue;
    MSB_ASSIGN_OR_RETURN(Virtqueue queue,
                         Virtqueue::Create(memory_, registers.queues[i].layout, event_index,
                                           [this] { Interrupt(virtio::kInterruptUsedBuffer); }));
    if (device_.watches_kicks()) {
      queue.set_events({.kick = notify_events_[i].get(), .call = call_events_[i].get()});
    }
    queues_.push_back(std::move(queue));
    queue_of_[i] = &queues_.back();
  }
  return absl::OkStatus();
}

// First the device, then what it used.
void MmioTransport::DropQueues() {
  if (phase_ != Phase::kIdle) device_.Reset();
  phase_ = Phase::kIdle;
  queue_of_.clear();
  queues_.clear();
}

void MmioTransport::ResetDevice() {
  DropQueues();
  RefreshConfig();
  interrupt_status_.store(0, std::memory_order_release);
  absl::MutexLock lock(&mutex_);
  registers_ = InitialRegisters();
}

void MmioTransport::StopDevice() {
  DropQueues();
  absl::MutexLock lock(&mutex_);
  registers_.status |= virtio::kStatusNeedsReset;
  for (QueueRegisters& queue : registers_.queues) queue.ready = false;
}

void MmioTransport::Break(const absl::Status& why) {
  if (phase_ != Phase::kActive) return;
  phase_ = Phase::kBroken;
  AskForReset(why);
}

// 2.1.2.
void MmioTransport::AskForReset(const absl::Status& why) {
  // Once a device: a guest must not fill the log.
  if (!std::exchange(violation_logged_, true)) {
    MSB_LOG(kWarning) << "virtio device " << static_cast<uint32_t>(device_id_)
                      << " needs a reset: " << why.message();
  }
  {
    absl::MutexLock lock(&mutex_);
    registers_.status |= virtio::kStatusNeedsReset;
    ++config_generation_;
  }
  Interrupt(virtio::kInterruptConfigChange);
}

void MmioTransport::OnGuestViolation(const absl::Status& why) { Break(why); }

void MmioTransport::OnConfigChanged() {
  RefreshConfig();
  {
    absl::MutexLock lock(&mutex_);
    ++config_generation_;
    if ((registers_.status & virtio::kStatusDriverOk) == 0) return;
  }
  Interrupt(virtio::kInterruptConfigChange);
}

void MmioTransport::RefreshConfig() {
  const absl::Span<const uint8_t> current = device_.config();
  absl::MutexLock lock(&mutex_);
  config_.assign(current.begin(), current.end());
}

void MmioTransport::Interrupt(uint32_t cause) {
  interrupt_status_.fetch_or(cause, std::memory_order_acq_rel);
  Signal(irq_event_.get());
}

}  // namespace msb
