// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#ifndef MSB_FILE_SERVER_TREE_SERVED_FILE_SYSTEMS_H_
#define MSB_FILE_SERVER_TREE_SERVED_FILE_SYSTEMS_H_

namespace msb {

// Whether the file system of `fd` holds files, and not the host's kernel: proc, sysfs, cgroups and
// their like are never served, whoever mounted them where. Through /proc a guest would write this
// very process's memory.
bool IsServedFileSystem(int fd);

}  // namespace msb

#endif  // MSB_FILE_SERVER_TREE_SERVED_FILE_SYSTEMS_H_
