// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/session/session.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "file-server/session/slow.h"

namespace msb {
namespace {

// The oldest minor version whose structures all have the size that we use.
constexpr uint32_t kOldestMinor = 31;

// What the guest's kernel may do with us. Not here, and so local to the guest: locks, ACLs. Not
// here on purpose: WRITEBACK_CACHE (the host's own writers would be overwritten), EXPORT_SUPPORT
// ("." and ".." would be looked up), SUBMOUNTS.
constexpr uint64_t kWantedFlags =
    FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA |
    FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
    FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT;
constexpr uint16_t kMaxPages = kMaxDataBytes / 4096;
// Requests that the guest's kernel keeps under way in the background (read-ahead, write-back).
constexpr uint16_t kMaxBackground = 64;
constexpr uint16_t kCongestion = 48;

std::vector<Export> WithKinds(std::vector<Export> exports) {
  for (Export& shown : exports) shown.kind = KindOfFileSystem(shown.fd.get());
  return exports;
}

std::vector<uint64_t> QuotasOf(const std::vector<Export>& exports) {
  std::vector<uint64_t> quotas;
  for (const Export& shown : exports) quotas.push_back(shown.quota_bytes);
  return quotas;
}

}  // namespace

Session::Session(std::vector<Export> exports, IdentityMap identity, SessionLimits limits)
    : exports_(WithKinds(std::move(exports))),
      identity_(identity),
      quotas_(QuotasOf(exports_)),
      inodes_(limits.inodes, limits.descriptors,
              quotas_.ledger.HasLimits() ? &quotas_.ledger : nullptr),
      handles_(limits.handles) {
  for (const Export& shown : exports_) {
    if (shown.kind == FileSystemKind::kRemote) any_is_remote_ = true;
    // Whatever the guest forgets, what is exported stays open.
    struct stat info;
    if (::fstat(shown.fd.get(), &info) == 0) quotas_.ledger.Hold(IdOf(info));
  }
}

ErrnoOr<InodeRef> Session::FindInode(uint64_t node) {
  if (node == FUSE_ROOT_ID) return ErrnoValue(EROFS);
  return inodes_.Find(node);
}

// Nodes that are none, the root among them, may lead to any.
bool Session::MayWaitForOthers(uint64_t node) const {
  if (!any_is_remote_) return false;
  return inodes_.KindOf(node) == FileSystemKind::kRemote;
}

std::optional<Errno> Session::Serve(Call& call) {
  if (MayWaitForOthers(call.header.nodeid)) call.before_slow();
  switch (call.header.opcode) {
    case FUSE_FORGET:
      Forget(call);
      return std::nullopt;
    case FUSE_BATCH_FORGET:
      BatchForget(call);
      return std::nullopt;
    case FUSE_INTERRUPT:  // what is under way ends by itself
      return std::nullopt;
    default:
      return Dispatch(call);
  }
}

Errno Session::Dispatch(Call& call) {
  switch (call.header.opcode) {
    case FUSE_INIT:
      return Init(call);
    case FUSE_DESTROY:
      inodes_.Clear();
      handles_.Clear();
      return Errno::kNone;
    case FUSE_GETATTR:
      return GetAttributes(call);
    case FUSE_SETATTR:
      return SetAttributes(call);
    case FUSE_READLINK:
      return ReadLink(call);
    case FUSE_STATFS:
      return StatFileSystem(call);
    case FUSE_SETXATTR:
      return SetExtended(call);
    case FUSE_GETXATTR:
      return GetExtended(call);
    case FUSE_LISTXATTR:
      return ListExtended(call);
    case FUSE_REMOVEXATTR:
      return RemoveExtended(call);
    default:
      return DispatchEntry(call);
  }
}

Errno Session::DispatchEntry(Call& call) {
  switch (call.header.opcode) {
    case FUSE_LOOKUP:
      return Lookup(call);
    case FUSE_MKNOD:
      return MakeNode(call);
    case FUSE_MKDIR:
      return MakeDirectory(call);
    case FUSE_SYMLINK:
      return MakeSymlink(call);
    case FUSE_LINK:
      return Link(call);
    case FUSE_UNLINK:
      return Unlink(call, 0);
    case FUSE_RMDIR:
      return Unlink(call, AT_REMOVEDIR);
    case FUSE_RENAME:
    case FUSE_RENAME2:
      return Rename(call);
    case FUSE_CREATE:
      return Create(call);
    case FUSE_OPENDIR:
      return OpenDirectory(call);
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return ReadDirectory(call);
    default:
      return DispatchFile(call);
  }
}

Errno Session::DispatchFile(Call& call) {
  switch (call.header.opcode) {
    case FUSE_OPEN:
      return Open(call);
    case FUSE_READ:
      return Read(call);
    case FUSE_WRITE:
      return Write(call);
    case FUSE_RELEASE:
      return Release(call, Handle::Kind::kFile);
    case FUSE_RELEASEDIR:
      return Release(call, Handle::Kind::kDirectory);
    case FUSE_FSYNC:
      return Synchronise(call, Handle::Kind::kFile);
    case FUSE_FSYNCDIR:
      return Synchronise(call, Handle::Kind::kDirectory);
    case FUSE_FALLOCATE:
      return Allocate(call);
    case FUSE_LSEEK:
      return Seek(call);
    case FUSE_COPY_FILE_RANGE:
      return CopyRange(call);
    default:
      // FLUSH too: a write is the host's when it has been answered, so that a close has nothing to
      // wait for. The guest's kernel does not ask again.
      return ErrnoValue(ENOSYS);
  }
}

// A new session: what an earlier one knew, before a reboot of the guest, is gone.
Errno Session::Init(Call& call) {
  // Older kernels send the first four fields alone.
  fuse_init_in theirs = {};
  const absl::Span<const uint8_t> bytes = call.in.rest();
  if (bytes.size() < 4 * sizeof(uint32_t)) return ErrnoValue(EINVAL);
  std::memcpy(&theirs, bytes.data(), std::min(bytes.size(), sizeof(theirs)));
  if (theirs.major != FUSE_KERNEL_VERSION || theirs.minor < kOldestMinor) {
    return ErrnoValue(EPROTO);
  }
  inodes_.Clear();
  handles_.Clear();
  uint64_t offered = theirs.flags;
  if ((theirs.flags & FUSE_INIT_EXT) != 0) offered |= uint64_t{theirs.flags2} << 32;
  const uint64_t agreed = offered & kWantedFlags;
  extended_setxattr_ = (agreed & FUSE_SETXATTR_EXT) != 0;

  fuse_init_out ours = {};
  ours.major = FUSE_KERNEL_VERSION;
  ours.minor = std::min<uint32_t>(theirs.minor, FUSE_KERNEL_MINOR_VERSION);
  ours.max_readahead = std::min(theirs.max_readahead, kMaxDataBytes);
  ours.flags = static_cast<uint32_t>(agreed);
  ours.flags2 = static_cast<uint32_t>(agreed >> 32);
  ours.max_background = kMaxBackground;
  ours.congestion_threshold = kCongestion;
  ours.max_write = kMaxDataBytes;
  ours.time_gran = 1;
  ours.max_pages = kMaxPages;
  call.out.Append(ours);
  return Errno::kNone;
}

void Session::Forget(Call& call) {
  auto wanted = call.in.Take<fuse_forget_in>();
  if (wanted.ok()) ForgetInode(call, call.header.nodeid, wanted->nlookup);
}

void Session::BatchForget(Call& call) {
  auto batch = call.in.Take<fuse_batch_forget_in>();
  if (!batch.ok()) return;
  for (uint32_t i = 0; i < batch->count; ++i) {
    auto one = call.in.Take<fuse_forget_one>();
    if (!one.ok()) return;  // the count lied
    ForgetInode(call, one->nodeid, one->nlookup);
  }
}

// What has no name any more goes when its last descriptor is closed: here, for UNLINK comes while
// the guest still knows the inode.
void Session::ForgetInode(Call& call, uint64_t node, uint64_t count) {
  const InodeRef last = inodes_.Forget(node, count);
  if (last == nullptr || !last->is_regular()) return;
  struct stat info;
  if (::fstat(last->fd(), &info) == 0 && info.st_nlink == 0 && IsSlowToFree(info)) {
    call.before_slow();
  }
}

}  // namespace msb
