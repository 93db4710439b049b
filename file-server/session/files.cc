// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "file-server/session/open_flags.h"
#include "file-server/session/session.h"
#include "file-server/session/slow.h"

namespace msb {
namespace {

// Others are served while so much is written.
constexpr uint32_t kSlowWriteBytes = 128 * 1024;
constexpr int kAllocateModes = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;

bool IsOffset(uint64_t offset) { return offset <= INT64_MAX; }

// Until all is read, the file ends or an error comes; how much it is.
ErrnoOr<size_t> ReadFully(int fd, uint8_t* out, size_t size, uint64_t offset) {
  size_t done = 0;
  while (done < size) {
    auto got = TrySyscall(
        [&] { return ::pread(fd, out + done, size - done, static_cast<off_t>(offset + done)); });
    if (!got.ok()) {
      if (done > 0) break;
      return got.error();
    }
    if (*got == 0) break;
    done += static_cast<size_t>(*got);
  }
  return done;
}

// The data of a WRITE: what was copied with its arguments, then what is in the guest's memory.
ErrnoOr<Pieces> TakeData(Session::Call& call, size_t size) {
  const absl::Span<const uint8_t> copied = call.in.rest();
  Pieces data;
  // Only read, whatever the type of an iovec is.
  data.Append(absl::MakeSpan(const_cast<uint8_t*>(copied.data()), copied.size()));
  data.Append(call.data);
  data.Truncate(size);
  if (data.bytes() < size) return ErrnoValue(EINVAL);
  return data;
}

}  // namespace

Errno Session::Open(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_open_in wanted, call.in.Take<fuse_open_in>());
  MSB_ASSIGN_OR_ERRNO(const InodeRef inode, FindInode(call.header.nodeid));
  if (inode->is_directory()) return ErrnoValue(EISDIR);
  // The guest's kernel itself serves what is neither; here it would block, or be the host's.
  if (!inode->is_regular()) return ErrnoValue(ENXIO);
  const int flags = static_cast<int>(wanted.flags);
  if (WantsToWrite(flags)) MSB_RETURN_IF_ERRNO(inode->CheckWritable());
  MSB_ASSIGN_OR_ERRNO(UniqueFd fd, OpenFile(call, SubjectOf(*inode), inode->shown().kind, flags));
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return LastErrno();
  fuse_open_out reply = {};
  if (inode->UnchangedSinceLastAsked(info)) reply.open_flags = FOPEN_KEEP_CACHE;
  MSB_ASSIGN_OR_ERRNO(reply.fh,
                      handles_.Add(Handle::Kind::kFile, call.header.nodeid, inode, std::move(fd)));
  call.out.Append(reply);
  return Errno::kNone;
}

ErrnoOr<UniqueFd> Session::OpenFile(Call& call, const QuotaChange::Subject& file,
                                    FileSystemKind kind, int flags) {
  if ((flags & O_TRUNC) == 0) return OpenAgain(call, file.fd, kind, flags);
  const QuotaChange change(quotas_, file, call.before_slow);
  return OpenAgain(call, file.fd, kind, flags);
}

// Opens the regular file that `fd` stands for; by its number, so that it is that very file.
ErrnoOr<UniqueFd> Session::OpenAgain(Call& call, int fd, FileSystemKind kind, int flags) const {
  struct stat info;
  if ((flags & O_TRUNC) != 0 && ::fstat(fd, &info) == 0 && IsSlowToFree(info)) call.before_slow();
  const std::string path = absl::StrCat("/proc/self/fd/", fd);
  const int wanted = FilterOpenFlags(flags) | O_CLOEXEC | O_NOCTTY;
  // Not to wait until somebody on the host gives up a lease (Samba's, say). The flag means nothing
  // else to a regular file, unless its file system is a program.
  const int at_once = kind == FileSystemKind::kLocal ? O_NONBLOCK : 0;
  ErrnoOr<int> opened = TrySyscall([&] { return ::open(path.c_str(), wanted | at_once); });
  if (!opened.ok() && opened.error() == ErrnoValue(EAGAIN)) {
    call.before_slow();
    opened = TrySyscall([&] { return ::open(path.c_str(), wanted); });
  }
  if (!opened.ok()) return opened.error();
  return UniqueFd(*opened);
}

