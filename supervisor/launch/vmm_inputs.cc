// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/vmm_inputs.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "supervisor/launch/command_line.h"
#include "supervisor/launch/host_file.h"
#include "supervisor/launch/sealed_frame.h"

namespace msb {
namespace {

namespace pb = msb::vmm::v1;

// Ranges of vm_spec.proto.
constexpr uint32_t kMaxVcpus = 32;
constexpr uint32_t kMinMemoryMib = 64;
constexpr uint32_t kMaxMemoryMib = 1u << 20;
constexpr size_t kMaxDiskIdBytes = 20;
// Keeps the paths of sockets short enough, and is the limit of the jailer's --id.
constexpr size_t kMaxIdBytes = 40;
constexpr uint32_t kMinCpuMilli = 10;       // the shortest quota that the kernel takes
constexpr uint64_t kLayerAlignment = 4096;  // what the guest mounts begins with a block

bool IsId(absl::string_view id) {
  return !id.empty() && id.size() <= kMaxIdBytes && id != "." && id != ".." &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' ||
                  c == '.';
         });
}

// QEMU opens it once more through /proc, as the sandbox's user. Asked for in either engine, so that
// the mistake shows at once.
absl::StatusOr<UniqueFd> OpenAsset(absl::string_view what, const std::string& path) {
  auto fd = OpenHostFile(path, O_RDONLY);
  if (!fd.ok()) return WithReason(Reason::kAssetMissing, absl::StrCat("the ", what), fd.status());
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall(path, [&] { return ::fstat(fd->get(), &info); }));
  if (S_ISREG(info.st_mode) && (info.st_mode & S_IROTH) != 0) return fd;
  return MakeError(Reason::kAssetMissing,
                   absl::StrCat("the ", what, " ", path, " is no file that all users may read"));
}

