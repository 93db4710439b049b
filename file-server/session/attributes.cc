// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>

#include "file-server/session/session.h"

namespace msb {
namespace {

constexpr uint32_t kPermissionBits = 07777;
constexpr uint32_t kBlockBytes = 4096;

// As Linux shows a directory with a project quota: as large as the quota, and as much of it free as
// the quota and the file system both have.
void ShowRoom(const Ledger::Room& room, fuse_kstatfs& shown) {
  const uint64_t block = std::max<uint32_t>(1, shown.frsize);
  shown.blocks = room.limit / block;
  shown.bavail = std::min(shown.bavail, room.left / block);
  shown.bfree = shown.bavail;
  shown.files = room.limit / Ledger::kNameBytes;
  shown.ffree = std::min<uint64_t>(shown.ffree, room.left / Ledger::kNameBytes);
}

}  // namespace

fuse_attr Session::AttributesOf(const struct stat& info, uint32_t export_index) {
  fuse_attr attributes = {};
  attributes.ino = inodes_.GuestInodeNumber(info.st_dev, info.st_ino);
  attributes.size = static_cast<uint64_t>(info.st_size);
  attributes.blocks = static_cast<uint64_t>(info.st_blocks);
  attributes.atime = static_cast<uint64_t>(info.st_atim.tv_sec);
  attributes.mtime = static_cast<uint64_t>(info.st_mtim.tv_sec);
  attributes.ctime = static_cast<uint64_t>(info.st_ctim.tv_sec);
  attributes.atimensec = static_cast<uint32_t>(info.st_atim.tv_nsec);
  attributes.mtimensec = static_cast<uint32_t>(info.st_mtim.tv_nsec);
  attributes.ctimensec = static_cast<uint32_t>(info.st_ctim.tv_nsec);
  attributes.mode = info.st_mode;
  attributes.nlink = static_cast<uint32_t>(info.st_nlink);
  attributes.uid = identity_.GuestUid(info.st_uid, exports_[export_index].owner);
  attributes.gid = identity_.GuestGid(info.st_gid, exports_[export_index].owner);
  attributes.blksize = static_cast<uint32_t>(info.st_blksize);
  return attributes;
}

fuse_attr Session::RootAttributes() const {
  fuse_attr attributes = {};
  attributes.ino = FUSE_ROOT_ID;
  attributes.mode = S_IFDIR | 0555;
  attributes.nlink = 2;
  attributes.blksize = kBlockBytes;
  return attributes;
}

Errno Session::ReplyAttributes(Call& call, const fuse_attr& attributes) const {
  fuse_attr_out reply = {};
  reply.attr_valid = kValidSeconds;
  reply.attr = attributes;
  call.out.Append(reply);
  return Errno::kNone;
}

Errno Session::GetAttributes(Call& call) {
  if (call.header.nodeid == FUSE_ROOT_ID) return ReplyAttributes(call, RootAttributes());
  MSB_ASSIGN_OR_ERRNO(const InodeRef inode, FindInode(call.header.nodeid));
  struct stat info;
  if (::fstat(inode->fd(), &info) != 0) return LastErrno();
  return ReplyAttributes(call, AttributesOf(info, inode->export_index()));
}

Errno Session::SetAttributes(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_setattr_in wanted, call.in.Take<fuse_setattr_in>());
  MSB_ASSIGN_OR_ERRNO(const InodeRef inode, FindInode(call.header.nodeid));
  MSB_RETURN_IF_ERRNO(inode->CheckWritable());
  if ((wanted.valid & (FATTR_UID | FATTR_GID)) != 0) {
    MSB_RETURN_IF_ERRNO(ChangeOwner(*inode, wanted));
  }
  if ((wanted.valid & FATTR_MODE) != 0) MSB_RETURN_IF_ERRNO(ChangeMode(*inode, wanted.mode));
  if ((wanted.valid & FATTR_SIZE) != 0) {
    MSB_RETURN_IF_ERRNO(ChangeSize(call, *inode, wanted));
  }
  if ((wanted.valid & (FATTR_ATIME | FATTR_MTIME)) != 0) {
    MSB_RETURN_IF_ERRNO(ChangeTimes(*inode, wanted));
  }
  struct stat info;
  if (::fstat(inode->fd(), &info) != 0) return LastErrno();
  return ReplyAttributes(call, AttributesOf(info, inode->export_index()));
}

// Neither setuid nor setgid: a program that a guest leaves on the host gives nobody its owner's
// rights. On a directory setgid says whose group its files get, and may stay.
Errno Session::ChangeMode(const Inode& inode, uint32_t mode) const {
  if (inode.type() == S_IFLNK) return ErrnoValue(EOPNOTSUPP);
  const uint32_t stripped = inode.is_directory() ? S_ISUID : S_ISUID | S_ISGID;
  if (::chmod(inode.ProcPath().c_str(), mode & kPermissionBits & ~stripped) != 0) {
    return LastErrno();
  }
  return Errno::kNone;
}

