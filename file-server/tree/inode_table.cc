// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/tree/inode_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace msb {
namespace {

// A number of the guest's: 15 bits that say which range, 48 of the host's number in it.
constexpr int kRangeShift = 48;
constexpr uint64_t kInRange = (uint64_t{1} << kRangeShift) - 1;
constexpr size_t kMaxRanges = 0x8000;
// Or this and a hash.
constexpr uint64_t kHashed = uint64_t{1} << 63;

// The finish of MurmurHash3: one to one. The same in each process, so that what tools keep of a
// file's number (git's index) holds for as long as it can.
constexpr uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 33)) * 0xff51afd7ed558ccd;
  value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53;
  return value ^ (value >> 33);
}

}  // namespace

std::string Inode::ProcPath() const { return absl::StrCat("/proc/self/fd/", fd()); }

bool Inode::UnchangedSinceLastAsked(const struct stat& info) const {
  const Stamp now(info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ctim.tv_sec,
                  info.st_ctim.tv_nsec, info.st_size);
  absl::MutexLock lock(&mutex_);
  return std::exchange(stamp_, now) == now;
}

ErrnoOr<InodeRef> InodeTable::Find(uint64_t node) const {
  absl::ReaderMutexLock lock(&mutex_);
  const auto found = entries_.find(node);
  if (found == entries_.end()) return ErrnoValue(ESTALE);
  return found->second.inode;
}

ErrnoOr<InodeTable::Looked> InodeTable::Lookup(UniqueFd fd, const struct stat& info,
                                               const Shown& shown) {
  const Key key(info.st_dev, info.st_ino, shown.export_index);
  absl::MutexLock lock(&mutex_);
  if (const auto known = numbers_.find(key); known != numbers_.end()) {
    Entry& entry = entries_[known->second];
    ++entry.lookups;
    return Looked{known->second, entry.inode};
  }
  if (entries_.size() >= capacity_) return ErrnoValue(ENFILE);
  const uint64_t node = next_node_++;
  InodeRef inode = std::make_shared<const Inode>(std::move(fd), info, shown);
  entries_.emplace(node, Entry{inode, 1});
  numbers_.emplace(key, node);
  return Looked{node, std::move(inode)};
}

InodeRef InodeTable::Forget(uint64_t node, uint64_t count) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(node);
  if (found == entries_.end()) return nullptr;
  Entry& entry = found->second;
  entry.lookups -= std::min(entry.lookups, count);
  if (entry.lookups > 0) return nullptr;
  InodeRef last = std::move(entry.inode);
  numbers_.erase(Key(last->device(), last->number(), last->export_index()));
  entries_.erase(found);
  return last;
}

void InodeTable::Clear() {
  absl::flat_hash_map<uint64_t, Entry> closing;
  absl::MutexLock lock(&mutex_);
  closing.swap(entries_);
  numbers_.clear();
}

size_t InodeTable::size() const {
  absl::ReaderMutexLock lock(&mutex_);
  return entries_.size();
}

uint64_t InodeTable::GuestInodeNumber(dev_t device, ino_t number) {
  const Range range(device, number >> kRangeShift);
  absl::MutexLock lock(&ranges_mutex_);
  auto known = ranges_.find(range);
  if (known == ranges_.end()) {
    if (ranges_.size() >= kMaxRanges) return kHashed | Mix(Mix(device) ^ number);
    known = ranges_.emplace(range, ranges_.size()).first;
  }
  return known->second << kRangeShift | (number & kInRange);
}

}  // namespace msb
