// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/machine/device_set.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

// An inherited listener may be a blocking one.
absl::Status SetNonBlocking(int fd) {
  MSB_ASSIGN_OR_RETURN(const int flags, Syscall("fcntl", [&] { return ::fcntl(fd, F_GETFL); }));
  return status_internal::ToStatus(
      Syscall("fcntl", [&] { return ::fcntl(fd, F_SETFL, flags | O_NONBLOCK); }));
}

// All but rng and balloon.
uint32_t BootDevices(const msb::vmm::v1::VmSpec& spec) {
  return static_cast<uint32_t>(1 + spec.disks_size() + spec.file_systems_size() + spec.has_net());
}

// It fails only where CheckSeccomp did.
void ConfineDiskThread() { MSB_CHECK(ConfineThread(SeccompPolicy::kDisk).ok()); }

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceSet>> DeviceSet::Create(EventLoop& loop,
                                                             const msb::vmm::v1::VmSpec& spec,
                                                             SpecDescriptors& descriptors,
                                                             BootMarkObserver& marks,
                                                             Seccomp seccomp) {
  std::unique_ptr<DeviceSet> set(new DeviceSet(marks));
  MSB_RETURN_IF_ERROR(set->AddDisks(loop, spec, std::move(descriptors.disks), seccomp));
  MSB_RETURN_IF_ERROR(set->AddVsock(loop, spec, std::move(descriptors.vsock_listener)));
  MSB_RETURN_IF_ERROR(
      set->AddNet(loop, spec, std::move(descriptors.net_listener), std::move(descriptors.net)));
  if (spec.rng()) set->rng_ = std::make_unique<RngDevice>(loop);
  MSB_RETURN_IF_ERROR(set->AddFileSystems(loop, spec, std::move(descriptors.file_systems)));
  return set;
}

absl::Status DeviceSet::AddDisks(EventLoop& loop, const msb::vmm::v1::VmSpec& spec,
                                 std::vector<std::vector<UniqueFd>> files, Seccomp seccomp) {
  for (int i = 0; i < spec.disks_size(); ++i) {
    const msb::vmm::v1::Disk& wanted = spec.disks(i);
    std::vector<UniqueFd>& parts = files[static_cast<size_t>(i)];
    absl::StatusOr<DiskFile> file =
        wanted.read_only() ? DiskFile::OpenParts(std::move(parts))
                           : DiskFile::Open(std::move(parts[0]), DiskFile::Access::kReadWrite);
    if (!file.ok()) {
      return WithReason(Reason::kVmSpecInvalid, absl::StrCat("disks[", i, "].fd"), file.status());
    }
    BlockDevice::Options options;
    options.id = wanted.id();
    if (seccomp == Seccomp::kInForce) options.on_thread_start = ConfineDiskThread;
    disks_.push_back(
        {wanted.id(), std::make_unique<BlockDevice>(loop, *std::move(file), std::move(options))});
  }
  return absl::OkStatus();
}

absl::Status DeviceSet::AddFileSystems(EventLoop& loop, const msb::vmm::v1::VmSpec& spec,
                                       std::vector<UniqueFd> servers) {
  for (int i = 0; i < spec.file_systems_size(); ++i) {
    auto device = FsDevice::Create(loop, std::move(servers[static_cast<size_t>(i)]),
                                   {.tag = spec.file_systems(i).tag()});
    if (!device.ok()) {
      return WithReason(Reason::kVmSpecInvalid, absl::StrCat("file_systems[", i, "]"),
                        device.status());
    }
    file_systems_.push_back(*std::move(device));
  }
  return absl::OkStatus();
}

absl::Status DeviceSet::AddVsock(EventLoop& loop, const msb::vmm::v1::VmSpec& spec,
                                 UniqueFd listener) {
  if (!spec.has_vsock()) return absl::OkStatus();
  absl::Status ready = SetNonBlocking(listener.get());
  vsock_ = std::make_unique<VsockDevice>(loop, spec.vsock().guest_cid());
  vsock_->RegisterHostService(MarkService::kPort, mark_service_);
  if (spec.has_restore()) {
    MSB_ASSIGN_OR_RETURN(boot_service_,
                         BootService::Create(loop, spec.command_line(), BootDevices(spec)));
    vsock_->RegisterHostService(BootService::kPort, *boot_service_);
  }
  if (ready.ok()) ready = vsock_->Listen(std::move(listener));
  if (!ready.ok()) return WithReason(Reason::kHostError, "vsock.listener_fd", ready);
  return absl::OkStatus();
}

absl::Status DeviceSet::AddNet(EventLoop& loop, const msb::vmm::v1::VmSpec& spec, UniqueFd listener,
                               UniqueFd wire) {
  if (!spec.has_net()) return absl::OkStatus();
  NetDevice::Mac mac{};
  std::copy_n(spec.net().mac().begin(), mac.size(), mac.begin());
  net_ = std::make_unique<NetDevice>(loop, mac, static_cast<uint16_t>(spec.net().mtu()));
  absl::Status ready = SetNonBlocking(listener.get());
  if (ready.ok()) ready = net_->Listen(std::move(listener));
  if (!ready.ok()) return WithReason(Reason::kHostError, "net.listener_fd", ready);
  if (wire.valid()) net_->Attach(std::move(wire));
  return absl::OkStatus();
}

std::vector<VirtioDevice*> DeviceSet::devices() const {
  std::vector<VirtioDevice*> list;
  if (vsock_ != nullptr) list.push_back(vsock_.get());
  for (const NamedDisk& disk : disks_) list.push_back(disk.device.get());
  for (const auto& file_system : file_systems_) list.push_back(file_system.get());
  if (net_ != nullptr) list.push_back(net_.get());
  if (rng_ != nullptr) list.push_back(rng_.get());
  return list;
}

void DeviceSet::FillStats(msb::vmm::v1::Stats& stats) const {
  for (const NamedDisk& disk : disks_) {
    msb::vmm::v1::DiskStats& entry = *stats.add_disks();
    entry = disk.device->stats();
    entry.set_id(disk.id);
  }
  if (vsock_ != nullptr) vsock_->FillStats(stats);
  if (net_ != nullptr) net_->FillStats(stats);
}

}  // namespace msb
