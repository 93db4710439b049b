// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/served_file_systems.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <iterator>

namespace msb {
namespace {

constexpr long kKernelFileSystems[] = {PROC_SUPER_MAGIC,
                                       SYSFS_MAGIC,
                                       CGROUP_SUPER_MAGIC,
                                       CGROUP2_SUPER_MAGIC,
                                       DEBUGFS_MAGIC,
                                       TRACEFS_MAGIC,
                                       SECURITYFS_MAGIC,
                                       BPF_FS_MAGIC,
                                       DEVPTS_SUPER_MAGIC,
                                       BINFMTFS_MAGIC,
                                       EFIVARFS_MAGIC,
                                       SELINUX_MAGIC,
                                       SMACK_MAGIC,
                                       PSTOREFS_MAGIC,
                                       NSFS_MAGIC,
                                       AUTOFS_SUPER_MAGIC,
                                       ANON_INODE_FS_MAGIC,
                                       SOCKFS_MAGIC,
                                       0x62656570 /* configfs */,
                                       0x65735543 /* fusectl */};

}  // namespace

bool IsServedFileSystem(int fd) {
  struct statfs info;
  if (::fstatfs(fd, &info) != 0) return false;
  return std::find(std::begin(kKernelFileSystems), std::end(kKernelFileSystems),
                   static_cast<long>(info.f_type)) == std::end(kKernelFileSystems);
}

}  // namespace msb
