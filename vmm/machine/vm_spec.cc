// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/machine/vm_spec.h"

#include <fcntl.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "vmm/boot/address_map.h"
#include "vmm/boot/mp_table.h"
#include "vmm/machine/console_log.h"
#include "vmm/qemu/command_line.h"

namespace msb {
namespace {

using msb::vmm::v1::VmSpec;

constexpr int kFirstDescriptor = 3;

absl::Status Invalid(absl::string_view field, absl::string_view what) {
  return MakeError(Reason::kVmSpecInvalid, absl::StrCat(field, ": ", what));
}

absl::Status CheckRange(absl::string_view field, uint64_t value, uint64_t least, uint64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return Invalid(field, absl::StrCat(value, " is not in ", least, "..", most));
}

absl::Status CheckText(absl::string_view field, absl::string_view text, size_t max_bytes) {
  const auto visible = [](char c) { return absl::ascii_isgraph(c); };
  if (!text.empty() && text.size() <= max_bytes && std::all_of(text.begin(), text.end(), visible)) {
    return absl::OkStatus();
  }
  return Invalid(field, absl::StrCat("1..", max_bytes, " printable characters are allowed"));
}

enum class Presence { kRequired, kOptional };

// Remembers what was named, since each descriptor gets one owner.
class Descriptors {
 public:
  absl::Status Check(absl::string_view field, int fd, Presence presence) {
    if (fd == 0 && presence == Presence::kOptional) return absl::OkStatus();
    if (fd < kFirstDescriptor) {
      return Invalid(field,
                     absl::StrCat(fd, " is no descriptor, ", kFirstDescriptor, " or more is"));
    }
    if (::fcntl(fd, F_GETFD) < 0) return Invalid(field, absl::StrCat(fd, " is not open"));
    if (!named_.insert(fd).second) return Invalid(field, absl::StrCat(fd, " is named twice"));
    return absl::OkStatus();
  }

