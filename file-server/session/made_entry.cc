// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "file-server/session/made_entry.h"

#include <cstdint>

namespace msb {
namespace {

// Both times are the file system's, but not always from one tick of its clock; some have only
// seconds.
constexpr uint64_t kMomentSeconds = 1;

}  // namespace

bool WasJustMade(const struct statx& info, mode_t type, uid_t maker) {
  if ((info.stx_mode & S_IFMT) != type || info.stx_uid != maker) return false;
  // Some file systems count a directory's "." and some do not.
  if (info.stx_nlink > (type == S_IFDIR ? 2 : 1)) return false;
  // A file system that does not say when a file was born still has the time of its last write.
  const int64_t born =
      (info.stx_mask & STATX_BTIME) != 0 ? info.stx_btime.tv_sec : info.stx_mtime.tv_sec;
  const int64_t changed = info.stx_ctime.tv_sec;
  return changed <= born ||
         static_cast<uint64_t>(changed) - static_cast<uint64_t>(born) <= kMomentSeconds;
}

}  // namespace msb
