// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Whether what a name leads to is what was made under it. Whoever may write to the directory on the
// host can put something else there in between, a file of root's say, which must not become the
// caller's.

#ifndef MSB_FILE_SERVER_SESSION_MADE_ENTRY_H_
#define MSB_FILE_SERVER_SESSION_MADE_ENTRY_H_

#include <sys/stat.h>
#include <sys/types.h>

namespace msb {

// What of a file this has to know.
inline constexpr unsigned kMadeEntryMask = STATX_BASIC_STATS | STATX_BTIME;

// Whether `info` can be that of a `type` (S_IFDIR ...) that the user `maker` has made a moment ago,
// and nobody has done anything with: one name, and as old as its last change. A rename is a change,
// so that what was there before is told from it by its age.
bool WasJustMade(const struct statx& info, mode_t type, uid_t maker);

}  // namespace msb

#endif  // MSB_FILE_SERVER_SESSION_MADE_ENTRY_H_
