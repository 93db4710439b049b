// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msb-fs: serves the directories that a sandbox mounts. Started by the jailer with a socket and the
// directories as descriptors; opens no file by name but /proc/self/fd/N, what it holds already.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/descriptor_limit.h"
#include "base/error.h"
#include "base/log.h"
#include "base/served_file_systems.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/version.h"
#include "file-server/server.h"
#include "file-server/session/session.h"
#include "jailer/policy/filter.h"

namespace msb {
namespace {

constexpr char kUsage[] =
    "usage: msb-fs --socket-fd N --export FD:ro|rw[:UID:GID[:QUOTA]] [--export ...] "
    "[option...]\n"
    "       msb-fs --version | --help\n"
    "\n"
    "  --socket-fd N       connected stream socket: a VMM's orders to serve its guest's queues\n"
    "  --export FD:ro|rw[:UID:GID[:QUOTA]]\n"
    "                      a directory (O_PATH will do) or regular file; the first is entry \"0\" "
    "of\n"
    "                      the root that the guest mounts, the next \"1\", ... Whom the guest "
    "sees\n"
    "                      as the owner of what is this process's user's: UID, GID (default 0, "
    "0);\n"
    "                      all else is 65534's. QUOTA (default 0: none): bytes that the guest "
    "may\n"
    "                      add to what is there, counted from this start (docs/mounts.md)\n"
    "  --pass-ids          owners are the same numbers on both sides; needs CAP_CHOWN and others\n"
    "  --max-inodes N      inodes that the guest may know (default 262144)\n"
    "  --max-descriptors N\n"
    "                      of those, that are held open (default 32768)\n"
    "  --max-handles N     files that the guest may have open (default 16384); the last two are "
    "cut\n"
    "                      to the limit of open files\n"
    "  --threads N         1..16 (default 4): as many slow requests are served at once\n"
    "  --log-level LEVEL   of stderr: debug, info (the default), warning, error\n"
    "  --debug-without-seccomp\n"
    "                      threads may make every system call; for a developer with strace\n"
    "\n"
    "exit status: 0 when the other side hung up, 1 after an error, 2 for a command line that is\n"
    "not understood\n";

constexpr int kExitOrderly = 0;
constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
// Descriptors beside those of inodes and handles.
constexpr size_t kReservedDescriptors = 64;
constexpr size_t kMaxExports = 256;

struct Arguments {
  struct NamedExport {
    int fd = -1;
    Access access = Access::kReadOnly;
    Owner owner;
    uint64_t quota_bytes = 0;
  };
  int socket_fd = -1;
  std::vector<NamedExport> exports;
  bool pass_ids = false;
  SessionLimits limits;
  int threads = 4;
  Seccomp seccomp = Seccomp::kInForce;
  LogLevel log_level = LogLevel::kInfo;
  bool version = false;
  bool help = false;
};

std::optional<Arguments::NamedExport> ParseExport(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  Arguments::NamedExport result;
  const bool has_owner = parts.size() == 4 || parts.size() == 5;
  if ((parts.size() != 2 && !has_owner) || !absl::SimpleAtoi(parts[0], &result.fd) ||
      result.fd < 3) {
    return std::nullopt;
  }
  if (parts[1] != "ro" && parts[1] != "rw") return std::nullopt;
  result.access = parts[1] == "rw" ? Access::kReadWrite : Access::kReadOnly;
  if (has_owner && (!absl::SimpleAtoi(parts[2], &result.owner.uid) ||
                    !absl::SimpleAtoi(parts[3], &result.owner.gid))) {
    return std::nullopt;
  }
  if (parts.size() == 5 && !absl::SimpleAtoi(parts[4], &result.quota_bytes)) return std::nullopt;
  return result;
}

// A flag with a value; false when one of the two is not understood.
bool ParseFlag(absl::string_view flag, absl::string_view value, Arguments& arguments) {
  if (flag == "--socket-fd") {
    return absl::SimpleAtoi(value, &arguments.socket_fd) && arguments.socket_fd >= 0;
  }
  if (flag == "--export") {
    const auto parsed = ParseExport(value);
    if (parsed.has_value()) arguments.exports.push_back(*parsed);
    return parsed.has_value() && arguments.exports.size() <= kMaxExports;
  }
  if (flag == "--max-inodes") return absl::SimpleAtoi(value, &arguments.limits.inodes);
  if (flag == "--max-descriptors") {
    return absl::SimpleAtoi(value, &arguments.limits.descriptors);
  }
  if (flag == "--max-handles") return absl::SimpleAtoi(value, &arguments.limits.handles);
  if (flag == "--threads") {
    return absl::SimpleAtoi(value, &arguments.threads) && arguments.threads >= 1 &&
           arguments.threads <= 16;
  }
  if (flag == "--log-level") {
    const std::optional<LogLevel> level = ParseLogLevel(value);
    arguments.log_level = level.value_or(arguments.log_level);
    return level.has_value();
  }
  return false;
}

std::optional<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view word = argv[i];
    if (word == "--version") {
      arguments.version = true;
    } else if (word == "--help") {
      arguments.help = true;
    } else if (word == "--pass-ids") {
      arguments.pass_ids = true;
    } else if (word == "--debug-without-seccomp") {
      arguments.seccomp = Seccomp::kOffForDebugging;
    } else if (i + 1 < argc && ParseFlag(word, argv[i + 1], arguments)) {
      ++i;
    } else {
      return std::nullopt;
    }
  }
  const bool serves = arguments.socket_fd >= 0 && !arguments.exports.empty();
  if (!serves && !arguments.version && !arguments.help) return std::nullopt;
  return arguments;
}

