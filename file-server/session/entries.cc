// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "file-server/session/made_entry.h"
#include "file-server/session/open_flags.h"
#include "file-server/session/session.h"

namespace msb {

ErrnoOr<Session::Place> Session::TakePlace(Call& call, uint64_t node) {
  MSB_ASSIGN_OR_ERRNO(std::string name, call.in.TakeName());
  MSB_ASSIGN_OR_ERRNO(InodeRef directory, FindInode(node));
  MSB_RETURN_IF_ERRNO(directory->CheckWritable());
  if (!directory->is_directory()) return ErrnoValue(ENOTDIR);
  return Place{node, std::move(directory), std::move(name)};
}

ErrnoOr<Found> Session::FindEntryAt(const Place& place) const {
  if (!place.directory->is_directory()) return ErrnoValue(ENOTDIR);
  return FindEntry(place.directory->AsDirectory(), place.name);
}

ErrnoOr<fuse_entry_out> Session::AddEntry(const Place& place, Found found) {
  fuse_entry_out entry = {};
  entry.entry_valid = entry.attr_valid = kValidSeconds;
  entry.attr = AttributesOf(found.info, place.directory->export_index());
  Shown shown = place.directory->shown();
  shown.kind = found.kind;
  if (shown.kind == FileSystemKind::kRemote) any_is_remote_ = true;
  MSB_ASSIGN_OR_ERRNO(entry.nodeid,
                      inodes_.Lookup(std::move(found), {place.node, place.name}, shown));
  return entry;
}

ErrnoOr<fuse_entry_out> Session::LookUpEntry(const Place& place) {
  MSB_ASSIGN_OR_ERRNO(Found found, FindEntryAt(place));
  return AddEntry(place, std::move(found));
}

// What is at `place` loses this name; the guest may use it on.
void Session::HoldEntry(const Place& place) {
  if (!inodes_.HasClosed()) return;
  ErrnoOr<Found> found = FindEntryAt(place);
  if (found.ok()) inodes_.Hold(*std::move(found), place.directory->export_index());
}

// What is at `place` now was somewhere else; the guest's kernel does not look it up for that.
void Session::MoveEntry(const Place& place) {
  ErrnoOr<Found> found = FindEntryAt(place);
  if (!found.ok()) return;
  inodes_.Move(*found, place.directory->export_index(), {place.node, place.name});
}

ErrnoOr<fuse_entry_out> Session::LookUpExport(const std::string& name) {
  uint32_t index = 0;
  if (!absl::SimpleAtoi(name, &index) || index >= exports_.size() ||
      name != std::to_string(index)) {
    return ErrnoValue(ENOENT);
  }
  const Export& shown = exports_[index];
  struct stat info;
  if (::fstat(shown.fd.get(), &info) != 0) return LastErrno();
  MSB_ASSIGN_OR_ERRNO(const int copy,
                      TrySyscall([&] { return ::fcntl(shown.fd.get(), F_DUPFD_CLOEXEC, 0); }));
  fuse_entry_out entry = {};
  MSB_ASSIGN_OR_ERRNO(entry.nodeid, inodes_.Lookup({UniqueFd(copy), info, shown.kind}, {},
                                                   {index, shown.access, shown.kind}));
  entry.entry_valid = entry.attr_valid = kValidSeconds;
  entry.attr = AttributesOf(info, index);
  return entry;
}

Errno Session::Lookup(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const std::string name, call.in.TakeName());
  if (call.header.nodeid == FUSE_ROOT_ID) {
    MSB_ASSIGN_OR_ERRNO(const fuse_entry_out entry, LookUpExport(name));
    call.out.Append(entry);
    return Errno::kNone;
  }
  MSB_ASSIGN_OR_ERRNO(const InodeRef directory, FindInode(call.header.nodeid));
  MSB_ASSIGN_OR_ERRNO(const fuse_entry_out entry,
                      LookUpEntry({call.header.nodeid, directory, name}));
  call.out.Append(entry);
  return Errno::kNone;
}