Errno Session::Read(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_read_in wanted, call.in.Take<fuse_read_in>());
  if (wanted.size > kMaxDataBytes || !IsOffset(wanted.offset)) return ErrnoValue(EINVAL);
  MSB_ASSIGN_OR_ERRNO(const HandleRef handle, FindFile(call.header.nodeid, wanted.fh));
  Pieces target = call.room;
  const bool in_place = target.count() > 0;
  if (!in_place) target.Append(absl::MakeSpan(call.out.Tail(), wanted.size));
  target.Truncate(wanted.size);
  if (target.bytes() < wanted.size) return ErrnoValue(EINVAL);  // not what the reply has room for
  // What the page cache has is answered at once; only what waits for storage lets others pass.
  const ssize_t cached = ::preadv2(handle->fd.get(), target.data(), target.count(),
                                   static_cast<off_t>(wanted.offset), RWF_NOWAIT);
  const size_t done = cached > 0 ? static_cast<size_t>(cached) : 0;
  if (in_place) {
    call.out.ExtendInPlace(done);
  } else {
    call.out.Extend(done);
  }
  if (done == wanted.size || cached == 0) return Errno::kNone;
  struct stat info;
  const bool at_end = done > 0 && ::fstat(handle->fd.get(), &info) == 0 &&
                      wanted.offset + done >= static_cast<uint64_t>(info.st_size);
  if (at_end) return Errno::kNone;
  // Never in place: the VMM may lose patience meanwhile, and the guest's memory be another's.
  call.before_slow();
  MSB_ASSIGN_OR_ERRNO(const size_t rest, ReadFully(handle->fd.get(), call.out.Tail(),
                                                   wanted.size - done, wanted.offset + done));
  call.out.Extend(rest);
  return Errno::kNone;
}

Errno Session::Write(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_write_in wanted, call.in.Take<fuse_write_in>());
  MSB_ASSIGN_OR_ERRNO(Pieces data, TakeData(call, wanted.size));
  if (!IsOffset(wanted.offset)) return ErrnoValue(EINVAL);
  MSB_ASSIGN_OR_ERRNO(const HandleRef handle, FindFile(call.header.nodeid, wanted.fh));
  const bool synchronous = (wanted.flags & (O_SYNC | O_DSYNC)) != 0;
  bool is_slow = false;
  const std::function<void()> before_slow = [&] {
    is_slow = true;
    call.before_slow();
  };
  if (synchronous || wanted.size >= kSlowWriteBytes) before_slow();
  // A page of a mapping has its place, whatever the file was opened for.
  const bool appends =
      (wanted.flags & O_APPEND) != 0 && (wanted.write_flags & FUSE_WRITE_CACHE) == 0;
  QuotaChange change(quotas_, SubjectOf(*handle->inode), before_slow);
  MSB_RETURN_IF_ERRNO(appends ? change.AdmitAppend(wanted.size)
                              : change.AdmitWrite(handle->fd.get(),
                                                  static_cast<off_t>(wanted.offset), wanted.size));
  size_t done = 0;
  while (done < wanted.size) {
    if (is_slow && call.is_given_up()) return ErrnoValue(EIO);
    auto put = TrySyscall([&] {
      return ::pwritev2(handle->fd.get(), data.data(), data.count(),
                        static_cast<off_t>(wanted.offset + done), appends ? RWF_APPEND : 0);
    });
    if (!put.ok()) {
      if (done > 0) break;  // the error comes again with the rest
      return put.error();
    }
    done += static_cast<size_t>(*put);
    data.RemovePrefix(static_cast<size_t>(*put));
  }
  fuse_write_out reply = {};
  reply.size = static_cast<uint32_t>(done);
  call.out.Append(reply);
  return Errno::kNone;
}

Errno Session::Release(Call& call, Handle::Kind kind) {
  MSB_ASSIGN_OR_ERRNO(const fuse_release_in wanted, call.in.Take<fuse_release_in>());
  if (call.header.nodeid == FUSE_ROOT_ID) return Errno::kNone;
  return handles_.Remove(kind, call.header.nodeid, wanted.fh);
}

