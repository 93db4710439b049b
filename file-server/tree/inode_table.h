// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the guest's kernel knows: inodes, counted as the protocol has it (a LOOKUP adds one, a
// FORGET takes some away).
//
// A guest's kernel knows all that it has ever seen, until it needs the memory: more than there are
// descriptors. So a directory is a descriptor as long as it is known, and so is any file at first;
// beyond a number of them those that have not been used for longest are closed, and found again, by
// their name in the directory where they were seen last, when they are asked for. What is there
// then must be the same file, else the guest hears ESTALE, for which Linux looks the path up anew.
// Not closed are files that are open in the guest, that cannot be found by their name any more, or
// that another machine has.
//
// A guest that lies about its count loses the inode, and hears ESTALE; an inode in use by a request
// lives until that request is done. Numbers are never used twice.
//
// Threading: safe.

#ifndef MSB_FILE_SERVER_TREE_INODE_TABLE_H_
#define MSB_FILE_SERVER_TREE_INODE_TABLE_H_

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "file-server/fuse/errno_or.h"
#include "file-server/quota/ledger.h"
#include "file-server/tree/file_system_kind.h"
#include "file-server/tree/find_entry.h"
#include "file-server/tree/identity.h"

namespace msb {

enum class Access { kReadOnly, kReadWrite };

// A directory or file that the host shows: entry number `index` of the root that the guest mounts.
struct Export {
  UniqueFd fd;
  Access access = Access::kReadOnly;
  // Whom the guest sees as the owner of what is the server's user's.
  Owner owner;
  // How many bytes a guest may add; 0: no limit.
  uint64_t quota_bytes = 0;
  // The session asks, once.
  FileSystemKind kind = FileSystemKind::kLocal;
};

// How an inode is shown.
struct Shown {
  uint32_t export_index = 0;
  Access access = Access::kReadOnly;
  FileSystemKind kind = FileSystemKind::kLocal;
};

// What an inode is for as long as it is known.
struct InodeFacts {
  InodeFacts(const struct stat& info, const Shown& how_shown)
      : device(info.st_dev), number(info.st_ino), type(info.st_mode & S_IFMT), shown(how_shown) {}

  bool AreOf(const struct stat& info) const {
    return device == info.st_dev && number == info.st_ino && type == (info.st_mode & S_IFMT);
  }

  dev_t device;
  ino_t number;
  mode_t type;
  Shown shown;
};

// Immutable but for the stamps.
class Inode {
 public:
  // `fd` is an O_PATH descriptor, except for an export that is a file. `ledger` is to know who
  // holds a file, or null.
  Inode(UniqueFd fd, const InodeFacts& facts, Ledger* ledger);
  Inode(const Inode&) = delete;
  Inode& operator=(const Inode&) = delete;
  ~Inode();

  int fd() const { return fd_.get(); }
  dev_t device() const { return facts_.device; }
  ino_t number() const { return facts_.number; }
  FileId id() const { return {facts_.device, facts_.number}; }
  mode_t type() const { return facts_.type; }
  bool is_directory() const { return facts_.type == S_IFDIR; }
  bool is_regular() const { return facts_.type == S_IFREG; }
  const Shown& shown() const { return facts_.shown; }
  uint32_t export_index() const { return facts_.shown.export_index; }
  // EROFS where nothing may be changed.
  Errno CheckWritable() const { return writable() ? Errno::kNone : ErrnoValue(EROFS); }
  bool writable() const { return facts_.shown.access == Access::kReadWrite; }
  // A name by which the kernel opens this very inode, whatever has become of its path.
  std::string ProcPath() const;
  // What its entries are found from.
  FoundFrom AsDirectory() const { return {fd(), device(), shown().kind}; }

  // Of this host's file systems: others may have to be waited for, or count no names (FUSE).
  bool HasNoName() const;

  // Whether the content is what it was when this was asked last: then the guest may keep its cache.
  bool UnchangedSinceLastAsked(const struct stat& info) const;

  void Use() const { used_.store(true, std::memory_order_relaxed); }
  bool UsedSinceLastAsked() const { return used_.exchange(false, std::memory_order_relaxed); }