Errno Session::ReplyNewEntry(Call& call, const Place& place) {
  MSB_ASSIGN_OR_ERRNO(const fuse_entry_out entry, LookUpEntry(place));
  call.out.Append(entry);
  return Errno::kNone;
}

// Whether a new file is to be another's than ours: of who made it, where the server may chown.
bool Session::GivesAway(const fuse_in_header& caller) const {
  return identity_.passes_through() && (caller.uid != ::geteuid() || caller.gid != ::getegid());
}

// `fd`: what was made in `directory`, which may say whose group it is.
Errno Session::GiveToCaller(const fuse_in_header& caller, const Inode& directory, int fd) const {
  if (!GivesAway(caller)) return Errno::kNone;
  struct stat info;
  if (::fstat(directory.fd(), &info) != 0) return LastErrno();
  const bool inherits_group = (info.st_mode & S_ISGID) != 0;
  const gid_t gid = inherits_group ? static_cast<gid_t>(-1) : caller.gid;
  if (::fchownat(fd, "", caller.uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
    return LastErrno();
  }
  return Errno::kNone;
}

// What was just made as `place`: a `type` that no descriptor came with.
Errno Session::ReplyMade(Call& call, const Place& place, mode_t type, QuotaChange& change) {
  change.NameIsMade();
  MSB_ASSIGN_OR_ERRNO(Found made, FindEntryAt(place));
  if ((made.info.st_mode & S_IFMT) == type) change.CountFile(made.fd.get());
  const bool has_owner = made.info.st_uid == call.header.uid && made.info.st_gid == call.header.gid;
  if (GivesAway(call.header) && !has_owner) {
    struct statx info;
    if (::statx(made.fd.get(), "", AT_EMPTY_PATH, kMadeEntryMask, &info) != 0) return LastErrno();
    // Swapped by somebody on the host in between: the guest is to look again.
    if (!WasJustMade(info, type, ::geteuid())) return ErrnoValue(ESTALE);
    MSB_RETURN_IF_ERRNO(GiveToCaller(call.header, *place.directory, made.fd.get()));
    if (::fstat(made.fd.get(), &made.info) != 0) return LastErrno();
  }
  MSB_ASSIGN_OR_ERRNO(const fuse_entry_out entry, AddEntry(place, std::move(made)));
  call.out.Append(entry);
  return Errno::kNone;
}

Errno Session::MakeNode(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_mknod_in wanted, call.in.Take<fuse_mknod_in>());
  MSB_ASSIGN_OR_ERRNO(const Place place, TakePlace(call, call.header.nodeid));
  const mode_t type = wanted.mode & S_IFMT;
  const mode_t mode = wanted.mode & kNewFileModeBits;
  if (type == S_IFREG || type == 0) {
    MSB_RETURN_IF_ERRNO(CreateFile(call, place, O_RDONLY | O_EXCL, mode));
    return ReplyNewEntry(call, place);
  }
  // FIFOs and sockets are names that the guest's own kernel serves; here nobody opens them.
  if (type != S_IFIFO && type != S_IFSOCK) return ErrnoValue(EPERM);
  QuotaChange change(quotas_, SubjectOf(*place.directory), call.before_slow);
  MSB_RETURN_IF_ERRNO(change.AdmitName());
  if (::mknodat(place.directory->fd(), place.name.c_str(), type | mode, 0) != 0) {
    return LastErrno();
  }
  return ReplyMade(call, place, type, change);
}

Errno Session::MakeDirectory(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_mkdir_in wanted, call.in.Take<fuse_mkdir_in>());
  MSB_ASSIGN_OR_ERRNO(const Place place, TakePlace(call, call.header.nodeid));
  QuotaChange change(quotas_, SubjectOf(*place.directory), call.before_slow);
  MSB_RETURN_IF_ERRNO(change.AdmitName());
  if (::mkdirat(place.directory->fd(), place.name.c_str(), wanted.mode & kNewDirectoryModeBits) !=
      0) {
    return LastErrno();
  }
  return ReplyMade(call, place, S_IFDIR, change);
}

