// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A hostile driver at the registers: the input gives accesses of any width, what stands in guest
// memory, and now and then an orderly start, so that the device is reached. What was saved must be
// restorable.

#include <array>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/check.h"
#include "tests/support/fuzz_input.h"
#include "tests/support/vmm/fake_device.h"
#include "tests/support/vmm/fake_guest.h"
#include "tests/support/vmm/loop_thread.h"
#include "tests/support/vmm/mmio_driver.h"
#include "vmm/devices/virtio/mmio_transport.h"

namespace msb {
namespace {

constexpr uint64_t kReachableBytes = 0x400;  // the rings, and some memory behind them

LoopThread& Loop() {
  static LoopThread* const loop = new LoopThread;
  return *loop;
}

FakeGuest& Guest() {
  static FakeGuest* const guest =
      new FakeGuest({.queue_sizes = {8, 4}, .memory_bytes = uint64_t{16} << 10});
  return *guest;
}

struct Machine {
  Machine() {
    Loop().Run(
        [this] { transport = *MmioTransport::Create(Loop().loop(), Guest().memory(), device); });
  }
  ~Machine() {
    Loop().Run([this] { transport.reset(); });
  }
  FakeDevice device;
  std::unique_ptr<MmioTransport> transport;
};

void CheckSavedIsRestorable(Machine& machine) {
  Machine other;
  Loop().Run([&] {
    const auto state = machine.transport->Save();
    MSB_CHECK(state.ok());
    MSB_CHECK(other.transport->Restore(*state).ok());
  });
}

void RestoreFrom(FuzzInput& input) {
  Machine machine;
  msb::vmm::v1::VirtioTransportState state;
  const absl::Span<const uint8_t> bytes = input.TakeBytes(input.Take<uint8_t>());
  if (!state.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  Loop().Run([&] { (void)machine.transport->Restore(state); });
  Loop().Settle();
}

void Step(Machine& machine, FuzzInput& input) {
  const MmioDriver driver(*machine.transport);
  switch (input.Take<uint8_t>() % 8) {
    case 0: {
      std::array<uint8_t, 8> data;
      const uint64_t offset = input.Take<uint16_t>() % MmioTransport::kWindowBytes;
      machine.transport->Read(offset, absl::MakeSpan(data).first(1 + input.Take<uint8_t>() % 8));
      return;
    }
    case 1: {
      const auto data = input.Take<std::array<uint8_t, 8>>();
      const uint64_t offset = input.Take<uint16_t>() % MmioTransport::kWindowBytes;
      machine.transport->Write(offset,
                               absl::MakeConstSpan(data).first(1 + input.Take<uint8_t>() % 8));
      return;
    }
    case 2:
      return driver.Write(virtio::MmioRegister{input.Take<uint8_t>() % uint64_t{0x108}},
                          input.Take<uint32_t>());
    case 3: {
      const uint64_t offset = input.Take<uint16_t>() % kReachableBytes;
      const absl::Span<const uint8_t> bytes = input.TakeBytes(input.Take<uint8_t>());
      Guest().Write(*Offset(FakeGuest::kMemoryStart, offset),
                    absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
      return;
    }
    case 4:
      return driver.Start(Guest(), input.Take<uint8_t>() % 3);
    case 5:
      driver.Notify(input.Take<uint8_t>() % 3);
      return Loop().Settle();
    case 6:
      return CheckSavedIsRestorable(machine);
    default:
      return RestoreFrom(input);
  }
}

void Fuzz(FuzzInput input) {
  const std::string zeroes(kReachableBytes + 0x100, '\0');
  Guest().Write(FakeGuest::kMemoryStart, zeroes);
  Machine machine;
  while (!input.empty()) Step(machine, input);
}

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::Fuzz(msb::FuzzInput(data, size));
  return 0;
}
