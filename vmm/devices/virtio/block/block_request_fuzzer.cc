// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Requests of a hostile block driver: the input cuts them into buffers and fills them. Whatever
// comes, each is answered, and the disk keeps its size.

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tests/support/fuzz_input.h"
#include "tests/support/vmm/fake_guest.h"
#include "vmm/devices/virtio/block/block_request.h"

namespace msb {
namespace {

using virtio::BlockStatus;

constexpr off_t kDiskBytes = 64 << 10;
constexpr size_t kMaxBuffers = 16;

int DiskFd() {
  static const int fd = [] {
    const int made = ::memfd_create("disk", MFD_CLOEXEC);
    MSB_CHECK(made >= 0 && ::ftruncate(made, kDiskBytes) == 0);
    return made;
  }();
  return fd;
}

// An image's layers: as long together as the one that can be written.
std::vector<UniqueFd> LayerFds() {
  std::vector<UniqueFd> fds;
  for (const off_t bytes : {off_t{4096}, off_t{0}, off_t{12288}, kDiskBytes - 16384}) {
    fds.emplace_back(::memfd_create("layer", MFD_CLOEXEC));
    MSB_CHECK(fds.back().valid() && ::ftruncate(fds.back().get(), bytes) == 0);
  }
  return fds;
}

const DiskFile& Disk(DiskFile::Access access) {
  const auto keep = [](absl::StatusOr<DiskFile> disk) {
    MSB_CHECK(disk.ok());
    return new DiskFile(*std::move(disk));
  };
  static const DiskFile* const writable =
      keep(DiskFile::Open(UniqueFd(::dup(DiskFd())), DiskFile::Access::kReadWrite));
  static const DiskFile* const read_only = keep(DiskFile::OpenParts(LayerFds()));
  return access == DiskFile::Access::kReadWrite ? *writable : *read_only;
}

std::vector<FakeBuffer> TakeBuffers(FuzzInput& input, FakeGuest& guest) {
  std::vector<FakeBuffer> buffers;
  for (size_t left = input.Take<uint8_t>() % kMaxBuffers; left > 0; --left) {
    const uint32_t size = input.Take<uint16_t>() % 5000;
    const absl::Span<const uint8_t> bytes = input.TakeBytes(std::min<uint32_t>(size, 64));
    std::string content(size, '\0');
    std::copy(bytes.begin(), bytes.end(), content.begin());
    buffers.push_back(guest.Readable(content));
  }
  for (size_t left = input.Take<uint8_t>() % kMaxBuffers; left > 0; --left) {
    buffers.push_back(guest.Writable(input.Take<uint16_t>() % 5000));
  }
  return buffers;
}

void ServeOne(const DiskFile& disk, Virtqueue& queue, DiskFile::Durability durability) {
  absl::StatusOr<bool> has_next = queue.HasNext();
  MSB_CHECK(has_next.ok() && *has_next);
  absl::StatusOr<DescriptorChain> chain = queue.Pop();
  MSB_CHECK(chain.ok());
  const uint64_t room = chain->writable_bytes();
  absl::StatusOr<BlockRequest> request = ParseBlockRequest(*std::move(chain));
  MSB_CHECK(request.ok() == (room > 0));
  if (!request.ok()) return;
  request->durability = durability;
  std::optional<BlockStatus> status = RefuseBlockRequest(*request, disk);
  if (!status) status = ExecuteBlockRequest(*request, disk, "serial");
  const uint32_t written = WriteBlockStatus(*request, *status);
  MSB_CHECK(written >= 1 && written <= room);
  MSB_CHECK(queue.Complete(std::move(request->chain), written).ok());
}

void Fuzz(FuzzInput input) {
  FakeGuest guest({.queue_sizes = {32}, .memory_bytes = uint64_t{1} << 20});
  while (!input.empty()) {
    const auto flags = input.Take<uint8_t>();
    const std::vector<FakeBuffer> buffers = TakeBuffers(input, guest);
    if (buffers.empty()) return;
    guest.queue().AddChain(buffers);
    ServeOne(Disk((flags & 1) != 0 ? DiskFile::Access::kReadOnly : DiskFile::Access::kReadWrite),
             guest.queue().device(),
             (flags & 2) != 0 ? DiskFile::Durability::kAtOnce : DiskFile::Durability::kOnFlush);
    // A chain without a status is the end of the device; nor is there memory for long inputs.
    if (guest.queue().Used().empty() || guest.free_bytes() < 256 << 10) return;
  }
  struct stat status;
  MSB_CHECK(::fstat(DiskFd(), &status) == 0 && status.st_size == kDiskBytes);
}

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  msb::Fuzz(msb::FuzzInput(data, size));
  return 0;
}
