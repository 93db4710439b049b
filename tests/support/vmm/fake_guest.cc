// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "tests/support/vmm/fake_guest.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace msb {
namespace {

UniqueFd MakeMemfd(const FakeGuest::Options& options) {
  if (options.memory_kind != FakeGuest::MemoryKind::kMemfd) return UniqueFd();
  UniqueFd fd(::memfd_create("fake-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  MSB_CHECK(fd.valid());
  MSB_CHECK(::ftruncate(fd.get(), static_cast<off_t>(options.memory_bytes)) == 0);
  // What memory-backend-memfd does, and our own machine.
  MSB_CHECK(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0);
  return fd;
}

GuestMemory MakeMemory(const FakeGuest::Options& options, int memory_fd) {
  const GuestRange range{FakeGuest::kMemoryStart, options.memory_bytes};
  if (memory_fd < 0) {
    absl::StatusOr<GuestMemory> memory = GuestMemory::Allocate({range});
    MSB_CHECK(memory.ok());
    return *std::move(memory);
  }
  std::vector<GuestMemory::FilePart> parts;
  parts.push_back({.fd = UniqueFd(::dup(memory_fd)), .file_offset = 0, .range = range});
  absl::StatusOr<GuestMemory> memory = GuestMemory::MapShared(std::move(parts));
  MSB_CHECK(memory.ok());
  return *std::move(memory);
}

}  // namespace

FakeGuest::FakeGuest(const Options& options)
    : memory_fd_(MakeMemfd(options)),
      memory_(MakeMemory(options, memory_fd_.get())),
      next_free_(ToUint64(kMemoryStart)) {
  for (const uint16_t size : options.queue_sizes) {
    queues_.emplace_back(*this, size, options.event_index);
  }
}

GuestRange FakeGuest::Allocate(uint64_t size, uint64_t alignment) {
  const uint64_t start = (next_free_ + alignment - 1) / alignment * alignment;
  next_free_ = start + size;
  MSB_CHECK(next_free_ <= ToUint64(kMemoryStart) + memory_.total_bytes());
  return {GuestAddress{start}, size};
}

void FakeGuest::Write(GuestAddress address, absl::string_view bytes) {
  const auto target = memory_.Bytes({address, bytes.size()});
  MSB_CHECK(target.ok());
  std::copy(bytes.begin(), bytes.end(), target->begin());
}

std::string FakeGuest::Read(GuestRange range) const {
  const auto bytes = memory_.Bytes(range);
  MSB_CHECK(bytes.ok());
  return std::string(bytes->begin(), bytes->end());
}

FakeBuffer FakeGuest::Readable(absl::string_view bytes) {
  const GuestRange range = Allocate(bytes.size());
  Write(range.start, bytes);
  return {range, FakeBuffer::Access::kReadable};
}

FakeBuffer FakeGuest::Writable(uint32_t size) {
  return {Allocate(size), FakeBuffer::Access::kWritable};
}

FakeQueue& FakeGuest::queue(size_t index) {
  MSB_CHECK(index < queues_.size());
  return queues_[index];
}

std::vector<Virtqueue*> FakeGuest::virtqueues() {
  std::vector<Virtqueue*> all;
  for (FakeQueue& queue : queues_) all.push_back(&queue.device());
  return all;
}

}  // namespace msb
