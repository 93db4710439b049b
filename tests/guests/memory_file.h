// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A file without a name, for what a VMM takes as a descriptor.

#ifndef MSB_TESTS_GUESTS_MEMORY_FILE_H_
#define MSB_TESTS_GUESTS_MEMORY_FILE_H_

#include <sys/mman.h>
#include <unistd.h>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/unique_fd.h"

namespace msb {

inline UniqueFd MemoryFile(absl::string_view content) {
  UniqueFd file(::memfd_create("msb-test", MFD_CLOEXEC));
  MSB_CHECK(file.valid());
  MSB_CHECK(::pwrite(file.get(), content.data(), content.size(), 0) ==
            static_cast<ssize_t>(content.size()));
  return file;
}

}  // namespace msb

#endif  // MSB_TESTS_GUESTS_MEMORY_FILE_H_
