// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#ifndef MSB_FILE_SERVER_TREE_FILE_SYSTEM_KIND_H_
#define MSB_FILE_SERVER_TREE_FILE_SYSTEM_KIND_H_

namespace msb {

// Whom a call may wait for: this host's storage, or another machine or process, for ever perhaps.
enum class FileSystemKind { kLocal, kRemote };

// Of the file system of `fd`. What cannot be asked is remote.
FileSystemKind KindOfFileSystem(int fd);

}  // namespace msb

#endif  // MSB_FILE_SERVER_TREE_FILE_SYSTEM_KIND_H_