Errno Session::MakeSymlink(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const Place place, TakePlace(call, call.header.nodeid));
  MSB_ASSIGN_OR_ERRNO(const std::string target, call.in.TakeText());
  QuotaChange change(quotas_, SubjectOf(*place.directory), call.before_slow);
  MSB_RETURN_IF_ERRNO(change.AdmitName());
  if (::symlinkat(target.c_str(), place.directory->fd(), place.name.c_str()) != 0) {
    return LastErrno();
  }
  return ReplyMade(call, place, S_IFLNK, change);
}

Errno Session::Link(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_link_in wanted, call.in.Take<fuse_link_in>());
  MSB_ASSIGN_OR_ERRNO(const Place place, TakePlace(call, call.header.nodeid));
  MSB_ASSIGN_OR_ERRNO(const InodeRef inode, FindInode(wanted.oldnodeid));
  if (inode->export_index() != place.directory->export_index()) return ErrnoValue(EXDEV);
  if (inode->is_directory()) return ErrnoValue(EPERM);
  QuotaChange change(quotas_, SubjectOf(*place.directory), call.before_slow);
  MSB_RETURN_IF_ERRNO(change.AdmitName());
  const QuotaChange linked(quotas_, SubjectOf(*inode), call.before_slow);
  if (::linkat(AT_FDCWD, inode->ProcPath().c_str(), place.directory->fd(), place.name.c_str(),
               AT_SYMLINK_FOLLOW) != 0) {
    return LastErrno();
  }
  change.NameIsMade();
  change.CountLink(inode->id());
  return ReplyNewEntry(call, place);
}

// What is at `place`, for CountLostName when that is no longer its name.
std::optional<Found> Session::FindCounted(const Place& place) const {
  if (!quotas_.ledger.Limits(place.directory->export_index())) return std::nullopt;
  ErrnoOr<Found> found = FindEntryAt(place);
  if (!found.ok()) return std::nullopt;
  return *std::move(found);
}

void Session::CountLostName(const Place& place, const std::optional<Found>& lost) {
  if (!lost.has_value()) return;
  // Two names of one file do not replace each other: rename(2).
  ErrnoOr<Found> now = FindEntryAt(place);
  if (now.ok() && IdOf(now->info) == IdOf(lost->info)) return;
  struct stat info;
  if (::fstat(lost->fd.get(), &info) != 0) return;
  // Some file systems count no names: 0 before as after.
  const bool is_gone = info.st_nlink == 0 && lost->info.st_nlink != 0;
  quotas_.ledger.RemoveName(place.directory->export_index(), IdOf(info),
                            is_gone ? Ledger::Remains::kNothing : Ledger::Remains::kNamed);
}

Errno Session::Unlink(Call& call, int flags) {
  MSB_ASSIGN_OR_ERRNO(const Place place, TakePlace(call, call.header.nodeid));
  const QuotaChange change(quotas_, SubjectOf(*place.directory), call.before_slow);
  HoldEntry(place);
  const std::optional<Found> lost = FindCounted(place);
  if (::unlinkat(place.directory->fd(), place.name.c_str(), flags) != 0) return LastErrno();
  CountLostName(place, lost);
  return Errno::kNone;
}

Errno Session::Rename(Call& call) {
  fuse_rename2_in wanted = {};
  if (call.header.opcode == FUSE_RENAME2) {
    MSB_ASSIGN_OR_ERRNO(wanted, call.in.Take<fuse_rename2_in>());
  } else {
    MSB_ASSIGN_OR_ERRNO(const fuse_rename_in plain, call.in.Take<fuse_rename_in>());
    wanted.newdir = plain.newdir;
  }
  // WHITEOUT would make a device.
  if ((wanted.flags & ~uint32_t{RENAME_NOREPLACE | RENAME_EXCHANGE}) != 0) {
    return ErrnoValue(EINVAL);
  }
  MSB_ASSIGN_OR_ERRNO(const Place from, TakePlace(call, call.header.nodeid));
  MSB_ASSIGN_OR_ERRNO(const Place to, TakePlace(call, wanted.newdir));
  if (from.directory->export_index() != to.directory->export_index()) return ErrnoValue(EXDEV);
  QuotaChange change(quotas_, SubjectOf(*to.directory), from.directory->id(), call.before_slow);
  const bool exchanges = (wanted.flags & RENAME_EXCHANGE) != 0;
  const std::optional<Found> lost = exchanges ? std::nullopt : FindCounted(to);
  // Then no directory needs room for it.
  const bool in_place =
      exchanges || lost.has_value() ||
      (from.directory->id() == to.directory->id() && to.name.size() <= from.name.size());
  if (!in_place) MSB_RETURN_IF_ERRNO(change.AdmitMove());
  HoldEntry(to);
  if (::renameat2(from.directory->fd(), from.name.c_str(), to.directory->fd(), to.name.c_str(),
                  wanted.flags) != 0) {
    return LastErrno();
  }
  MoveEntry(to);
  if (exchanges) MoveEntry(from);
  CountLostName(to, lost);
  return Errno::kNone;
}

