// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Extended attributes: those of "user." alone. The others mean something to the host: capabilities,
// labels, ACLs.

#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "file-server/session/session.h"

namespace msb {
namespace {

constexpr absl::string_view kServedPrefix = "user.";

ErrnoOr<std::string> TakeAttributeName(RequestReader& in) {
  MSB_ASSIGN_OR_ERRNO(std::string name, in.TakeText());
  if (name.size() > kMaxNameBytes) return ErrnoValue(ERANGE);
  if (!absl::StartsWith(name, kServedPrefix)) return ErrnoValue(EOPNOTSUPP);
  return name;
}

// Files and directories have them; asking another kind would open it.
Errno CheckHasAttributes(const Inode& inode) {
  return inode.is_regular() || inode.is_directory() ? Errno::kNone : ErrnoValue(EPERM);
}

// The names that are served, each with its NUL.
std::string Served(absl::string_view all) {
  std::string served;
  while (!all.empty()) {
    const absl::string_view name = all.substr(0, all.find('\0'));
    all.remove_prefix(std::min(name.size() + 1, all.size()));
    if (!absl::StartsWith(name, kServedPrefix)) continue;
    served.append(name.data(), name.size());
    served.push_back('\0');
  }
  return served;
}

}  // namespace

Errno Session::SetExtended(Call& call) {
  fuse_setxattr_in wanted = {};
  const size_t size = extended_setxattr_ ? sizeof(wanted) : FUSE_COMPAT_SETXATTR_IN_SIZE;
  MSB_ASSIGN_OR_ERRNO(const absl::Span<const uint8_t> bytes, call.in.TakeBytes(size));
  std::memcpy(&wanted, bytes.data(), size);
  MSB_ASSIGN_OR_ERRNO(const std::string name, TakeAttributeName(call.in));
  if (wanted.size > kMaxAttributeBytes) return ErrnoValue(E2BIG);
  if ((wanted.flags & ~uint32_t{XATTR_CREATE | XATTR_REPLACE}) != 0) return ErrnoValue(EINVAL);
  MSB_ASSIGN_OR_ERRNO(const absl::Span<const uint8_t> value, call.in.TakeBytes(wanted.size));
  MSB_ASSIGN_OR_ERRNO(const InodeRef inode, FindInode(call.header.nodeid));
  MSB_RETURN_IF_ERRNO(inode->CheckWritable());
  MSB_RETURN_IF_ERRNO(CheckHasAttributes(*inode));
  // What they take is nowhere to be read.
  if (quotas_.ledger.Limits(inode->export_index())) return ErrnoValue(EOPNOTSUPP);
  if (::setxattr(inode->ProcPath().c_str(), name.c_str(), value.data(), value.size(),
                 static_cast<int>(wanted.flags)) != 0) {
    return LastErrno();
  }
  return Errno::kNone;
}

Errno Session::GetExtended(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_getxattr_in wanted, call.in.Take<fuse_getxattr_in>());
  MSB_ASSIGN_OR_ERRNO(const std::string name, TakeAttributeName(call.in));
  if (call.header.nodeid == FUSE_ROOT_ID) return ErrnoValue(ENODATA);
  MSB_ASSIGN_OR_ERRNO(const InodeRef inode, FindInode(call.header.nodeid));
  if (CheckHasAttributes(*inode) != Errno::kNone) return ErrnoValue(ENODATA);
  const size_t size = std::min<size_t>(wanted.size, kMaxAttributeBytes);
  const ssize_t got = ::getxattr(inode->ProcPath().c_str(), name.c_str(), call.out.Tail(), size);
  if (got < 0) return LastErrno();
  if (wanted.size > 0) {
    call.out.Extend(static_cast<size_t>(got));
    return Errno::kNone;
  }
  fuse_getxattr_out reply = {};
  reply.size = static_cast<uint32_t>(got);
  call.out.Append(reply);
  return Errno::kNone;
}

Errno Session::ListExtended(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const fuse_getxattr_in wanted, call.in.Take<fuse_getxattr_in>());
  std::string served;
  if (call.header.nodeid != FUSE_ROOT_ID) {
    MSB_ASSIGN_OR_ERRNO(const InodeRef inode, FindInode(call.header.nodeid));
    if (CheckHasAttributes(*inode) == Errno::kNone) {
      std::string all(kMaxAttributeBytes, '\0');
      const ssize_t got = ::listxattr(inode->ProcPath().c_str(), all.data(), all.size());
      if (got < 0) return LastErrno();
      served = Served(absl::string_view(all).substr(0, static_cast<size_t>(got)));
    }
  }
  if (wanted.size > 0) {
    if (served.size() > wanted.size) return ErrnoValue(ERANGE);
    call.out.AppendBytes(served.data(), served.size());
    return Errno::kNone;
  }
  fuse_getxattr_out reply = {};
  reply.size = static_cast<uint32_t>(served.size());
  call.out.Append(reply);
  return Errno::kNone;
}

Errno Session::RemoveExtended(Call& call) {
  MSB_ASSIGN_OR_ERRNO(const std::string name, TakeAttributeName(call.in));
  MSB_ASSIGN_OR_ERRNO(const InodeRef inode, FindInode(call.header.nodeid));
  MSB_RETURN_IF_ERRNO(inode->CheckWritable());
  MSB_RETURN_IF_ERRNO(CheckHasAttributes(*inode));
  if (::removexattr(inode->ProcPath().c_str(), name.c_str()) != 0) return LastErrno();
  return Errno::kNone;
}

}  // namespace msb