absl::Status Lock(const UniqueFd& fd, const std::string& path, bool read_only) {
  if (::flock(fd.get(), (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return absl::OkStatus();
  if (errno == EWOULDBLOCK) {
    return MakeError(Reason::kHostError,
                     absl::StrCat("disk ", path, " is in use by another sandbox"));
  }
  return WithReason(Reason::kHostError, "lock a disk", absl::ErrnoToStatus(errno, path));
}

absl::StatusOr<UniqueFd> OpenDiskFile(const std::string& path, bool read_only) {
  auto fd = OpenHostFile(path, read_only ? O_RDONLY : O_RDWR);
  if (!fd.ok()) return WithReason(Reason::kHostError, "open a disk", fd.status());
  struct stat info {};
  MSB_RETURN_IF_ERROR(Syscall(path, [&] { return ::fstat(fd->get(), &info); }));
  if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode)) {
    return MakeError(Reason::kHostError,
                     absl::StrCat("disk ", path, " is neither a file nor a block device"));
  }
  MSB_RETURN_IF_ERROR(Lock(*fd, path, read_only));
  return fd;
}

// Of a file or a block device alike.
absl::StatusOr<uint64_t> SizeOf(const UniqueFd& fd, const std::string& path) {
  MSB_ASSIGN_OR_RETURN(const off_t size,
                       Syscall(path, [&] { return ::lseek(fd.get(), 0, SEEK_END); }));
  MSB_RETURN_IF_ERROR(Syscall(path, [&] { return ::lseek(fd.get(), 0, SEEK_SET); }));
  return static_cast<uint64_t>(size);
}

absl::Status OpenDisks(const LaunchSpec& spec, VmmInputs& inputs) {
  int disk_fd = kFirstDiskFd;
  int more_fd = kFirstMoreFd;
  for (const LaunchDisk& disk : spec.disks) {
    std::vector<uint64_t> sizes;
    const auto open = [&](const std::string& path, int number) -> absl::Status {
      if (!sizes.empty() && sizes.back() % kLayerAlignment != 0) {
        return MakeError(Reason::kImageInvalid,
                         absl::StrCat("a layer of ", sizes.back(),
                                      " bytes, which is no multiple of ", kLayerAlignment));
      }
      MSB_ASSIGN_OR_RETURN(UniqueFd fd, OpenDiskFile(path, disk.read_only));
      MSB_ASSIGN_OR_RETURN(sizes.emplace_back(), SizeOf(fd, path));
      inputs.fds[number] = std::move(fd);
      return absl::OkStatus();
    };
    MSB_RETURN_IF_ERROR(open(disk.path, disk_fd++));
    for (const std::string& path : disk.more_paths) MSB_RETURN_IF_ERROR(open(path, more_fd++));
    if (!disk.read_only) {
      inputs.largest_disk_bytes = std::max(inputs.largest_disk_bytes, sizes[0]);
    }
    if (&disk == &spec.disks[0]) inputs.layer_bytes = std::move(sizes);
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenKvm() {
  auto fd = OpenHostFile("/dev/kvm", O_RDWR);
  if (fd.ok()) return fd;
  return WithReason(Reason::kKvmUnavailable, "the engine kvm needs /dev/kvm", fd.status());
}

absl::Status CheckDisks(const LaunchSpec& spec) {
  if (spec.disks.size() > kMaxDisks) {
    return MakeError(Reason::kInvalidResources, absl::StrCat("at most ", kMaxDisks, " disks"));
  }
  size_t more = 0;
  for (const LaunchDisk& disk : spec.disks) {
    more += disk.more_paths.size();
    if (more >= kMaxLayers) {
      return MakeError(Reason::kImageTooLarge,
                       absl::StrCat("an image of more than ", kMaxLayers, " layers"));
    }
    if (!disk.more_paths.empty() && !disk.read_only) {
      return MakeError(Reason::kInvalidArgument, "a disk that can be written to is one file");
    }
    if (disk.id.empty() || disk.id.size() > kMaxDiskIdBytes) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat("a disk's id has 1 to ", kMaxDiskIdBytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

bool Saves(const LaunchSpec& spec) {
  return spec.snapshot != nullptr && spec.snapshot->use == LaunchSnapshot::Use::kSave;
}

bool Restores(const LaunchSpec& spec) { return spec.snapshot != nullptr && !Saves(spec); }

// The kernel and its initramfs, or the snapshot that holds both, or all of them to make one.
absl::Status OpenBoot(const LaunchSpec& spec, VmmInputs& inputs) {
  if (!Restores(spec)) {
    MSB_ASSIGN_OR_RETURN(inputs.fds[kKernelFd], OpenAsset("kernel", spec.kernel_path));
    MSB_ASSIGN_OR_RETURN(inputs.fds[kInitramfsFd], OpenAsset("initramfs", spec.initramfs_path));
  }
  if (spec.snapshot == nullptr) return absl::OkStatus();
  MSB_ASSIGN_OR_RETURN(inputs.fds[kSnapshotMemoryFd], Duplicate(spec.snapshot->memory));
  MSB_ASSIGN_OR_RETURN(inputs.fds[kSnapshotStateFd], Duplicate(spec.snapshot->state));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckLaunchSpec(const LaunchSpec& spec) {
  if (!IsId(spec.id)) {
    return MakeError(Reason::kInvalidArgument,
                     absl::StrCat("a sandbox's id is 1 to ", kMaxIdBytes, " of A-Za-z0-9_.-"));
  }
  const bool makes_snapshot = Saves(spec) && spec.slot == kSnapshotSlot;
  if (spec.slot >= kMaxSlots && !makes_snapshot) {
    return MakeError(Reason::kLimitExceeded, absl::StrCat("at most ", kMaxSlots, " sandboxes"));
  }
  if (spec.engine != pb::ENGINE_KVM && spec.engine != pb::ENGINE_QEMU) {
    return MakeError(Reason::kInvalidArgument, "the engine is kvm or qemu");
  }
  if (spec.vcpus < 1 || spec.vcpus > kMaxVcpus) {
    return MakeError(Reason::kInvalidResources, absl::StrCat("1 to ", kMaxVcpus, " CPUs"));
  }
  if (spec.memory_mib < kMinMemoryMib || spec.memory_mib > kMaxMemoryMib) {
    return MakeError(Reason::kInvalidResources,
                     absl::StrCat(kMinMemoryMib, " to ", kMaxMemoryMib, " MiB of memory"));
  }
  if (spec.cpu_milli != 0 && spec.cpu_milli < kMinCpuMilli) {
    return MakeError(Reason::kInvalidResources,
                     absl::StrCat("at least ", kMinCpuMilli, " thousandths of a CPU"));
  }
  MSB_RETURN_IF_ERROR(CheckDisks(spec));
  return CheckCompanions(spec.companions);
}

absl::StatusOr<VmmInputs> OpenVmmInputs(const LaunchSpec& spec, const LaunchPlan& plan,
                                        const LaunchOptions& options, RuntimeFiles files) {
  VmmInputs inputs;
  MSB_RETURN_IF_ERROR(OpenBoot(spec, inputs));
  MSB_RETURN_IF_ERROR(OpenDisks(spec, inputs));
  if (spec.engine == pb::ENGINE_KVM) {
    MSB_ASSIGN_OR_RETURN(inputs.fds[kKvmFd], OpenKvm());
  }
  MSB_ASSIGN_OR_RETURN(
      inputs.fds[kSpecFd],
      MakeSealedFrame(MakeVmSpec(spec, plan, options, inputs.layer_bytes).SerializeAsString()));
  inputs.fds[kControlFd] = std::move(files.control_listener);
  if (spec.net.has_value()) inputs.fds[kLinkFd] = std::move(files.link_listener);
  inputs.fds[kVsockFd] = std::move(files.vsock_listener);
  inputs.fds[kConsoleFd] = std::move(files.console_log);
  inputs.fds[kExitEventFd] = std::move(files.exit_event);
  return inputs;
}

namespace {

void SetBoot(const LaunchSpec& spec, pb::VmSpec& message) {
  if (!Restores(spec)) {
    message.set_kernel_fd(kKernelFd);
    message.set_initramfs_fd(kInitramfsFd);
  }
  if (spec.snapshot == nullptr) return;
  pb::BootSnapshot& files = Saves(spec) ? *message.mutable_save() : *message.mutable_restore();
  files.set_memory_fd(kSnapshotMemoryFd);
  files.set_state_fd(kSnapshotStateFd);
}

void SetDevices(const LaunchSpec& spec, const LaunchPlan& plan, pb::VmSpec& message) {
  int disk_fd = kFirstDiskFd;
  int more_fd = kFirstMoreFd;
  for (const LaunchDisk& disk : spec.disks) {
    pb::Disk& entry = *message.add_disks();
    entry.set_id(disk.id);
    entry.set_fd(disk_fd++);
    entry.set_read_only(disk.read_only);
    for (size_t i = 0; i < disk.more_paths.size(); ++i) entry.add_more_fds(more_fd++);
  }
  message.mutable_vsock()->set_guest_cid(plan.guest_cid);
  message.mutable_vsock()->set_listener_fd(kVsockFd);
  if (spec.net.has_value()) {
    pb::Net& net = *message.mutable_net();
    net.set_listener_fd(kLinkFd);
    net.set_fd(VmmFdOfCompanion(spec.net->companion));
    net.set_mac(spec.net->mac);
    net.set_mtu(spec.net->mtu);
  }
  if (spec.file_system.has_value()) {
    pb::FileSystem& file_system = *message.add_file_systems();
    file_system.set_tag(spec.file_system->tag);
    file_system.set_fd(VmmFdOfCompanion(spec.file_system->companion));
  }
  message.mutable_balloon()->set_enabled(true);
  message.mutable_balloon()->set_deflate_on_oom(true);
  message.mutable_balloon()->set_free_page_reporting(true);
  message.set_rng(true);
}

}  // namespace

pb::VmSpec MakeVmSpec(const LaunchSpec& spec, const LaunchPlan& plan, const LaunchOptions& options,
                      const std::vector<uint64_t>& layer_bytes) {
  pb::VmSpec message;
  message.set_id(spec.id);
  message.set_engine(spec.engine);
  message.set_vcpus(spec.vcpus);
  message.set_memory_mib(spec.memory_mib);
  message.set_command_line(GuestCommandLine(spec, layer_bytes));
  SetBoot(spec, message);
  if (!Saves(spec)) SetDevices(spec, plan, message);
  message.mutable_console()->set_fd(kConsoleFd);
  message.mutable_console()->set_limit_bytes(spec.console_limit_bytes);
  message.set_control_fd(kControlFd);
  message.set_boot_timeout_ms(spec.boot_timeout_ms);
  message.set_exit_event_fd(kExitEventFd);
  if (spec.engine == pb::ENGINE_KVM) {
    message.mutable_kvm()->set_kvm_fd(kKvmFd);
    message.mutable_kvm()->set_emulated_ring0(options.kvm_kind == KvmKind::kEmulatedRing0);
  } else {
    message.mutable_qemu()->set_directory(kQemuDirectoryInJail);
    // KVM inside QEMU would need the device's node in the jail; the engine kvm is there for that.
    message.mutable_qemu()->set_accelerator("tcg");
  }
  return message;
}

}  // namespace msb