Errno Session::Synchronise(Call& call, Handle::Kind kind) {
  MSB_ASSIGN_OR_ERRNO(const fuse_fsync_in wanted, call.in.Take<fuse_fsync_in>());
  if (call.header.nodeid == FUSE_ROOT_ID) return Errno::kNone;
  MSB_ASSIGN_OR_ERRNO(const HandleRef handle, handles_.Find(kind, call.header.nodeid, wanted.fh));
  call.before_slow();
  const bool data_only = (wanted.fsync_flags & FUSE_FSYNC_FDATASYNC) != 0;
  const int fd = handle->fd.get();
  if ((data_only ? ::fdatasync(fd) : ::fsync(fd)) != 0) return LastErrno();
  return Errno::kNone;
}

Errno Session::Allocate(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_fallocate_in wanted, call.in.Take<fuse_fallocate_in>());
  if ((wanted.mode & ~uint32_t{kAllocateModes}) != 0) return ErrnoValue(EOPNOTSUPP);
  if (!IsOffset(wanted.offset) || !IsOffset(wanted.length)) return ErrnoValue(EFBIG);
  MSB_ASSIGN_OR_ERRNO(const HandleRef handle, FindFile(call.header.nodeid, wanted.fh));
  call.before_slow();
  const auto offset = static_cast<off_t>(wanted.offset);
  const auto length = static_cast<off_t>(wanted.length);
  QuotaChange change(quotas_, SubjectOf(*handle->inode), call.before_slow);
  if ((wanted.mode & FALLOC_FL_PUNCH_HOLE) == 0) {
    // Storage behind a file's end does not count (quota/file_space.h).
    if (change.counts() && (wanted.mode & FALLOC_FL_KEEP_SIZE) != 0) return ErrnoValue(EOPNOTSUPP);
    MSB_RETURN_IF_ERRNO(change.AdmitWrite(handle->fd.get(), offset, length));
  }
  MSB_RETURN_IF_ERRNO(TrySyscall([&] {
    return ::fallocate(handle->fd.get(), static_cast<int>(wanted.mode), offset, length);
  }));
  return Errno::kNone;
}

Errno Session::Seek(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_lseek_in wanted, call.in.Take<fuse_lseek_in>());
  if (wanted.whence != SEEK_DATA && wanted.whence != SEEK_HOLE) return ErrnoValue(EINVAL);
  if (!IsOffset(wanted.offset)) return ErrnoValue(ENXIO);
  MSB_ASSIGN_OR_ERRNO(const HandleRef handle, FindFile(call.header.nodeid, wanted.fh));
  MSB_ASSIGN_OR_ERRNO(const off_t found, TrySyscall([&] {
                        return ::lseek(handle->fd.get(), static_cast<off_t>(wanted.offset),
                                       static_cast<int>(wanted.whence));
                      }));
  fuse_lseek_out reply = {};
  reply.offset = static_cast<uint64_t>(found);
  call.out.Append(reply);
  return Errno::kNone;
}

Errno Session::CopyRange(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_copy_file_range_in wanted,
                      call.in.Take<fuse_copy_file_range_in>());
  if (wanted.flags != 0 || !IsOffset(wanted.off_in) || !IsOffset(wanted.off_out)) {
    return ErrnoValue(EINVAL);
  }
  MSB_ASSIGN_OR_ERRNO(const HandleRef from, FindFile(call.header.nodeid, wanted.fh_in));
  MSB_ASSIGN_OR_ERRNO(const HandleRef to, FindFile(wanted.nodeid_out, wanted.fh_out));
  call.before_slow();
  auto from_offset = static_cast<off64_t>(wanted.off_in);
  auto to_offset = static_cast<off64_t>(wanted.off_out);
  struct stat source;
  if (::fstat(from->fd.get(), &source) != 0) return LastErrno();
  const int64_t there = std::max<int64_t>(0, source.st_size - from_offset);
  const size_t size = std::min({wanted.len, kMaxCopyBytes, static_cast<uint64_t>(there)});
  QuotaChange change(quotas_, SubjectOf(*to->inode), call.before_slow);
  MSB_RETURN_IF_ERRNO(change.AdmitWrite(to->fd.get(), to_offset, static_cast<int64_t>(size)));
  MSB_ASSIGN_OR_ERRNO(const ssize_t copied, TrySyscall([&] {
                        return ::copy_file_range(from->fd.get(), &from_offset, to->fd.get(),
                                                 &to_offset, size, 0);
                      }));
  fuse_write_out reply = {};
  reply.size = static_cast<uint32_t>(copied);
  call.out.Append(reply);
  return Errno::kNone;
}

}  // namespace msb
