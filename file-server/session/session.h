// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Serves FUSE requests (<linux/fuse.h>, protocol 7.31 and later) from the exports. All of a request
// is the guest's and hostile: lengths, names, numbers and flags are checked, and nothing is handed
// to the host that is not on a list here.
//
// The root that the guest mounts is made up: a read-only directory whose entries "0", "1", ... are
// the exports. From there on each step goes from a held descriptor to one entry of it, never along
// a path, never through a symbolic link, never to "..".
//
// Threading: Serve may be called by several threads at once.

#ifndef MSB_FILE_SERVER_SESSION_SESSION_H_
#define MSB_FILE_SERVER_SESSION_SESSION_H_

#include <linux/fuse.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "file-server/fuse/errno_or.h"
#include "file-server/fuse/message.h"
#include "file-server/fuse/pieces.h"
#include "file-server/quota/change.h"
#include "file-server/tree/handle_table.h"
#include "file-server/tree/identity.h"
#include "file-server/tree/inode_table.h"

namespace msb {

struct SessionLimits {
  // Each costs some 300 bytes.
  size_t inodes = 262'144;
  // Of those, and about 1 KiB of the host's kernel memory for each. Directories have one as long as
  // they are known.
  size_t descriptors = 32'768;
  size_t handles = 16'384;
};

class Session {
 public:
  // How long the guest believes names and attributes without asking.
  static constexpr uint64_t kValidSeconds = 1;
  // Of an extended attribute, and of a list of their names (XATTR_SIZE_MAX of Linux).
  static constexpr size_t kMaxAttributeBytes = 65'536;
  // One COPY_FILE_RANGE copies at most so much; the guest asks again for the rest.
  static constexpr uint64_t kMaxCopyBytes = uint64_t{64} << 20;

  Session(std::vector<Export> exports, IdentityMap identity, SessionLimits limits);

  struct Call {
    const fuse_in_header& header;
    RequestReader in;
    ReplyBuffer& out;
    // Called before what may take long: others are served meanwhile. A second call does nothing.
    const std::function<void()>& before_slow;
    // Whether whoever asked has given up waiting: what is in `data` may be another's by then.
    std::function<bool()> is_given_up = [] { return false; };
    // What WRITE writes, as far as it is not in `in`: in the guest's memory, where it may change
    // while it is read.
    Pieces data = {};
    // Where READ may put what is there at once: the guest's memory behind the reply's header. If
    // there is none, into `out`.
    Pieces room = {};
  };
  // The reply's body is in `call.out`; nullopt when the request has no reply.
  std::optional<Errno> Serve(Call& call);

  size_t inodes() const { return inodes_.size(); }
  size_t open_inodes() const { return inodes_.open(); }
  size_t handles() const { return handles_.size(); }

 private:
  // A directory, by its number too, and a name in it.
  struct Place {
    uint64_t node = 0;
    InodeRef directory;
    std::string name;
  };

  Errno Dispatch(Call& call);
  Errno DispatchEntry(Call& call);
  Errno DispatchFile(Call& call);
  Errno Init(Call& call);
  void Forget(Call& call);
  void BatchForget(Call& call);
  void ForgetInode(Call& call, uint64_t node, uint64_t count);
  bool MayWaitForOthers(uint64_t node) const;

