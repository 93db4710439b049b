// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// What the jailer is to do, from its command line:
//
//   msb-jailer FLAG... -- ARGV...
//
// Each flag is one word, --name=value (--proc and --as-root have no value). Flags marked + may be
// repeated, the others come at most once; those marked ! must be there. Paths are absolute, without
// "." and ".." parts.
//
//   !--id=NAME                     of the sandbox: host name in the jail. [A-Za-z0-9_.-]{1,64}
//   !--status-fd=N                 where the jailer reports (below)
//   !--exec-fd=N                   the executable to run in the jail, opened by the caller (O_PATH
//   will do)
//   +--keep-fd=N                   stays open in the jail, beside 0, 1 and 2; N >= 3
//    --cgroup=NAME                 relative path below each hierarchy's mount; needs a hierarchy
//   +--cgroup-v1=CONTROLLERS:MOUNT a v1 hierarchy to join; controllers are separated by commas
//    --cgroup-v2=CONTROLLERS:MOUNT the v2 hierarchy; its controllers may be none
//    --memory-max=BYTES            limits: set by the hierarchy that has memory, cpu, pids
//    --cpu-milli=N                 1000 is one CPU
//    --pids-max=N                  processes and threads
//   !--root=DIR                    the new root is mounted here, unseen from outside; DIR stays as
//   it is
//   +--bind-ro=SRC:DST             file or folder, without what is mounted below it
//   +--tmpfs=DST:BYTES             writable, belongs to the jail's user
//    --proc                        /proc with nothing but the jail's own processes
//    --dev=NAMES                   of null, zero, full, random, urandom; separated by commas
//   !--uid=N !--gid=N              1..2^31-1
//    --as-root                     0 will do for these: root's files, without root's capabilities
//    --groups=N,N                  supplementary groups, at most 4096; default: none
//    --keep-caps=NAMES             of chown, dac_override, dac_read_search, fowner, fsetid, setgid,
//                                  setuid, net_bind_service, net_raw; separated by commas
//    --net=own|host                network namespace; default: own, with nothing in it
//   +--open=N:KIND:PATH            descriptor N (>= 3) is PATH of the host, looked up with the
//                                  rights of the jail's user alone; symbolic links are followed,
//                                  those of /proc are not. KIND is dir-ro, dir-rw (an O_PATH
//                                  directory), file-ro, file-rw (a regular file, opened), any-ro or
//                                  any-rw (what of the two is there). Of a mount of its own without
//                                  devices and setuid, the -ro kinds read-only; ".." does not leave
//                                  it
//   +--open-own=N:KIND:PATH        the same, looked up with the jailer's own rights: a path that no
//                                  user named
//    --open-only                   ends, with success, behind these: would they be opened?
//    --nofile=N                    open files; default 1024; cut to the hard limit of the caller
//                                  where root may not raise that
//    --fsize=BYTES                 largest size that a file can be grown to; default: no limit
//
// The report: "pid=N\n" once the jailed process exists, N as the caller sees it, then, if a step
// fails, "error=LINE\n" with the line of stderr. That of an --open has "source N: CAUSE; " in it,
// with its descriptor and, unlike others, without its path, which not everybody may see. The end of
// the stream without an error means that the executable runs. The jailed process is a child of the
// caller's (CLONE_PARENT), who reaps it.

#ifndef MSB_JAILER_PLAN_H_
#define MSB_JAILER_PLAN_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace msb {

enum class CgroupVersion { kV1, kV2 };

struct CgroupHierarchy {
  CgroupVersion version;
  std::string mount;
  std::vector<std::string> controllers;
};

struct BindMount {
  std::string source;
  std::string target;
};

struct TmpfsMount {
  std::string target;
  uint64_t bytes = 0;
};

// In the order of the names in kKindNames (plan.cc).
enum class OpenKind {
  kDirectoryReadOnly,
  kDirectoryReadWrite,
  kFileReadOnly,
  kFileReadWrite,
  kAnyReadOnly,
  kAnyReadWrite,
};
enum class OpenRights { kUser, kJailer };

struct OpenRequest {
  int fd = -1;
  OpenKind kind = OpenKind::kDirectoryReadOnly;
  OpenRights rights = OpenRights::kUser;
  std::string path;
};

enum class Network { kOwn, kHost };

struct Plan {
  std::string id;
  int status_fd = -1;
  int exec_fd = -1;
  std::vector<int> keep_fds;  // sorted, without repetition

  std::string cgroup;
  std::vector<CgroupHierarchy> hierarchies;  // v1 before v2
  std::optional<uint64_t> memory_max;
  std::optional<uint64_t> cpu_milli;
  std::optional<uint64_t> pids_max;

  std::string root;
  std::vector<BindMount> binds;
  std::vector<TmpfsMount> tmpfs;
  bool proc = false;
  std::vector<std::string> devices;

  uid_t uid = 0;
  gid_t gid = 0;
  bool as_root = false;
  std::vector<gid_t> groups;
  std::vector<int> keep_capabilities;  // CAP_... of linux/capability.h
  Network network = Network::kOwn;
  std::vector<OpenRequest> opens;
  bool open_only = false;
  uint64_t nofile = 1024;
  std::optional<uint64_t> fsize;

  std::vector<std::string> argv;
};

// `arguments` without the program's own name.
absl::StatusOr<Plan> ParsePlan(const std::vector<std::string>& arguments);

}  // namespace msb

#endif  // MSB_JAILER_PLAN_H_