absl::StatusOr<std::vector<Export>> TakeExports(const Arguments& arguments) {
  std::vector<Export> exports;
  for (const Arguments::NamedExport& named : arguments.exports) {
    struct stat info {};
    MSB_RETURN_IF_ERROR(
        Syscall(absl::StrCat("export ", named.fd), [&] { return ::fstat(named.fd, &info); }));
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat("export ", named.fd, " is neither directory nor file"));
    }
    if (!IsServedFileSystem(named.fd)) {
      return MakeError(Reason::kInvalidArgument,
                       absl::StrCat("export ", named.fd, " is of a file system of the kernel's"));
    }
    exports.push_back({UniqueFd(named.fd), named.access, named.owner, named.quota_bytes});
  }
  return exports;
}

// As much as there can be descriptors for.
absl::Status FitLimits(SessionLimits& limits) {
  MSB_ASSIGN_OR_RETURN(const uint64_t most, RaiseDescriptorLimit());
  const size_t usable = most - std::min<size_t>(most, kReservedDescriptors);
  limits.handles = std::min(limits.handles, usable / 4);
  limits.descriptors = std::min(limits.descriptors, usable - limits.handles);
  return absl::OkStatus();
}

// What each thread begins with. It fails only where CheckSeccomp did.
absl::StatusOr<std::function<void()>> Confinement(Seccomp seccomp) {
  if (seccomp == Seccomp::kOffForDebugging) {
    MSB_LOG(kWarning) << "seccomp is off: a guest that takes over this process has one wall less";
    return [] {};
  }
  MSB_RETURN_IF_ERROR(CheckSeccomp());
  return [] { MSB_CHECK(ConfineThread(SeccompPolicy::kFileServer).ok()); };
}

absl::Status Serve(const Arguments& arguments) {
  // A guest that fills a file to its limit gets EFBIG.
  ::signal(SIGXFSZ, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  // The modes that a guest asks for are what it gets: its own kernel has applied the umask.
  ::umask(0);
  // No core, no ptrace: a process of the same user looks into no other's session, nor into the
  // memory of the guest that is mapped here.
  MSB_RETURN_IF_ERROR(
      Syscall("PR_SET_DUMPABLE", [] { return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }));
  MSB_ASSIGN_OR_RETURN(std::vector<Export> exports, TakeExports(arguments));
  SessionLimits limits = arguments.limits;
  MSB_RETURN_IF_ERROR(FitLimits(limits));
  MSB_LOG(kInfo) << "msb-fs " << Version() << " serves " << exports.size() << " exports, at most "
                 << limits.inodes << " inodes, " << limits.descriptors << " of them open";
  const IdentityMap identity = arguments.pass_ids
                                   ? IdentityMap::PassThrough()
                                   : IdentityMap::Single({.uid = ::geteuid(), .gid = ::getegid()});
  MSB_ASSIGN_OR_RETURN(const std::function<void()> confine, Confinement(arguments.seccomp));
  Session session(std::move(exports), identity, limits);
  return Server(UniqueFd(arguments.socket_fd), session).Run(arguments.threads, confine);
}

int Main(int argc, char** argv) {
  PrepareLibraries();
  const std::optional<Arguments> arguments = ParseArguments(argc, argv);
  if (!arguments.has_value()) {
    std::fputs(kUsage, stderr);
    return kExitUsage;
  }
  if (arguments->help || arguments->version) {
    std::printf("%s", arguments->help ? kUsage : absl::StrCat("msb-fs ", Version(), "\n").c_str());
    return kExitOrderly;
  }
  InitLog("msb-fs", arguments->log_level);
  if (const absl::Status end = Serve(*arguments); !end.ok()) {
    MSB_LOG(kError) << end.message();
    return kExitFailure;
  }
  return kExitOrderly;
}

}  // namespace
}  // namespace msb

int main(int argc, char** argv) { return msb::Main(argc, argv); }
