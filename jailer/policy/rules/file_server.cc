// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The threads of msb-fs, from before the first request on: calls on files that it has a descriptor
// of, and on names beneath them. Its threads are there already; it makes no other.

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "jailer/policy/rule.h"

namespace msb {
namespace {

// All bits of a number but `allowed`.
constexpr uint64_t AllBut(uint64_t allowed) { return uint64_t{UINT32_MAX} & ~allowed; }

constexpr Rule kRules[] = {
    {"poll", "the guest's kicks, and the VMM's orders"},
    {"recvmsg", "an order, with descriptors of memory, eventfds and a table"},
    {"fcntl", "whether others can shrink what is to be mapped", ArgumentIs(1, F_GET_SEALS)},
    {"sendto", "the answer to an order"},
    {"shutdown", "the end, for the other threads too"},

    // Names; no device among them.
    {"openat2", "an entry of a directory, or a new file; its flags are behind a pointer"},
    {"openat", "a directory to list, and /proc/self/fd/N to read and write what is held already",
     ArgumentHasNone(2, O_CREAT | (O_TMPFILE & ~O_DIRECTORY))},
    {"mknodat", "a FIFO", ArgumentCheck{2, S_IFMT | S_ISUID | S_ISGID, S_IFIFO}},
    {"mknodat", "a socket's name", ArgumentCheck{2, S_IFMT | S_ISUID | S_ISGID, S_IFSOCK}},
    {"mkdirat", "a directory", ArgumentHasNone(2, S_ISUID)},
    {"symlinkat", "a symbolic link"},
    {"linkat", "another name of what is held, by /proc/self/fd/N",
     ArgumentIs(4, AT_SYMLINK_FOLLOW)},
    {"unlinkat", "a name goes", ArgumentHasNone(2, AllBut(AT_REMOVEDIR))},
    {"renameat2", "a name changes", ArgumentHasNone(4, AllBut(RENAME_NOREPLACE | RENAME_EXCHANGE))},
    {"renameat", "the C library's way of the same, without flags"},
    {"readlinkat", "where a symbolic link leads"},
    {"getdents64", "entries of a directory"},

    // Attributes.
    {"newfstatat", "what a descriptor is"},
    {"fstat", "the same, as other versions of the C library do it"},
    {"statx", "the same, with the time of its making"},
    {"name_to_handle_at", "whether a file that was closed is the one that its name leads to"},
    {"statfs", "of which file system it is"},
    {"fstatfs", "the same"},
    {"chmod", "of what is held, by /proc/self/fd/N", ArgumentHasNone(1, S_ISUID)},
    {"fchownat", "of a descriptor; for a server that may",
     ArgumentHasAll(4, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)},
    {"utimensat", "the times of a descriptor"},
    {"geteuid", "whether a new file is to be another's"},
    {"getegid", "the same"},
    {"setxattr", "attributes of \"user.\", of what is held, by /proc/self/fd/N"},
    {"getxattr", "the same"},
    {"listxattr", "the same"},
    {"removexattr", "the same"},

    // Content.
    {"preadv2", "the guest reads what the page cache has"},
    {"pread64", "the guest reads"},
    {"pwritev2", "the guest writes"},
    {"pwritev", "the C library's way of the same, without flags"},
    {"lseek", "holes; the position in a directory"},
    {"ftruncate", "another size"},
    {"truncate", "the same, of what is not open"},
    {"fallocate", "space, holes and zeroes",
     ArgumentHasNone(1, AllBut(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))},
    {"copy_file_range", "from file to file", ArgumentIs(5, 0)},
    {"fsync", "the guest synchronises"},
    {"fdatasync", "the same, without the times"},
    {"fcntl", "another descriptor of what is exported", ArgumentIs(1, F_DUPFD_CLOEXEC)},
};

}  // namespace

const RuleSet kFileServerRules = kRules;

}  // namespace msb
