// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A companion: a process beside a sandbox's VMM that serves one device of it (the files of one
// mount, the network), in a jail of its own. It is started before the VMM and ends with it; the VMM
// lives on when it dies.
//
// The process finds: 0 is /dev/null; 1 and 2 its log, of which the first bytes are kept (writes
// fail with EPERM behind them); 3 a listening Unix socket for the daemon's requests; 4 its end of a
// connection with the VMM; 5 its input, when there is one; and what its specification names. It
// exits with 0 when the VMM hangs up: any other end is a failure of its own.

#ifndef MSB_SUPERVISOR_LAUNCH_COMPANION_H_
#define MSB_SUPERVISOR_LAUNCH_COMPANION_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/error.h"

namespace msb {

inline constexpr int kCompanionControlFd = 3;
inline constexpr int kCompanionVmmFd = 4;
inline constexpr int kCompanionInputFd = 5;  // one frame (base/frames.h), sealed
// Numbers of a specification's own are from here to kMaxCompanionFd.
inline constexpr int kFirstCompanionOwnFd = 8;
inline constexpr int kMaxCompanionFd = 39;

// Users that a sandbox has for its companions, beside its VMM's. Each is for one alone: processes
// of one user may signal and, as far as they are dumpable, trace each other.
inline constexpr uint32_t kOwnUsers = 2;

// Numbers for the file system: the kernel knows no names.
struct CompanionIdentity {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
};

enum class CompanionNetwork { kNone, kHost };

enum class SourceKind { kDirectory, kFile, kAny };
enum class SourceAccess { kReadOnly, kReadWrite };
// With whose rights its path is looked up: those of the companion's identity and no other, or the
// daemon's, for a path that no user named.
enum class SourceRights { kIdentity, kDaemon };

// What the jailer opens on the host (jailer/plan.h, --open): a directory as an O_PATH descriptor, a
// regular file opened for its use.
struct CompanionSource {
  int fd = -1;
  std::string path;  // absolute; symbolic links are followed
  SourceKind kind = SourceKind::kDirectory;
  SourceAccess access = SourceAccess::kReadOnly;
  SourceRights rights = SourceRights::kIdentity;
  // The error of one that cannot be opened: its reason, and what it calls the source, since not
  // everybody who reads that may see the path.
  Reason reason = Reason::kMountSourceInvalid;
  std::string label;
};

struct CompanionBind {
  std::string source;  // of the host; the jail sees it read-only
  std::string target;
};

// How it is connected with its VMM, which has the other side as VmmFdOfCompanion(index).
enum class VmmLink {
  kSocketpair,  // the VMM has a connected socket: a companion that dies is gone for it
  // The VMM has the writing end of a pipe and nothing to say: its end is the pipe's, which a
  // companion that is started again opens anew.
  kLifetime,
};

struct CompanionSpec {
  // [a-z][a-z0-9-]{0,5}, unique in its sandbox: "net", "fs-0".
  std::string name;
  std::string executable;              // static, executable for every user
  std::vector<std::string> arguments;  // behind its own name
  // Unset: a user of the sandbox's own, whom nothing else runs as. Uid 0 has root's files and,
  // unless `capabilities` says so, none of root's capabilities.
  std::optional<CompanionIdentity> identity;
  uint32_t own_user = 0;  // which one, of kOwnUsers; no other companion of the sandbox has it
  std::vector<std::string> capabilities;  // names as in jailer/plan.h, --keep-caps
  CompanionNetwork network = CompanionNetwork::kNone;
  std::vector<CompanionSource> sources;
  std::vector<CompanionBind> binds;
  bool proc = false;  // a /proc with nothing but itself
  // Number there -> descriptor here, the caller's until the launch is over.
  std::map<int, int> fds;
  std::string input;
  VmmLink vmm_link = VmmLink::kSocketpair;

  uint32_t memory_mib = 64;
  uint32_t cpu_milli = 1000;
  uint32_t pids_max = 64;
  uint32_t max_open_files = 4096;
  // No file is grown beyond this; unset: no limit.
  std::optional<uint64_t> max_file_bytes;
};

// kInvalidArgument for what no companion can be.
absl::Status CheckCompanions(const std::vector<CompanionSpec>& companions);

bool IsCompanionName(absl::string_view name);

}  // namespace msb

#endif  // MSB_SUPERVISOR_LAUNCH_COMPANION_H_
