// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/machine/engine.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/kvm/kvm_machine.h"
#include "vmm/machine/boot_snapshot.h"
#include "vmm/qemu/qemu_machine.h"

namespace msb {
namespace {

using msb::vmm::v1::VmSpec;

std::string CommandLineOf(const VmSpec& spec) {
  if (!spec.has_save()) return spec.command_line();
  return absl::StrCat(spec.command_line(), " ", kWaitForDevicesWord);
}

template <typename Config>
void SetSnapshots(const VmSpec& spec, EngineParts& parts, Config& config) {
  if (spec.has_save()) config.save = std::move(parts.save);
  if (spec.has_restore()) config.restore = std::move(parts.restore);
}

std::unique_ptr<Machine> MakeKvmMachine(EventLoop& loop, MachineObserver& observer,
                                        const VmSpec& spec, EngineParts parts) {
  KvmMachineConfig config;
  config.kvm = std::move(parts.kvm);
  config.vcpus = spec.vcpus();
  config.memory_mib = spec.memory_mib();
  config.shares_memory = spec.file_systems_size() > 0;
  config.kernel = std::move(parts.kernel);
  config.initramfs = std::move(parts.initramfs);
  config.command_line = CommandLineOf(spec);
  SetSnapshots(spec, parts, config);
  config.emulated_ring0 = spec.kvm().emulated_ring0();
  config.devices = parts.devices->devices();
  config.seccomp = parts.seccomp;
  if (spec.balloon().enabled()) {
    config.balloon.emplace();
    config.balloon->size_mib = spec.balloon().size_mib();
    config.balloon->options.deflate_on_oom = spec.balloon().deflate_on_oom();
    config.balloon->options.free_page_reporting = spec.balloon().free_page_reporting();
  }
  config.console = std::move(parts.console);
  config.boot_mark = std::move(parts.boot_mark);
  config.shutdown_announced = std::move(parts.shutdown_announced);
  return std::make_unique<KvmMachine>(loop, observer, std::move(config));
}

std::unique_ptr<Machine> MakeQemuMachine(EventLoop& loop, MachineObserver& observer,
                                         const VmSpec& spec, EngineParts parts) {
  QemuMachineConfig config;
  config.vcpus = spec.vcpus();
  config.memory_mib = spec.memory_mib();
  config.kernel = std::move(parts.kernel);
  config.initramfs = std::move(parts.initramfs);
  config.command_line = CommandLineOf(spec);
  SetSnapshots(spec, parts, config);
  config.directory = spec.qemu().directory();
  config.accelerator =
      spec.qemu().accelerator() == "kvm" ? QemuAccelerator::kKvm : QemuAccelerator::kTcg;
  if (spec.balloon().enabled()) {
    using Options = QemuCommandLineInput::Balloon;
    config.balloon.emplace();
    config.balloon->size_mib = spec.balloon().size_mib();
    config.balloon->options.out_of_memory = spec.balloon().deflate_on_oom()
                                                ? Options::OutOfMemory::kDeflate
                                                : Options::OutOfMemory::kKeep;
    config.balloon->options.free_pages = spec.balloon().free_page_reporting()
                                             ? Options::FreePages::kReport
                                             : Options::FreePages::kKeep;
  }
  config.devices = parts.devices->devices();
  config.seccomp = parts.seccomp;
  config.console = std::move(parts.console);
  config.shutdown_announced = std::move(parts.shutdown_announced);
  return std::make_unique<QemuMachine>(loop, observer, std::move(config));
}

}  // namespace

std::unique_ptr<Machine> MakeMachine(EventLoop& loop, MachineObserver& observer, const VmSpec& spec,
                                     EngineParts parts) {
  if (spec.engine() == msb::vmm::v1::ENGINE_QEMU) {
    return MakeQemuMachine(loop, observer, spec, std::move(parts));
  }
  return MakeKvmMachine(loop, observer, spec, std::move(parts));
}

}  // namespace msb
