// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/vhost_user/memory_table.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb::vhost_user {
namespace {

absl::Status TableError(absl::string_view detail) {
  return MakeError(Reason::kQemuError, absl::StrCat("vhost-user memory table: ", detail));
}

absl::StatusOr<std::vector<MemoryRegion>> ReadRegions(const Message& message) {
  MemoryTableHeader header;
  if (message.payload.size() < sizeof(header)) return TableError("no header");
  std::memcpy(&header, message.payload.data(), sizeof(header));
  if (header.regions == 0 || header.regions > kMaxMemoryRegions) {
    return TableError(absl::StrCat(header.regions, " regions"));
  }
  // QEMU sends as many regions as it announces.
  if (message.payload.size() != sizeof(header) + header.regions * sizeof(MemoryRegion)) {
    return TableError(
        absl::StrCat(message.payload.size(), " bytes for ", header.regions, " regions"));
  }
  if (message.descriptors.size() != header.regions) {
    return TableError(
        absl::StrCat(message.descriptors.size(), " descriptors for ", header.regions, " regions"));
  }
  std::vector<MemoryRegion> regions(header.regions);
  std::memcpy(regions.data(), message.payload.data() + sizeof(header),
              regions.size() * sizeof(MemoryRegion));
  for (const MemoryRegion& region : regions) {
    if (region.size > std::numeric_limits<uint64_t>::max() - region.user_address) {
      return TableError("region wraps in the front end's address space");
    }
  }
  return regions;
}

absl::StatusOr<struct stat> CheckFile(int fd) {
  MSB_ASSIGN_OR_RETURN(const int seals, Syscall("F_GET_SEALS of guest memory",
                                                [&] { return ::fcntl(fd, F_GET_SEALS); }));
  if ((seals & F_SEAL_SHRINK) == 0) return TableError("memory that its owner can shrink");
  struct stat status;
  MSB_RETURN_IF_ERROR(Syscall("fstat guest memory", [&] { return ::fstat(fd, &status); }));
  return status;
}

}  // namespace

absl::StatusOr<GuestAddress> MemoryTable::Translate(uint64_t user_address, uint64_t size) const {
  for (const Region& region : regions_) {
    if (user_address < region.place.user_address) continue;
    const uint64_t offset = user_address - region.place.user_address;
    if (offset >= region.place.size || size > region.place.size - offset) continue;
    // No overflow: GuestMemory refused regions that wrap.
    return GuestAddress{region.place.guest_address + offset};
  }
  return TableError(absl::StrFormat("%d bytes at %#x are in no region", size, user_address));
}

absl::StatusOr<std::shared_ptr<const MemoryTable>> MemoryTables::Map(Message message) {
  MSB_ASSIGN_OR_RETURN(const std::vector<MemoryRegion> places, ReadRegions(message));
  std::vector<MemoryTable::Region> regions;
  std::vector<GuestMemory::FilePart> parts;
  for (size_t i = 0; i < places.size(); ++i) {
    MSB_ASSIGN_OR_RETURN(const struct stat status, CheckFile(message.descriptors[i].get()));
    regions.push_back({places[i], status.st_dev, status.st_ino});
    parts.push_back({.fd = std::move(message.descriptors[i]),
                     .file_offset = places[i].file_offset,
                     .range = {GuestAddress{places[i].guest_address}, places[i].size}});
  }
  if (auto latest = latest_.lock(); latest != nullptr && latest->regions_ == regions) return latest;
  absl::StatusOr<GuestMemory> memory = GuestMemory::MapShared(std::move(parts));
  if (!memory.ok())
    return WithReason(Reason::kQemuError, "vhost-user memory table", memory.status());
  std::shared_ptr<const MemoryTable> table(new MemoryTable(std::move(regions), *std::move(memory)));
  latest_ = table;
  return table;
}

}  // namespace msb::vhost_user
