// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "base/sparse_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace msb {

bool IsZero(absl::string_view bytes) {
  return bytes[0] == '\0' && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

bool SparseWriter::Write(absl::string_view data) {
  while (!data.empty()) {
    // To the next boundary, so that whole blocks are looked at.
    const size_t block = std::min<size_t>(data.size(), kBlockBytes - offset_ % kBlockBytes);
    if (block == kBlockBytes && IsZero(data.substr(0, block))) {
      offset_ += block;
      data.remove_prefix(block);
    } else if (!WriteRun(data, block)) {
      return false;
    }
  }
  return true;
}

// From `data`'s start up to the next block of zeros, in one go.
bool SparseWriter::WriteRun(absl::string_view& data, size_t run) {
  while (data.size() - run >= kBlockBytes && !IsZero(data.substr(run, kBlockBytes))) {
    run += kBlockBytes;
  }
  if (data.size() - run < kBlockBytes) run = data.size();
  while (run > 0) {
    const ssize_t written = ::pwrite(fd_, data.data(), run, static_cast<off_t>(offset_));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    offset_ += static_cast<uint64_t>(written);
    run -= static_cast<size_t>(written);
    data.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

bool SparseWriter::End() { return ::ftruncate(fd_, static_cast<off_t>(offset_)) == 0; }

}  // namespace msb