ErrnoOr<UniqueFd> Session::MakeFile(const Place& place, int flags, mode_t mode) const {
  const uint64_t open_flags = static_cast<uint64_t>(FilterOpenFlags(flags));
  return OpenBeneath(place.directory->fd(), place.name, open_flags | O_CREAT | O_EXCL, mode);
}

// A new file, given to the caller; or the one that is there, where that will do.
ErrnoOr<UniqueFd> Session::CreateFile(Call& call, const Place& place, int flags, mode_t mode) {
  QuotaChange change(quotas_, SubjectOf(*place.directory), call.before_slow);
  const Errno room = change.AdmitName();
  ErrnoOr<UniqueFd> made = room == Errno::kNone ? MakeFile(place, flags, mode) : room;
  if (made.ok()) {
    change.NameIsMade();
    change.CountFile(made->get());
    MSB_RETURN_IF_ERRNO(GiveToCaller(call.header, *place.directory, made->get()));
    return made;
  }
  const bool may_be_there = made.error() == ErrnoValue(EEXIST) || room != Errno::kNone;
  if (!may_be_there || (flags & O_EXCL) != 0) return made.error();
  ErrnoOr<Found> found = FindEntryAt(place);
  if (!found.ok()) return room == Errno::kNone ? found.error() : room;
  const struct stat& info = found->info;
  if (!S_ISREG(info.st_mode)) return ErrnoValue(S_ISDIR(info.st_mode) ? EISDIR : ENXIO);
  return OpenFile(call, {place.directory->export_index(), IdOf(info), found->fd.get()}, found->kind,
                  flags);
}

ErrnoOr<uint64_t> Session::AddHandle(uint64_t node, UniqueFd fd) {
  MSB_ASSIGN_OR_ERRNO(InodeRef inode, FindInode(node));
  return handles_.Add(Handle::Kind::kFile, node, std::move(inode), std::move(fd));
}

Errno Session::Create(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_create_in wanted, call.in.Take<fuse_create_in>());
  MSB_ASSIGN_OR_ERRNO(const Place place, TakePlace(call, call.header.nodeid));
  MSB_ASSIGN_OR_ERRNO(UniqueFd fd, CreateFile(call, place, static_cast<int>(wanted.flags),
                                              wanted.mode & kNewFileModeBits));
  MSB_ASSIGN_OR_ERRNO(Found found, FindEntryAt(place));
  struct stat opened;
  if (::fstat(fd.get(), &opened) != 0) return LastErrno();
  // Swapped by somebody on the host in between: the guest is to look again.
  if (opened.st_dev != found.info.st_dev || opened.st_ino != found.info.st_ino ||
      !S_ISREG(opened.st_mode)) {
    return ErrnoValue(ESTALE);
  }
  MSB_ASSIGN_OR_ERRNO(const fuse_entry_out entry, AddEntry(place, std::move(found)));
  ErrnoOr<uint64_t> handle = AddHandle(entry.nodeid, std::move(fd));
  if (!handle.ok()) {
    inodes_.Forget(entry.nodeid, 1);
    return handle.error();
  }
  fuse_open_out open = {};
  open.fh = *handle;
  call.out.Append(entry);
  call.out.Append(open);
  return Errno::kNone;
}

}  // namespace msb
