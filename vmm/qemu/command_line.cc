// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/qemu/command_line.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "vmm/devices/virtio/spec/net.h"

namespace msb {
namespace {

absl::Status SpecError(absl::string_view detail) {
  return MakeError(Reason::kVmSpecInvalid, detail);
}

// Places on the machine's virtio buses. Of interrupts 5 to 12 the first transports share theirs
// with the real-time clock (8): the last one is taken first.
size_t BusNumber(size_t place) { return kMaxQemuDevices - 1 - place; }

std::string BusOf(size_t place) { return absl::StrCat(",bus=virtio-mmio-bus.", BusNumber(place)); }

// In the order of the places, and so of virtio-mmio.0 and its followers in the guest.
std::string PlacesForKernel() {
  constexpr uint64_t kWindows = 0xfeb00000;  // include/hw/i386/microvm.h
  constexpr size_t kWindowBytes = 512;
  constexpr size_t kFirstInterrupt = 5;
  std::string words;
  for (size_t place = 0; place < kMaxQemuDevices; ++place) {
    const size_t bus = BusNumber(place);
    absl::StrAppend(&words, " virtio_mmio.device=", kWindowBytes, "@0x",
                    absl::Hex(kWindows + bus * kWindowBytes), ":", kFirstInterrupt + bus);
  }
  return words;
}

absl::StatusOr<std::string> FrontEndOf(const QemuCommandLineInput::VhostUser& end) {
  const DeviceId device = end.device;
  switch (device) {
    case DeviceId::kVsock:
      return std::string("vhost-user-vsock-device");
    case DeviceId::kBlock:
      return std::string("vhost-user-blk,num-queues=1");
    case DeviceId::kRng:
      return std::string("vhost-user-rng");
    case DeviceId::kFs:
      if (!end.file_system.has_value()) return SpecError("a file system without a tag");
      return absl::StrCat("vhost-user-fs-device,queue-size=", end.file_system->queue_size,
                          ",tag=", absl::StrReplaceAll(end.file_system->tag, {{",", ",,"}}));
    case DeviceId::kNet:  // see NetCard
    case DeviceId::kBalloon:
      break;
  }
  return MakeError(Reason::kUnsupportedByEngine,
                   absl::StrCat("QEMU has no vhost-user front end for virtio device ",
                                static_cast<uint32_t>(device)));
}

// QEMU has the card's config space and asks only for its features: what our device does not have
// (segmentation, a control queue) is off.
absl::StatusOr<std::string> NetCard(absl::string_view config_bytes) {
  virtio::NetConfig config;
  if (config_bytes.size() != sizeof(config)) return SpecError("net: no config space");
  std::memcpy(&config, config_bytes.data(), sizeof(config));
  std::string mac;
  for (const uint8_t byte : config.mac) {
    absl::StrAppend(&mac, mac.empty() ? "" : ":", absl::Hex(byte, absl::kZeroPad2));
  }
  return absl::StrCat("virtio-net-device,netdev=", kQemuNetName, ",mac=", mac,
                      ",host_mtu=", config.mtu,
                      ",ctrl_vq=off,ctrl_rx=off,ctrl_rx_extra=off,ctrl_vlan=off"
                      ",ctrl_mac_addr=off,ctrl_guest_offloads=off,guest_announce=off");
}

std::string Machine() {
  return absl::StrCat("microvm,memory-backend=ram",
                      // Without ACPI QEMU names its virtio devices on the kernel's command line,
                      // and the guest's kernel has no ACPI.
                      ",acpi=off",
                      // No boot loader from an option ROM: qboot finds the kernel by itself.
                      ",x-option-roms=off");
}

// QEMU's own default is an eighth of the host's memory: a guest that runs much code, one piece
// after the other, would fill it, and its cgroup with it.
constexpr int kTranslatedCodeMib = 192;

std::string Accelerator(const QemuCommandLineInput& input) {
  if (input.accelerator == QemuAccelerator::kKvm) return "kvm";
  return absl::StrCat("tcg,thread=", input.vcpus > 1 ? "multi" : "single",
                      ",tb-size=", kTranslatedCodeMib);
}

// Every feature that programs ask for, less those that make a kernel slower under TCG; what each
// brings is in docs/adr/0004-tell-a-tcg-guest-what-it-would-measure.md.
std::string Cpu(const QemuCommandLineInput& input) {
  if (input.accelerator == QemuAccelerator::kKvm) return "host";
  return absl::StrCat(
      "max",
      // The kernel would copy and clear by `rep movsb`, which TCG does byte by byte.
      ",erms=off,fsrm=off",
      // Two more instructions round each copy, and a register at each switch, that guard
      // the guest's kernel from its own programs; the wall is the machine.
      ",smap=off,pku=off",
      // State that nobody uses, saved and restored.
      ",mpx=off",
      // TCG's TLB has no tags: each switch empties it, with all the bookkeeping as well.
      ",pcid=off");
}

// Shared, so that our devices reach it; given by the host page by page.
std::string Memory(const QemuCommandLineInput& input) {
  const std::string size = absl::StrCat(",id=ram,share=on,size=", input.memory_mib, "M");
  if (input.memory_fd < 0) return "memory-backend-memfd" + size;
  return absl::StrCat("memory-backend-file", size, ",mem-path=/proc/self/fd/", input.memory_fd);
}

void AppendKernel(const QemuCommandLineInput& input, std::vector<std::string>& line) {
  line.insert(line.end(), {"-kernel", absl::StrCat("/proc/self/fd/", input.kernel_fd), "-append",
                           input.kernel_command_line});
  if (input.initramfs_fd >= 0) {
    line.insert(line.end(), {"-initrd", absl::StrCat("/proc/self/fd/", input.initramfs_fd)});
  }
}

// A place for each vhost-user device, then the balloon.
absl::Status AppendDevices(const QemuCommandLineInput& input, std::vector<std::string>& line) {
  const size_t devices = input.vhost_user.size() + (input.balloon.has_value() ? 1 : 0);
  if (devices > kMaxQemuDevices) {
    return MakeError(
        Reason::kUnsupportedByEngine,
        absl::StrCat(devices, " devices (disks, vsock, rng, balloon); the engine qemu has ",
                     kMaxQemuDevices, " places"));
  }
  size_t place = 0;
  for (const QemuCommandLineInput::VhostUser& end : input.vhost_user) {
    const std::string id = absl::StrCat("vhost", place);
    if (end.device == DeviceId::kNet) {
      MSB_ASSIGN_OR_RETURN(const std::string card, NetCard(end.config));
      line.insert(line.end(),
                  {"-chardev",
                   absl::StrCat("socket,id=", id, ",path=", end.abstract_socket, ",abstract=on"),
                   "-netdev", absl::StrCat("vhost-user,id=", kQemuNetName, ",chardev=", id),
                   "-device", card + BusOf(place)});
      ++place;
      continue;
    }
    MSB_ASSIGN_OR_RETURN(const std::string front_end, FrontEndOf(end));
    line.insert(line.end(), {"-chardev", absl::StrCat("socket,id=", id, ",fd=", end.fd), "-device",
                             absl::StrCat(front_end, ",chardev=", id, BusOf(place))});
    ++place;
  }
  if (!input.balloon.has_value()) return absl::OkStatus();
  using Balloon = QemuCommandLineInput::Balloon;
  const bool deflates = input.balloon->out_of_memory == Balloon::OutOfMemory::kDeflate;
  const bool reports = input.balloon->free_pages == Balloon::FreePages::kReport;
  line.insert(
      line.end(),
      {"-device", absl::StrCat("virtio-balloon-device,deflate-on-oom=", deflates ? "on" : "off",
                               ",free-page-reporting=", reports ? "on" : "off", BusOf(place))});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> BuildQemuCommandLine(const QemuCommandLineInput& input) {
  const std::string& directory = input.directory;
  // The folder's own loader and libraries: the jail has no others.
  std::vector<std::string> line = {directory + "/lib/ld-linux-x86-64.so.2",
                                   "--inhibit-cache",
                                   "--library-path",
                                   directory + "/lib",
                                   directory + "/bin/qemu-system-x86_64",
                                   "-L",
                                   directory + "/share"};
  line.insert(line.end(), {"-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"});
  // QEMU's own filter: no fork, no exec, no new privileges, whatever its guest talks it into.
  line.insert(
      line.end(),
      {"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"});
  line.insert(line.end(), {"-M", Machine(), "-accel", Accelerator(input)});
  line.insert(line.end(), {"-cpu", Cpu(input), "-smp", absl::StrCat(input.vcpus), "-m",
                           absl::StrCat(input.memory_mib, "M")});
  line.insert(line.end(), {"-object", Memory(input)});
  line.insert(line.end(), {"-global", "virtio-mmio.force-legacy=false"});
  if (input.incoming) {
    line.insert(line.end(), {"-incoming", "defer"});
  } else {
    AppendKernel(input, line);
  }
  line.insert(line.end(), {"-chardev", absl::StrCat("socket,id=qmp,fd=", input.monitor_fd), "-mon",
                           "chardev=qmp,mode=control"});
  line.insert(line.end(), {"-chardev", absl::StrCat("socket,id=console,fd=", input.console_fd),
                           "-serial", "chardev:console"});
  MSB_RETURN_IF_ERROR(AppendDevices(input, line));
  return line;
}

absl::StatusOr<std::string> BuildQemuGuestCommandLine(const GuestCommandLineInput& input) {
  if (!std::all_of(input.extra.begin(), input.extra.end(), absl::ascii_isprint)) {
    return SpecError("command_line: only printable ASCII is allowed");
  }
  // quiet: each character on the console is an exit, and the log keeps only the last of them.
  // reboot=t: by a triple fault, which needs no device. panic=-1: at once.
  // noreplace-smp: code that is patched is translated again; that costs TCG more than the LOCK
  // prefixes, which it leaves out by itself where there is one CPU.
  // rcu_expedited: a grace period is a few interrupts rather than a few ticks of 10 ms, and mounts
  // wait for many of them. random.trust_cpu: nobody waits for the first random bytes.
  std::string line =
      "console=ttyS0 quiet reboot=t panic=-1 noreplace-smp rcupdate.rcu_expedited=1 "
      "random.trust_cpu=on";
  // Without it the guest measures its clock, for 5 ms at the least.
  if (input.tsc_khz.has_value()) {
    absl::StrAppend(&line, " tsc=reliable tsc_early_khz=", *input.tsc_khz);
  }
  if (input.name_empty_places) absl::StrAppend(&line, PlacesForKernel());
  if (!input.extra.empty()) absl::StrAppend(&line, " ", input.extra);
  if (line.size() > kMaxQemuGuestCommandLineBytes) {
    return SpecError(absl::StrCat("command_line: ", line.size(),
                                  " bytes with the machine's own, 0..",
                                  kMaxQemuGuestCommandLineBytes, " are allowed"));
  }
  return line;
}

}  // namespace msb
