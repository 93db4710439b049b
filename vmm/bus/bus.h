// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Which device answers at an address: one Bus for I/O ports, one for memory-mapped I/O.
//
// Threading: Add before the first vCPU runs; after that a bus does not change, and so Read and
// Write look up without a lock on any number of threads.

#ifndef MSB_VMM_BUS_BUS_H_
#define MSB_VMM_BUS_BUS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace msb {

class BusDevice {
 public:
  virtual ~BusDevice() = default;
  // `offset` counts from the start of the device's window; the access lies whole within it and has
  // the size that the guest chose (ports: 1, 2, 4; memory: 1 to 8 bytes). On vCPU threads, several
  // at a time.
  virtual void Read(uint64_t offset, absl::Span<uint8_t> data) = 0;
  virtual void Write(uint64_t offset, absl::Span<const uint8_t> data) = 0;
};

class Bus {
 public:
  // `device` answers in [start, start + size) and outlives the bus. Windows may not overlap: that
  // would be a bug of ours.
  void Add(uint64_t start, uint64_t size, BusDevice& device);

  // An access that no window holds whole reads as all ones and writes to nowhere, as on a real
  // machine; false then.
  bool Read(uint64_t address, absl::Span<uint8_t> data) const;
  bool Write(uint64_t address, absl::Span<const uint8_t> data) const;

 private:
  struct Window {
    uint64_t start;
    uint64_t size;
    BusDevice* device;
  };
  const Window* Find(uint64_t address, uint64_t bytes) const;

  std::vector<Window> windows_;  // sorted by start
};

}  // namespace msb

#endif  // MSB_VMM_BUS_BUS_H_
