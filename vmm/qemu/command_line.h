// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What QEMU is started with. A function of its input alone; every choice has its reason, and its
// measure, in the source.

#ifndef MSB_VMM_QEMU_COMMAND_LINE_H_
#define MSB_VMM_QEMU_COMMAND_LINE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vmm/devices/virtio/virtio_device.h"

namespace msb {

enum class QemuAccelerator { kTcg, kKvm };

// Descriptors are numbers in the QEMU process, which are those in ours.
struct QemuCommandLineInput {
  std::string directory;  // with bin/, lib/ and share/
  QemuAccelerator accelerator = QemuAccelerator::kTcg;
  uint32_t vcpus = 1;
  uint32_t memory_mib = 0;
  int kernel_fd = -1;
  int initramfs_fd = -1;  // -1: none
  std::string kernel_command_line;
  // A memory file that is there already; -1: QEMU makes one.
  int memory_fd = -1;
  // Waits for the state of a saved machine: there is no kernel to load.
  bool incoming = false;
  int monitor_fd = -1;  // connected sockets from here on
  int console_fd = -1;
  // The device at the other end of each vhost-user socket, in the order in which the guest finds
  // them.
  struct VhostUser {
    DeviceId device;
    int fd = -1;
    // Of a file system, whose queues and configuration space QEMU makes by itself.
    struct FileSystem {
      std::string tag;
      uint16_t queue_size = 0;
    };
    std::optional<FileSystem> file_system = std::nullopt;
    // Of a network card. QEMU keeps its config space itself, and takes for it only a socket that it
    // has connected itself (its chardev of an inherited one "does not support FD passing"): the
    // name of a listening one in the abstract namespace, which is the jail's own.
    std::string config = "";
    std::string abstract_socket = "";
  };
  std::vector<VhostUser> vhost_user;
  struct Balloon {
    enum class OutOfMemory { kKeep, kDeflate };
    enum class FreePages { kKeep, kReport };
    OutOfMemory out_of_memory = OutOfMemory::kKeep;
    FreePages free_pages = FreePages::kKeep;
  };
  std::optional<Balloon> balloon;
};

// Of the back end of the network card, for the monitor.
inline constexpr char kQemuNetName[] = "net0";

// microvm without ACPI has so many virtio transports.
inline constexpr size_t kMaxQemuDevices = 8;

// The first is the path to execute. kUnsupportedByEngine for more devices than the machine has
// places, or one that QEMU has no front end for.
absl::StatusOr<std::vector<std::string>> BuildQemuCommandLine(const QemuCommandLineInput& input);

// COMMAND_LINE_SIZE of arch/x86, less the final NUL, and less what QEMU adds for each of its
// devices.
inline constexpr size_t kMaxQemuGuestCommandLineBytes = 2047 - kMaxQemuDevices * 40;

struct GuestCommandLineInput {
  // Of the host's time stamp counter, which the guest sees; nullopt when it is not fit to be a
  // clock.
  std::optional<uint64_t> tsc_khz;
  // The spec's own words, behind ours: the later word wins in Linux.
  std::string extra;
  // Also names the places of the machine, which are empty now: a boot snapshot's guest finds
  // devices there later. QEMU itself names those that hold one.
  bool name_empty_places = false;
};

// The kernel's command line, without what QEMU adds. kVmSpecInvalid when it is too long, or `extra`
// holds anything but printable ASCII.
absl::StatusOr<std::string> BuildQemuGuestCommandLine(const GuestCommandLineInput& input);

}  // namespace msb

#endif  // MSB_VMM_QEMU_COMMAND_LINE_H_
