// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Open files and directories of the guest, by the number that it was given. A number that it makes
// up is EBADF; numbers are never used twice.
//
// Threading: safe.

#ifndef MSB_FILE_SERVER_TREE_HANDLE_TABLE_H_
#define MSB_FILE_SERVER_TREE_HANDLE_TABLE_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "file-server/fuse/errno_or.h"
#include "file-server/tree/inode_table.h"

namespace msb {

struct Handle {
  enum class Kind { kFile, kDirectory };
  Handle(Kind handle_kind, uint64_t node_number, InodeRef opened, UniqueFd descriptor)
      : kind(handle_kind), node(node_number), inode(std::move(opened)), fd(std::move(descriptor)) {}

  const Kind kind;
  const uint64_t node;
  // Keeps its descriptor: an open file may lose its name.
  const InodeRef inode;
  const UniqueFd fd;
  // A directory's position is its descriptor's: one reader at a time.
  mutable absl::Mutex position_mutex;
  mutable int64_t position ABSL_GUARDED_BY(position_mutex) = 0;
};

using HandleRef = std::shared_ptr<const Handle>;

class HandleTable {
 public:
  explicit HandleTable(size_t capacity) : capacity_(capacity) {}

  // ENFILE when too many are open.
  ErrnoOr<uint64_t> Add(Handle::Kind kind, uint64_t node, InodeRef inode, UniqueFd fd) {
    auto handle = std::make_shared<const Handle>(kind, node, std::move(inode), std::move(fd));
    absl::MutexLock lock(&mutex_);
    if (handles_.size() >= capacity_) return ErrnoValue(ENFILE);
    handles_.emplace(next_, std::move(handle));
    return next_++;
  }
  // EBADF for a number that is none, or belongs to another node or kind.
  ErrnoOr<HandleRef> Find(Handle::Kind kind, uint64_t node, uint64_t number) const {
    absl::ReaderMutexLock lock(&mutex_);
    const auto found = handles_.find(number);
    if (found == handles_.end() || found->second->kind != kind || found->second->node != node) {
      return ErrnoValue(EBADF);
    }
    return found->second;
  }
  Errno Remove(Handle::Kind kind, uint64_t node, uint64_t number) {
    MSB_ASSIGN_OR_ERRNO(const HandleRef closing, Find(kind, node, number));
    absl::MutexLock lock(&mutex_);
    handles_.erase(number);
    return Errno::kNone;
  }
  void Clear() {
    absl::flat_hash_map<uint64_t, HandleRef> closing;
    absl::MutexLock lock(&mutex_);
    closing.swap(handles_);
  }
  size_t size() const {
    absl::ReaderMutexLock lock(&mutex_);
    return handles_.size();
  }

 private:
  const size_t capacity_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, HandleRef> handles_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_TREE_HANDLE_TABLE_H_
