// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/bus/bus.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace msb {

void Bus::Add(uint64_t start, uint64_t size, BusDevice& device) {
  MSB_CHECK(size > 0 && start <= std::numeric_limits<uint64_t>::max() - size);
  const auto next = std::upper_bound(
      windows_.begin(), windows_.end(), start,
      [](uint64_t address, const Window& window) { return address < window.start; });
  MSB_CHECK(next == windows_.end() || next->start >= start + size);
  MSB_CHECK(next == windows_.begin() || start - std::prev(next)->start >= std::prev(next)->size);
  windows_.insert(next, Window{start, size, &device});
}

const Bus::Window* Bus::Find(uint64_t address, uint64_t bytes) const {
  const auto next =
      std::upper_bound(windows_.begin(), windows_.end(), address,
                       [](uint64_t wanted, const Window& window) { return wanted < window.start; });
  if (next == windows_.begin()) return nullptr;
  const Window& window = *std::prev(next);
  const uint64_t offset = address - window.start;
  if (offset >= window.size || bytes > window.size - offset) return nullptr;
  return &window;
}

bool Bus::Read(uint64_t address, absl::Span<uint8_t> data) const {
  const Window* window = Find(address, data.size());
  if (window == nullptr) {
    std::fill(data.begin(), data.end(), uint8_t{0xff});
    return false;
  }
  window->device->Read(address - window->start, data);
  return true;
}

bool Bus::Write(uint64_t address, absl::Span<const uint8_t> data) const {
  const Window* window = Find(address, data.size());
  if (window == nullptr) return false;
  window->device->Write(address - window->start, data);
  return true;
}

}  // namespace msb