 private:
  const UniqueFd fd_;
  const InodeFacts facts_;
  Ledger* const ledger_;
  using Stamp = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t>;
  mutable absl::Mutex mutex_;
  mutable Stamp stamp_ ABSL_GUARDED_BY(mutex_);
  mutable std::atomic<bool> used_ = false;
};

using InodeRef = std::shared_ptr<const Inode>;

// Where an inode was seen last: a node that is a directory, and a name in it.
struct InodePlace {
  uint64_t directory = 0;  // 0: nowhere that it could be found again
  std::string name;
};

class InodeTable {
 public:
  // `descriptors` that are open at most, but for those that have to be. `ledger` outlives the table
  // and all inodes; null where nothing is counted.
  InodeTable(size_t capacity, size_t descriptors, Ledger* ledger = nullptr)
      : capacity_(capacity), descriptors_(descriptors), ledger_(ledger) {}

  // ESTALE for a number that is none (any more), or whose file is not to be found any more.
  ErrnoOr<InodeRef> Find(uint64_t node);

  // The number of what was found, known already or new; its count is one higher. ENFILE when the
  // table is full.
  ErrnoOr<uint64_t> Lookup(Found found, InodePlace place, const Shown& shown);
  // Whom a call on it may wait for. kRemote for a number that is none.
  FileSystemKind KindOf(uint64_t node) const;
  // It is there now.
  void Move(const Found& found, uint32_t export_index, InodePlace place);
  // It is about to lose its name: from now on it is found by its descriptor alone.
  void Hold(Found found, uint32_t export_index);
  // Whether there is any inode that Hold is for.
  bool HasClosed() const;

  // `count` as the guest says. The inode, for the caller to close, when none is left and it is
  // open; else null.
  InodeRef Forget(uint64_t node, uint64_t count);
  void Clear();
  size_t size() const;
  size_t open() const;

  // The number that the guest sees: another for each file of all file systems that are shown, since
  // its kernel knows one device, and tar or rsync take two files of one number for one. What comes
  // of the file systems' first numbers, as nearly all do, is told apart by a table; where that is
  // full (a file system that spreads its numbers over 64 bits), by 63 bits of a hash.
  uint64_t GuestInodeNumber(dev_t device, ino_t number);

 private:
  using Key = std::tuple<dev_t, ino_t, uint32_t>;
  // Numbers of one file system that differ in their lower bits alone.
  using Range = std::pair<dev_t, uint64_t>;
  using Queue = std::list<uint64_t>;
  struct Entry {
    InodeFacts facts;
    uint64_t lookups = 1;
    InodePlace place;
    InodeRef inode = nullptr;   // unless it is closed
    std::string identity = {};  // of one that is closed
    std::optional<Queue::iterator> in_queue = std::nullopt;
  };
  static Key KeyOf(const InodeFacts& facts) {
    return {facts.device, facts.number, facts.shown.export_index};
  }

  static bool MayBeClosed(const Entry& entry);
  ErrnoOr<InodeRef> HoldFound(UniqueFd fd, const InodeFacts& facts, const InodePlace& place) const;
  ErrnoOr<InodeRef> OpenAgain(uint64_t node);
  // Returns its number.
  uint64_t SeenAt(Entry& entry, InodePlace place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Entry* FindKnown(const struct stat& info, int fd, uint32_t export_index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Closes others until there is room for one more. ENFILE.
  Errno MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool CloseOne() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool CanBeFoundAgain(const Entry& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Open(uint64_t node, Entry& entry, InodeRef inode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t capacity_;
  const size_t descriptors_;
  Ledger* const ledger_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<Key, uint64_t> numbers_ ABSL_GUARDED_BY(mutex_);
  // Of files that are open, in the order in which they are looked at to be closed.
  Queue queue_ ABSL_GUARDED_BY(mutex_);
  size_t open_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_node_ ABSL_GUARDED_BY(mutex_) = 2;  // 1 is the root (FUSE_ROOT_ID)
  absl::Mutex ranges_mutex_;
  absl::flat_hash_map<Range, uint64_t> ranges_ ABSL_GUARDED_BY(ranges_mutex_);  // in their order
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_TREE_INODE_TABLE_H_
