// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#ifndef MSB_FILE_SERVER_QUOTA_FILE_ID_H_
#define MSB_FILE_SERVER_QUOTA_FILE_ID_H_

#include <sys/stat.h>

#include <utility>

namespace msb {

// A file, whichever way a guest has come to it.
using FileId = std::pair<dev_t, ino_t>;

inline FileId IdOf(const struct stat& info) { return {info.st_dev, info.st_ino}; }

}  // namespace msb

#endif  // MSB_FILE_SERVER_QUOTA_FILE_ID_H_
