// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/fs/in_flight_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

constexpr int kFixedSize = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

absl::StatusOr<InFlightTable> InFlightTable::Create() {
  MSB_ASSIGN_OR_RETURN(const int fd, Syscall("memfd_create", [] {
                         return ::memfd_create("fs-in-flight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
                       }));
  UniqueFd file(fd);
  MSB_RETURN_IF_ERROR(Syscall("size a table", [&] { return ::ftruncate(fd, kBytes); }));
  MSB_RETURN_IF_ERROR(
      Syscall("seal a table", [&] { return ::fcntl(fd, F_ADD_SEALS, kFixedSize); }));
  return MapFile(std::move(file));
}

absl::StatusOr<InFlightTable> InFlightTable::Map(UniqueFd file) {
  MSB_ASSIGN_OR_RETURN(const int seals, Syscall("F_GET_SEALS of a table",
                                                [&] { return ::fcntl(file.get(), F_GET_SEALS); }));
  struct stat info;
  MSB_RETURN_IF_ERROR(Syscall("fstat a table", [&] { return ::fstat(file.get(), &info); }));
  if ((seals & kFixedSize) != kFixedSize || info.st_size != static_cast<off_t>(kBytes)) {
    return MakeError(Reason::kFrameMalformed, "what is no table of requests under way");
  }
  return MapFile(std::move(file));
}

absl::StatusOr<InFlightTable> InFlightTable::MapFile(UniqueFd file) {
  void* const bytes = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (bytes == MAP_FAILED) return absl::ErrnoToStatus(errno, "map a table");
  return InFlightTable(std::move(file), static_cast<QueueTable*>(bytes));
}

InFlightTable::InFlightTable(InFlightTable&& other) noexcept
    : file_(std::move(other.file_)), queues_(std::exchange(other.queues_, nullptr)) {}

InFlightTable::~InFlightTable() {
  if (queues_ != nullptr) ::munmap(queues_, kBytes);
}

void InFlightTable::Clear() {
  for (size_t i = 0; i < fs_handover::kQueues; ++i) {
    queues_[i].answering.store(0, std::memory_order_relaxed);
    for (auto& taken : queues_[i].taken) taken.store(0, std::memory_order_relaxed);
  }
}

bool InFlightTable::Add(size_t queue, uint16_t head) {
  std::atomic<uint8_t>& taken = queues_[queue].taken[head];
  if (taken.load(std::memory_order_relaxed) != 0) return false;
  taken.store(1, std::memory_order_release);
  return true;
}

void InFlightTable::BeginAnswer(size_t queue, uint16_t head, uint16_t next_used) {
  queues_[queue].answering.store(kAnswering | uint32_t{head} << 16 | next_used,
                                 std::memory_order_release);
}

void InFlightTable::EndAnswer(size_t queue, uint16_t head) {
  queues_[queue].taken[head].store(0, std::memory_order_release);
  queues_[queue].answering.store(0, std::memory_order_release);
}

std::vector<uint16_t> InFlightTable::Unanswered(size_t queue, uint16_t size,
                                                uint16_t published_used) const {
  const uint32_t answering = queues_[queue].answering.load(std::memory_order_acquire);
  const bool answered =
      (answering & kAnswering) != 0 && static_cast<uint16_t>(answering + 1) == published_used;
  const uint32_t answered_head = (answering & ~kAnswering) >> 16;
  std::vector<uint16_t> heads;
  for (uint16_t head = 0; head < size && head < fs_handover::kMaxQueueSize; ++head) {
    if (queues_[queue].taken[head].load(std::memory_order_acquire) == 0) continue;
    if (answered && head == answered_head) continue;
    heads.push_back(head);
  }
  return heads;
}

}  // namespace msb
