// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "file-server/session/session.h"

namespace msb {
namespace {

constexpr size_t kEntriesBytes = 32 * 1024;
// A position that is no entry's: the next read has to seek.
constexpr int64_t kPositionUnknown = -1;

// getdents64(2), which has no declaration.
struct LinuxEntry {
  uint64_t inode;
  int64_t next;
  uint16_t length;
  uint8_t type;
  char name[];
};

bool IsDots(absl::string_view name) { return name == "." || name == ".."; }

}  // namespace

Errno Session::OpenDirectory(Call& call) {
  fuse_open_out reply = {};
  if (call.header.nodeid != FUSE_ROOT_ID) {
    MSB_ASSIGN_OR_ERRNO(const InodeRef inode, FindInode(call.header.nodeid));
    if (!inode->is_directory()) return ErrnoValue(ENOTDIR);
    MSB_ASSIGN_OR_ERRNO(const int fd, TrySyscall([&] {
                          return ::openat(inode->fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                        }));
    MSB_ASSIGN_OR_ERRNO(
        reply.fh, handles_.Add(Handle::Kind::kDirectory, call.header.nodeid, inode, UniqueFd(fd)));
  }
  call.out.Append(reply);
  return Errno::kNone;
}

Errno Session::ReadDirectory(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_read_in wanted, call.in.Take<fuse_read_in>());
  if (wanted.size > call.out.room()) return ErrnoValue(EINVAL);
  if (call.header.nodeid == FUSE_ROOT_ID) return ReadRoot(call, wanted);
  MSB_ASSIGN_OR_ERRNO(const InodeRef directory, FindInode(call.header.nodeid));
  MSB_ASSIGN_OR_ERRNO(const HandleRef handle,
                      handles_.Find(Handle::Kind::kDirectory, call.header.nodeid, wanted.fh));
  return AppendEntries(call, directory, *handle, wanted);
}

Errno Session::ReadRoot(Call& call, const fuse_read_in& wanted) {
  for (uint64_t index = wanted.offset; index < exports_.size(); ++index) {
    fuse_dirent entry = {};
    entry.ino = FUSE_ROOT_ID + 1 + index;
    entry.off = index + 1;
    if (!AppendEntry(call, nullptr, entry, std::to_string(index), wanted.size)) break;
  }
  return Errno::kNone;
}

Errno Session::AppendEntries(Call& call, const InodeRef& directory, const Handle& handle,
                             const fuse_read_in& wanted) {
  absl::MutexLock lock(&handle.position_mutex);
  const auto offset = static_cast<int64_t>(wanted.offset);
  if (handle.position != offset) {
    if (offset < 0 || ::lseek64(handle.fd.get(), offset, SEEK_SET) < 0) return ErrnoValue(EINVAL);
  }
  handle.position = kPositionUnknown;
  alignas(LinuxEntry) char buffer[kEntriesBytes];
  MSB_ASSIGN_OR_ERRNO(const long size, TrySyscall([&] {
                        return ::syscall(SYS_getdents64, handle.fd.get(), buffer,
                                         std::min<size_t>(sizeof(buffer), wanted.size));
                      }));
  int64_t consumed = offset;
  for (long at = 0; at < size;) {
    const auto* const found = reinterpret_cast<const LinuxEntry*>(buffer + at);
    fuse_dirent entry = {};
    entry.ino = inodes_.GuestInodeNumber(directory->device(), found->inode);
    entry.off = static_cast<uint64_t>(found->next);
    entry.type = found->type;
    if (!AppendEntry(call, directory, entry, found->name, wanted.size)) return Errno::kNone;
    consumed = found->next;
    at += found->length;
  }
  handle.position = consumed;
  return Errno::kNone;
}

// False when it does not fit into `limit` bytes of reply.
bool Session::AppendEntry(Call& call, const InodeRef& directory, const fuse_dirent& entry,
                          absl::string_view name, size_t limit) {
  const bool plus = call.header.opcode == FUSE_READDIRPLUS;
  const size_t fixed = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
  const size_t padded = FUSE_DIRENT_ALIGN(fixed + name.size());
  if (call.out.size() + padded > limit) return false;
  if (plus) {
    // An entry that cannot be looked up is still listed; the guest asks for it when it wants it.
    fuse_entry_out looked = {};
    if (!IsDots(name)) {
      auto found = directory == nullptr
                       ? LookUpExport(std::string(name))
                       : LookUpEntry({call.header.nodeid, directory, std::string(name)});
      if (found.ok()) looked = *found;
    }
    call.out.Append(looked);
  }
  fuse_dirent header = entry;
  header.namelen = static_cast<uint32_t>(name.size());
  call.out.AppendBytes(&header, FUSE_NAME_OFFSET);
  call.out.AppendBytes(name.data(), name.size());
  constexpr char kZeroes[sizeof(uint64_t)] = {};
  call.out.AppendBytes(kZeroes, padded - fixed - name.size());
  return true;
}

}  // namespace msb