  // entries.cc: names.
  Errno Lookup(Call& call);
  Errno MakeNode(Call& call);
  Errno MakeDirectory(Call& call);
  Errno MakeSymlink(Call& call);
  Errno Link(Call& call);
  Errno Unlink(Call& call, int flags);
  Errno Rename(Call& call);
  Errno Create(Call& call);
  ErrnoOr<Place> TakePlace(Call& call, uint64_t node);
  ErrnoOr<Found> FindEntryAt(const Place& place) const;
  ErrnoOr<fuse_entry_out> LookUpEntry(const Place& place);
  ErrnoOr<fuse_entry_out> LookUpExport(const std::string& name);
  ErrnoOr<fuse_entry_out> AddEntry(const Place& place, Found found);
  void HoldEntry(const Place& place);
  void MoveEntry(const Place& place);
  Errno ReplyNewEntry(Call& call, const Place& place);
  ErrnoOr<uint64_t> AddHandle(uint64_t node, UniqueFd fd);
  ErrnoOr<UniqueFd> MakeFile(const Place& place, int flags, mode_t mode) const;
  ErrnoOr<UniqueFd> CreateFile(Call& call, const Place& place, int flags, mode_t mode);
  Errno ReplyMade(Call& call, const Place& place, mode_t type, QuotaChange& change);
  std::optional<Found> FindCounted(const Place& place) const;
  void CountLostName(const Place& place, const std::optional<Found>& lost);
  bool GivesAway(const fuse_in_header& caller) const;
  Errno GiveToCaller(const fuse_in_header& caller, const Inode& directory, int fd) const;

  // attributes.cc
  Errno GetAttributes(Call& call);
  Errno SetAttributes(Call& call);
  Errno ReadLink(Call& call);
  Errno StatFileSystem(Call& call);
  Errno ChangeMode(const Inode& inode, uint32_t mode) const;
  Errno ChangeOwner(const Inode& inode, const fuse_setattr_in& wanted) const;
  Errno ChangeSize(Call& call, const Inode& inode, const fuse_setattr_in& wanted);
  Errno ChangeTimes(const Inode& inode, const fuse_setattr_in& wanted) const;
  fuse_attr AttributesOf(const struct stat& info, uint32_t export_index);
  fuse_attr RootAttributes() const;
  Errno ReplyAttributes(Call& call, const fuse_attr& attributes) const;

  // directories.cc
  Errno OpenDirectory(Call& call);
  Errno ReadDirectory(Call& call);
  Errno ReadRoot(Call& call, const fuse_read_in& wanted);
  Errno AppendEntries(Call& call, const InodeRef& directory, const Handle& handle,
                      const fuse_read_in& wanted);
  bool AppendEntry(Call& call, const InodeRef& directory, const fuse_dirent& entry,
                   absl::string_view name, size_t limit);

  // files.cc
  Errno Open(Call& call);
  ErrnoOr<UniqueFd> OpenFile(Call& call, const QuotaChange::Subject& file, FileSystemKind kind,
                             int flags);
  ErrnoOr<UniqueFd> OpenAgain(Call& call, int fd, FileSystemKind kind, int flags) const;
  Errno Read(Call& call);
  Errno Write(Call& call);
  Errno Release(Call& call, Handle::Kind kind);
  Errno Synchronise(Call& call, Handle::Kind kind);
  Errno Allocate(Call& call);
  Errno Seek(Call& call);
  Errno CopyRange(Call& call);
  ErrnoOr<HandleRef> FindFile(uint64_t node, uint64_t handle) const {
    return handles_.Find(Handle::Kind::kFile, node, handle);
  }

  // extended_attributes.cc
  Errno SetExtended(Call& call);
  Errno GetExtended(Call& call);
  Errno ListExtended(Call& call);
  Errno RemoveExtended(Call& call);

  // ESTALE; EROFS for the made-up root, which is no inode of the table.
  ErrnoOr<InodeRef> FindInode(uint64_t node);
  static QuotaChange::Subject SubjectOf(const Inode& inode) {
    return {inode.export_index(), inode.id(), inode.fd()};
  }

  const std::vector<Export> exports_;
  const IdentityMap identity_;
  Quotas quotas_;
  InodeTable inodes_;
  HandleTable handles_;
  std::atomic<bool> extended_setxattr_ = false;  // agreed by Init
  std::atomic<bool> any_is_remote_ = false;      // of the inodes there ever were
};

}  // namespace msb

#endif  // MSB_FILE_SERVER_SESSION_SESSION_H_