 private:
  std::set<int> named_;
};

absl::Status CheckMoreFiles(const std::string& field, const msb::vmm::v1::Disk& disk,
                            Descriptors& descriptors) {
  MSB_RETURN_IF_ERROR(
      CheckRange(field, static_cast<uint64_t>(disk.more_fds_size()), 0, kMaxDiskFiles - 1));
  if (disk.more_fds_size() > 0 && !disk.read_only()) {
    return Invalid(field, "a disk that can be written to is one file");
  }
  for (const int fd : disk.more_fds()) {
    MSB_RETURN_IF_ERROR(descriptors.Check(field, fd, Presence::kRequired));
  }
  return absl::OkStatus();
}

absl::Status CheckDisks(const VmSpec& spec, Descriptors& descriptors) {
  MSB_RETURN_IF_ERROR(CheckRange("disks", static_cast<uint64_t>(spec.disks_size()), 0, kMaxDisks));
  for (int i = 0; i < spec.disks_size(); ++i) {
    const std::string field = absl::StrCat("disks[", i, "]");
    MSB_RETURN_IF_ERROR(CheckText(absl::StrCat(field, ".id"), spec.disks(i).id(), kMaxDiskIdBytes));
    MSB_RETURN_IF_ERROR(
        descriptors.Check(absl::StrCat(field, ".fd"), spec.disks(i).fd(), Presence::kRequired));
    MSB_RETURN_IF_ERROR(
        CheckMoreFiles(absl::StrCat(field, ".more_fds"), spec.disks(i), descriptors));
  }
  return absl::OkStatus();
}

absl::Status CheckFileSystems(const VmSpec& spec, Descriptors& descriptors) {
  MSB_RETURN_IF_ERROR(CheckRange("file_systems", static_cast<uint64_t>(spec.file_systems_size()), 0,
                                 kMaxFileSystems));
  std::set<std::string> tags;
  for (int i = 0; i < spec.file_systems_size(); ++i) {
    const std::string field = absl::StrCat("file_systems[", i, "]");
    const std::string& tag = spec.file_systems(i).tag();
    MSB_RETURN_IF_ERROR(CheckText(absl::StrCat(field, ".tag"), tag, kMaxFileSystemTagBytes));
    if (!tags.insert(tag).second) return Invalid(absl::StrCat(field, ".tag"), "it comes twice");
    MSB_RETURN_IF_ERROR(descriptors.Check(absl::StrCat(field, ".fd"), spec.file_systems(i).fd(),
                                          Presence::kRequired));
  }
  return absl::OkStatus();
}

absl::Status CheckNet(const msb::vmm::v1::Net& net, Descriptors& descriptors) {
  MSB_RETURN_IF_ERROR(descriptors.Check("net.listener_fd", net.listener_fd(), Presence::kRequired));
  MSB_RETURN_IF_ERROR(descriptors.Check("net.fd", net.fd(), Presence::kOptional));
  // Bit 0 of the first byte is that of groups.
  if (net.mac().size() != kMacBytes || (net.mac()[0] & 1) != 0) {
    return Invalid("net.mac", "the 6 bytes of a station's address are needed");
  }
  return CheckRange("net.mtu", net.mtu(), kMinMtu, kMaxMtu);
}

absl::Status CheckDevices(const VmSpec& spec, Descriptors& descriptors) {
  MSB_RETURN_IF_ERROR(CheckDisks(spec, descriptors));
  MSB_RETURN_IF_ERROR(CheckFileSystems(spec, descriptors));
  if (spec.has_vsock()) {
    MSB_RETURN_IF_ERROR(
        CheckRange("vsock.guest_cid", spec.vsock().guest_cid(), kMinGuestCid, kMaxGuestCid));
    MSB_RETURN_IF_ERROR(
        descriptors.Check("vsock.listener_fd", spec.vsock().listener_fd(), Presence::kRequired));
  }
  if (spec.has_net()) MSB_RETURN_IF_ERROR(CheckNet(spec.net(), descriptors));
  if (spec.balloon().enabled()) {
    MSB_RETURN_IF_ERROR(
        CheckRange("balloon.size_mib", spec.balloon().size_mib(), 0, spec.memory_mib() - 1));
  }
  if (spec.has_console()) {
    MSB_RETURN_IF_ERROR(descriptors.Check("console.fd", spec.console().fd(), Presence::kRequired));
    if (spec.console().limit_bytes() != 0) {
      MSB_RETURN_IF_ERROR(CheckRange("console.limit_bytes", spec.console().limit_bytes(),
                                     ConsoleLog::kMinLimitBytes, ConsoleLog::kMaxLimitBytes));
    }
  }
  return absl::OkStatus();
}

// Found here, and not when the machine is half built.
absl::Status CheckPlaces(const VmSpec& spec) {
  const size_t wanted = static_cast<size_t>(spec.disks_size() + spec.file_systems_size()) +
                        spec.has_vsock() + spec.has_net() + spec.rng() + spec.balloon().enabled();
  if (spec.has_save() && wanted > 0) return Invalid("save", "a boot snapshot has no devices");
  const bool qemu = spec.engine() == msb::vmm::v1::ENGINE_QEMU;
  const size_t places = qemu ? kMaxQemuDevices : std::size(address_map::kVirtioInterrupts);
  if (wanted <= places) return absl::OkStatus();
  return MakeError(
      qemu ? Reason::kUnsupportedByEngine : Reason::kVmSpecInvalid,
      absl::StrCat(wanted, " devices (disks, file systems, vsock, net, rng, balloon); the engine ",
                   qemu ? "qemu" : "kvm", " has ", places, " places"));
}

absl::Status CheckDirectory(absl::string_view field, absl::string_view path) {
  if (absl::StartsWith(path, "/") && !absl::StrContains(path, '\0')) return absl::OkStatus();
  return Invalid(field, "an absolute path is needed");
}

absl::Status CheckSnapshotFiles(const std::string& field, const msb::vmm::v1::BootSnapshot& files,
                                Descriptors& descriptors) {
  MSB_RETURN_IF_ERROR(
      descriptors.Check(absl::StrCat(field, ".memory_fd"), files.memory_fd(), Presence::kRequired));
  return descriptors.Check(absl::StrCat(field, ".state_fd"), files.state_fd(), Presence::kRequired);
}

// The kernel and its initramfs, or the snapshot that holds both.
absl::Status CheckBoot(const VmSpec& spec, Descriptors& descriptors) {
  if (spec.has_restore()) {
    if (spec.has_save())
      return Invalid("restore", "a machine that is saved begins with its kernel");
    if (spec.kernel_fd() != 0 || spec.initramfs_fd() != 0) {
      return Invalid("restore", "its machine has kernel and initramfs");
    }
    // Else nothing would tell the guest what it is to be.
    if (!spec.has_vsock()) return Invalid("restore", "vsock is needed");
    return CheckSnapshotFiles("restore", spec.restore(), descriptors);
  }
  MSB_RETURN_IF_ERROR(descriptors.Check("kernel_fd", spec.kernel_fd(), Presence::kRequired));
  const bool optional = spec.engine() == msb::vmm::v1::ENGINE_KVM;
  MSB_RETURN_IF_ERROR(descriptors.Check("initramfs_fd", spec.initramfs_fd(),
                                        optional ? Presence::kOptional : Presence::kRequired));
  return spec.has_save() ? CheckSnapshotFiles("save", spec.save(), descriptors) : absl::OkStatus();
}

absl::Status CheckEngine(const VmSpec& spec, Descriptors& descriptors) {
  switch (spec.engine()) {
    case msb::vmm::v1::ENGINE_KVM:
      return descriptors.Check("kvm.kvm_fd", spec.kvm().kvm_fd(), Presence::kRequired);
    case msb::vmm::v1::ENGINE_QEMU:
      MSB_RETURN_IF_ERROR(CheckDirectory("qemu.directory", spec.qemu().directory()));
      if (spec.qemu().accelerator() != "tcg" && spec.qemu().accelerator() != "kvm") {
        return Invalid("qemu.accelerator", "tcg and kvm are allowed");
      }
      return absl::OkStatus();
    default:
      return Invalid("engine", absl::StrCat(static_cast<int>(spec.engine()), " is no engine"));
  }
}

}  // namespace

absl::Status ValidateSpec(const VmSpec& spec) {
  Descriptors descriptors;
  MSB_RETURN_IF_ERROR(CheckText("id", spec.id(), kMaxIdBytes));
  MSB_RETURN_IF_ERROR(CheckRange("vcpus", spec.vcpus(), 1, kMaxVcpus));
  MSB_RETURN_IF_ERROR(CheckRange("memory_mib", spec.memory_mib(), kMinMemoryMib, kMaxMemoryMib));
  MSB_RETURN_IF_ERROR(CheckBoot(spec, descriptors));
  MSB_RETURN_IF_ERROR(descriptors.Check("control_fd", spec.control_fd(), Presence::kRequired));
  MSB_RETURN_IF_ERROR(
      descriptors.Check("exit_event_fd", spec.exit_event_fd(), Presence::kOptional));
  MSB_RETURN_IF_ERROR(CheckEngine(spec, descriptors));
  MSB_RETURN_IF_ERROR(CheckDevices(spec, descriptors));
  return CheckPlaces(spec);
}

}  // namespace msb
