// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the guest's kernel knows: inodes, each with the descriptor that is it, counted as the
// protocol has it (a LOOKUP adds one, a FORGET takes some away).
//
// A guest that lies about its count loses the inode, and hears ESTALE; an inode in use by a request
// lives until that request is done. Numbers are never used twice.
//
// Threading: safe.

#ifndef MSB_FILE_SERVER_TREE_INODE_TABLE_H_
#define MSB_FILE_SERVER_TREE_INODE_TABLE_H_

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "file-server/fuse/errno_or.h"
#include "file-server/tree/file_system_kind.h"
#include "file-server/tree/identity.h"

namespace msb {

enum class Access { kReadOnly, kReadWrite };

// A directory or file that the host shows: entry number `index` of the root that the guest mounts.
struct Export {
  UniqueFd fd;
  Access access = Access::kReadOnly;
  // Whom the guest sees as the owner of what is the server's user's.
  Owner owner;
  // The session asks, once.
  FileSystemKind kind = FileSystemKind::kLocal;
};

// How an inode is shown.
struct Shown {
  uint32_t export_index = 0;
  Access access = Access::kReadOnly;
  FileSystemKind kind = FileSystemKind::kLocal;
};

// Immutable but for the stamp.
class Inode {
 public:
  // `fd` is an O_PATH descriptor, except for an export that is a file.
  Inode(UniqueFd fd, const struct stat& info, const Shown& shown)
      : fd_(std::move(fd)),
        device_(info.st_dev),
        number_(info.st_ino),
        type_(info.st_mode & S_IFMT),
        shown_(shown) {}

  int fd() const { return fd_.get(); }
  dev_t device() const { return device_; }
  ino_t number() const { return number_; }
  mode_t type() const { return type_; }
  bool is_directory() const { return type_ == S_IFDIR; }
  bool is_regular() const { return type_ == S_IFREG; }
  const Shown& shown() const { return shown_; }
  uint32_t export_index() const { return shown_.export_index; }
  // EROFS where nothing may be changed.
  Errno CheckWritable() const { return writable() ? Errno::kNone : ErrnoValue(EROFS); }
  bool writable() const { return shown_.access == Access::kReadWrite; }
  // A name by which the kernel opens this very inode, whatever has become of its path.
  std::string ProcPath() const;

  // Whether the content is what it was when this was asked last: then the guest may keep its cache.
  bool UnchangedSinceLastAsked(const struct stat& info) const;

 private:
  const UniqueFd fd_;
  const dev_t device_;
  const ino_t number_;
  const mode_t type_;
  const Shown shown_;
  using Stamp = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t>;
  mutable absl::Mutex mutex_;
  mutable Stamp stamp_ ABSL_GUARDED_BY(mutex_);
};

using InodeRef = std::shared_ptr<const Inode>;

class InodeTable {
 public:
  explicit InodeTable(size_t capacity) : capacity_(capacity) {}

  // ESTALE for a number that is none (any more).
  ErrnoOr<InodeRef> Find(uint64_t node) const;

  struct Looked {
    uint64_t node = 0;
    InodeRef inode;
  };
  // The inode of `fd`, known already or new, its count one higher. ENFILE when the table is full.
  ErrnoOr<Looked> Lookup(UniqueFd fd, const struct stat& info, const Shown& shown);
  // `count` as the guest says. The inode, for the caller to close, when none is left; else null.
  InodeRef Forget(uint64_t node, uint64_t count);
  void Clear();
  size_t size() const;

  // The number that the guest sees: another for each file of all file systems that are shown, since
  // its kernel knows one device, and tar or rsync take two files of one number for one. What comes
  // of the file systems' first numbers, as nearly all do, is told apart by a table; where that is
  // full (a file system that spreads its numbers over 64 bits), by 63 bits of a hash.
  uint64_t GuestInodeNumber(dev_t device, ino_t number);

 private:
  using Key = std::tuple<dev_t, ino_t, uint32_t>;
  // Numbers of one file system that differ in their lower bits alone.
  using Range = std::pair<dev_t, uint64_t>;
  struct Entry {
    InodeRef inode;
    uint64_t lookups = 0;
  };

  const size_t capacity_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<Key, uint64_t> numbers_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_node_ ABSL_GUARDED_BY(mutex_) = 2;  // 1 is the root (FUSE_ROOT_ID)
  absl::Mutex ranges_mutex_;
  absl::flat_hash_map<Range, uint64_t> ranges_ ABSL_GUARDED_BY(ranges_mutex_);  // in their order
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_TREE_INODE_TABLE_H_
