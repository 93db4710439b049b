// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/tree/file_system_kind.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace msb {
namespace {

constexpr uint32_t kRemote[] = {
    NFS_SUPER_MAGIC,         SMB_SUPER_MAGIC,           CIFS_SUPER_MAGIC,
    SMB2_SUPER_MAGIC,        FUSE_SUPER_MAGIC,          V9FS_MAGIC,
    CEPH_SUPER_MAGIC,        AFS_SUPER_MAGIC,           AFS_FS_MAGIC,
    CODA_SUPER_MAGIC,        OCFS2_SUPER_MAGIC,         0x01161970 /* GFS2 */,
    0x0bd00bd0 /* Lustre */, 0x20030528 /* OrangeFS */, 0x786f4256 /* vboxsf */};

}  // namespace

FileSystemKind KindOfFileSystem(int fd) {
  struct statfs info;
  if (::fstatfs(fd, &info) != 0) return FileSystemKind::kRemote;
  const bool remote = std::find(std::begin(kRemote), std::end(kRemote),
                                static_cast<uint32_t>(info.f_type)) != std::end(kRemote);
  return remote ? FileSystemKind::kRemote : FileSystemKind::kLocal;
}

}  // namespace msb