Errno Session::ChangeOwner(const Inode& inode, const fuse_setattr_in& wanted) const {
  const bool uid_given = (wanted.valid & FATTR_UID) != 0;
  const bool gid_given = (wanted.valid & FATTR_GID) != 0;
  if (identity_.passes_through()) {
    const uid_t uid = uid_given ? wanted.uid : static_cast<uid_t>(-1);
    const gid_t gid = gid_given ? wanted.gid : static_cast<gid_t>(-1);
    if (::fchownat(inode.fd(), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
      return LastErrno();
    }
    return Errno::kNone;
  }
  // A server without rights gives nothing away; what is so already, is.
  struct stat info;
  if (::fstat(inode.fd(), &info) != 0) return LastErrno();
  const Owner owner = exports_[inode.export_index()].owner;
  if (uid_given && wanted.uid != identity_.GuestUid(info.st_uid, owner)) return ErrnoValue(EPERM);
  if (gid_given && wanted.gid != identity_.GuestGid(info.st_gid, owner)) return ErrnoValue(EPERM);
  return Errno::kNone;
}

Errno Session::ChangeSize(Call& call, const Inode& inode, const fuse_setattr_in& wanted) {
  if (wanted.size > INT64_MAX) return ErrnoValue(EINVAL);
  call.before_slow();
  const auto size = static_cast<off_t>(wanted.size);
  QuotaChange change(quotas_, SubjectOf(inode), call.before_slow);
  MSB_RETURN_IF_ERRNO(change.AdmitResize(size));
  if ((wanted.valid & FATTR_FH) != 0) {
    MSB_ASSIGN_OR_ERRNO(const HandleRef handle, FindFile(call.header.nodeid, wanted.fh));
    if (::ftruncate(handle->fd.get(), size) != 0) return LastErrno();
    return Errno::kNone;
  }
  if (!inode.is_regular()) return ErrnoValue(inode.is_directory() ? EISDIR : EINVAL);
  if (::truncate(inode.ProcPath().c_str(), size) != 0) return LastErrno();
  return Errno::kNone;
}

Errno Session::ChangeTimes(const Inode& inode, const fuse_setattr_in& wanted) const {
  timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = 0, .tv_nsec = UTIME_OMIT}};
  if ((wanted.valid & FATTR_ATIME_NOW) != 0) {
    times[0].tv_nsec = UTIME_NOW;
  } else if ((wanted.valid & FATTR_ATIME) != 0) {
    times[0] = {static_cast<time_t>(wanted.atime), wanted.atimensec};
  }
  if ((wanted.valid & FATTR_MTIME_NOW) != 0) {
    times[1].tv_nsec = UTIME_NOW;
  } else if ((wanted.valid & FATTR_MTIME) != 0) {
    times[1] = {static_cast<time_t>(wanted.mtime), wanted.mtimensec};
  }
  if (::utimensat(inode.fd(), "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
    return LastErrno();
  }
  return Errno::kNone;
}

Errno Session::ReadLink(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const InodeRef inode, FindInode(call.header.nodeid));
  if (inode->type() != S_IFLNK) return ErrnoValue(EINVAL);
  MSB_ASSIGN_OR_ERRNO(const ssize_t size, TrySyscall([&] {
                        return ::readlinkat(inode->fd(), "",
                                            reinterpret_cast<char*>(call.out.Tail()), PATH_MAX - 1);
                      }));
  call.out.Extend(static_cast<size_t>(size));
  return Errno::kNone;
}

Errno Session::StatFileSystem(Call& call) {
  fuse_statfs_out reply = {};
  reply.st.bsize = reply.st.frsize = kBlockBytes;
  reply.st.namelen = kMaxNameBytes;
  if (call.header.nodeid != FUSE_ROOT_ID) {
    MSB_ASSIGN_OR_ERRNO(const InodeRef inode, FindInode(call.header.nodeid));
    struct statfs info;
    if (::fstatfs(inode->fd(), &info) != 0) return LastErrno();
    reply.st.blocks = info.f_blocks;
    reply.st.bfree = info.f_bfree;
    reply.st.bavail = info.f_bavail;
    reply.st.files = info.f_files;
    reply.st.ffree = info.f_ffree;
    reply.st.bsize = static_cast<uint32_t>(info.f_bsize);
    reply.st.namelen = static_cast<uint32_t>(info.f_namelen);
    reply.st.frsize = static_cast<uint32_t>(info.f_frsize);
    if (quotas_.ledger.Limits(inode->export_index())) {
      ShowRoom(quotas_.ledger.RoomOf(inode->export_index()), reply.st);
    }
  }
  call.out.Append(reply);
  return Errno::kNone;
}

}  // namespace msb
