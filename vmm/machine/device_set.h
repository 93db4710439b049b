// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The virtio devices that a spec asks for, whichever engine drives them: all but the balloon, which
// needs the guest's memory and is the engine's own.
//
// Threading: the event loop's.

#ifndef MSB_VMM_MACHINE_DEVICE_SET_H_
#define MSB_VMM_MACHINE_DEVICE_SET_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "jailer/policy/filter.h"
#include "msb/vmm/v1/control.pb.h"
#include "msb/vmm/v1/vm_spec.pb.h"
#include "vmm/devices/virtio/block/block_device.h"
#include "vmm/devices/virtio/fs/fs_device.h"
#include "vmm/devices/virtio/net/net_device.h"
#include "vmm/devices/virtio/rng_device.h"
#include "vmm/devices/virtio/virtio_device.h"
#include "vmm/devices/virtio/vsock/boot_service.h"
#include "vmm/devices/virtio/vsock/mark_service.h"
#include "vmm/devices/virtio/vsock/vsock_device.h"
#include "vmm/machine/spec_descriptors.h"

namespace msb {

class DeviceSet {
 public:
  // Takes disks, file servers and the listeners of vsock and net out of `descriptors`. `loop` and
  // `marks` outlive the set. `seccomp`: of the disks' threads. kVmSpecInvalid for a disk that is no
  // file, kHostError.
  static absl::StatusOr<std::unique_ptr<DeviceSet>> Create(EventLoop& loop,
                                                           const msb::vmm::v1::VmSpec& spec,
                                                           SpecDescriptors& descriptors,
                                                           BootMarkObserver& marks,
                                                           Seccomp seccomp);

  // In the order in which the guest is to find them: vsock, disks (vda, vdb, ...), file systems,
  // net, and last what its boot does not need: rng.
  std::vector<VirtioDevice*> devices() const;

  // Sets the fields of the devices.
  void FillStats(msb::vmm::v1::Stats& stats) const;

 private:
  explicit DeviceSet(BootMarkObserver& marks) : mark_service_(marks) {}
  absl::Status AddDisks(EventLoop& loop, const msb::vmm::v1::VmSpec& spec,
                        std::vector<std::vector<UniqueFd>> files, Seccomp seccomp);
  absl::Status AddFileSystems(EventLoop& loop, const msb::vmm::v1::VmSpec& spec,
                              std::vector<UniqueFd> servers);
  absl::Status AddVsock(EventLoop& loop, const msb::vmm::v1::VmSpec& spec, UniqueFd listener);

  absl::Status AddNet(EventLoop& loop, const msb::vmm::v1::VmSpec& spec, UniqueFd listener,
                      UniqueFd wire);

  struct NamedDisk {
    std::string id;
    std::unique_ptr<BlockDevice> device;
  };
  std::vector<NamedDisk> disks_;
  MarkService mark_service_;                   // outlives the vsock device
  std::unique_ptr<BootService> boot_service_;  // the same
  std::unique_ptr<VsockDevice> vsock_;
  std::unique_ptr<RngDevice> rng_;
  std::vector<std::unique_ptr<FsDevice>> file_systems_;
  std::unique_ptr<NetDevice> net_;
};

}  // namespace msb

#endif  // MSB_VMM_MACHINE_DEVICE_SET_H_
