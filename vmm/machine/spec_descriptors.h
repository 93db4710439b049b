// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The descriptors that a VmSpec names, each with an owner.

#ifndef MSB_VMM_MACHINE_SPEC_DESCRIPTORS_H_
#define MSB_VMM_MACHINE_SPEC_DESCRIPTORS_H_

#include <vector>

#include "base/unique_fd.h"
#include "msb/vmm/v1/vm_spec.pb.h"
#include "vmm/machine/machine.h"

namespace msb {

struct SpecDescriptors {
  // Takes over what `spec`, which ValidateSpec has passed, names. Once a process. What is not named
  // is invalid.
  explicit SpecDescriptors(const msb::vmm::v1::VmSpec& spec)
      : kernel(Named(spec.kernel_fd())),
        initramfs(Named(spec.initramfs_fd())),
        control(Named(spec.control_fd())),
        kvm(Named(spec.engine() == msb::vmm::v1::ENGINE_KVM ? spec.kvm().kvm_fd() : 0)),
        vsock_listener(Named(spec.vsock().listener_fd())),
        net(Named(spec.net().fd())),
        net_listener(Named(spec.net().listener_fd())),
        console(Named(spec.console().fd())),
        exit_event(Named(spec.exit_event_fd())),
        save(Named(spec.save())),
        restore(Named(spec.restore())) {
    for (const msb::vmm::v1::Disk& disk : spec.disks()) {
      std::vector<UniqueFd>& files = disks.emplace_back();
      files.emplace_back(disk.fd());
      for (const int fd : disk.more_fds()) files.emplace_back(fd);
    }
    for (const msb::vmm::v1::FileSystem& file_system : spec.file_systems()) {
      file_systems.push_back(UniqueFd(file_system.fd()));
    }
  }

  UniqueFd kernel;
  UniqueFd initramfs;
  UniqueFd control;
  UniqueFd kvm;
  UniqueFd vsock_listener;
  UniqueFd net;
  UniqueFd net_listener;
  UniqueFd console;
  UniqueFd exit_event;
  BootSnapshotFiles save;
  BootSnapshotFiles restore;
  std::vector<std::vector<UniqueFd>> disks;  // each of one file or more
  std::vector<UniqueFd> file_systems;

 private:
  static UniqueFd Named(int number) { return number == 0 ? UniqueFd() : UniqueFd(number); }
  static BootSnapshotFiles Named(const msb::vmm::v1::BootSnapshot& files) {
    return {.memory = Named(files.memory_fd()), .state = Named(files.state_fd())};
  }
};

}  // namespace msb

#endif  // MSB_VMM_MACHINE_SPEC_DESCRIPTORS_H_
