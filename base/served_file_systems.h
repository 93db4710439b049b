// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#ifndef MSB_BASE_SERVED_FILE_SYSTEMS_H_
#define MSB_BASE_SERVED_FILE_SYSTEMS_H_

namespace msb {

// Whether the file system of `fd` holds files, and not the host's kernel: proc, sysfs, cgroups and
// their like are never shown to a guest, whoever mounted them where. Through /proc a guest would
// write its file server's very memory.
bool IsServedFileSystem(int fd);

}  // namespace msb

#endif  // MSB_BASE_SERVED_FILE_SYSTEMS_H_
